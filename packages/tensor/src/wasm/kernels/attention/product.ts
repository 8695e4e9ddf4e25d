/**
 * Products of small matrices in scratch memory, tile by tile, where each row may leave out what it
 * does not see.
 *
 * A tile's sums are held in vector registers. The order of the instructions matters: V8 on x86-64 has
 * 15 vector registers to give away and keeps the order in which code is emitted. A step loads the
 * vectors of the right matrix; then, for each row, it splats one number of the left matrix and
 * multiply-adds it to the row's sums. With `rows · vectors + vectors + 1 ≤ 15` nothing is spilled.
 */

import {
  f32,
  f32x4,
  i32,
  type I32,
  type Local,
  type ModuleBuilder,
  v128,
  type V128,
} from "../../assembler/index.js";
import type { MathContext } from "../../math/index.js";
import { entry, entryAt, integers, type Routine, routine, vectors } from "../code.js";
import { tileColumns, tileRows } from "./pack.js";

/** The shape of a product `output = left · right`, in bytes. */
export interface ProductSpec {
  /** Between rows of the left matrix, and between its columns. */
  readonly left: number;
  readonly step: number;
  /** Between rows of the right matrix, and between those of the output. */
  readonly right: number;
  readonly output: number;
  /**
   * What the lists `lows` and `highs` limit, both rising from row to row: the columns of the output
   * that are computed, or the steps of the sums. The limits of a tile are those of its rows together.
   */
  readonly limits?: "columns" | "depth";
  /** What the sums start from: 0, the output, or the output with each row times a factor. */
  readonly start: "zero" | "output" | "scaled";
  /** Whether zeros of the left matrix hide what they are multiplied by, even if it is not a number. */
  readonly hides?: boolean;
}

/**
 * `(left, right, output, rows, columns, depth, lows, highs, factors)`; what the spec does not need is
 * not read.
 */
function productFunction(module: ModuleBuilder, spec: ProductSpec): Routine {
  const { left: leftBytes, step, right: rightBytes, output: outputBytes, limits, start } = spec;
  return routine(
    module,
    `attention/product ${Object.values(spec).join()}`,
    (f, left, right, output, rows, columns, depth, lows, highs, factors) => {
      const sums = Array.from({ length: tileRows }, () => vectors(f, 2));
      const numbers = vectors(f, 2);
      const [row, column, low, high, bytes] = integers(f, 5);
      const [leftStart, rightStart, outputStart] = integers(f, 3);
      const [leftAt, rightAt, end, to] = integers(f, 4);
      const splat = f.local(v128);
      const each = (
        body: (sum: Local<V128>, offset: number, r: number, i: number) => void,
      ): void => {
        sums.forEach((own, r) => {
          own.forEach((sum, i) => {
            body(sum, r * outputBytes + i * 16, r, i);
          });
        });
      };
      const tile = (): void => {
        f.set<I32>(to, outputStart.add(column));
        each((sum, offset, r) => {
          const old = v128.load(to, offset);
          const factor = v128.load32Splat(entryAt(factors, row), r * 4);
          const first = { zero: v128.zero(), output: old, scaled: f32x4.multiply(old, factor) };
          f.set<V128>(sum, first[start]);
        });
        f.set<I32>(leftAt, leftStart);
        f.set<I32>(rightAt, rightStart.add(column));
        f.set<I32>(end, rightAt.add(bytes));
        // One step a turn: unrolled, Node 20 moves the multiplications away from their additions and
        // spills what is in between; newer engines do not care.
        f.doWhile(() => {
          numbers.forEach((vector, i) => {
            f.set<V128>(vector, v128.load(rightAt, i * 16));
          });
          each((sum, _, r, i) => {
            if (i === 0) f.set<V128>(splat, v128.load32Splat(leftAt, r * leftBytes));
            f.set<V128>(sum, module.madd(splat, numbers[i]!, sum));
          });
          f.increment(leftAt, step);
          f.increment(rightAt, rightBytes);
        }, rightAt.notEqual(end));
        each((sum, offset) => {
          f.storeV128(to, sum, offset);
        });
      };
      f.for(row, 0, rows, tileRows, () => {
        f.set<I32>(leftStart, left.add(row.multiply(leftBytes)));
        f.set<I32>(rightStart, right);
        f.set<I32>(outputStart, output.add(row.multiply(outputBytes)));
        let [from, until, steps]: [I32, I32, I32] = [i32.const(0), columns, depth];
        if (limits) {
          f.set<I32>(low, entry(lows, row));
          f.set<I32>(high, entry(highs, row, tileRows - 1));
          if (limits === "columns") [from, until] = [low.and(-tileColumns), high];
          else {
            f.increment(leftStart, low.multiply(step));
            f.increment(rightStart, low.multiply(rightBytes));
            steps = high.subtract(low);
            until = high.greater(low).select<I32>(columns, from);
          }
        }
        f.set<I32>(bytes, steps.multiply(rightBytes));
        f.for(column, from.shiftLeft(2), until.shiftLeft(2), tileColumns * 4, tile);
      });
    },
  );
}

/**
 * The same for right matrices that hold NaN or infinities, slowly: what a row does not see takes
 * nothing from its row of the right matrix.
 */
function carefulProductFunction(module: ModuleBuilder, spec: ProductSpec): Routine {
  const { left: leftBytes, step, right: rightBytes, output: outputBytes, limits, start } = spec;
  return routine(
    module,
    `attention/careful product ${Object.values(spec).join()}`,
    (f, left, right, output, rows, columns, depth, lows, highs, factors) => {
      const [row, at, low, high, leftAt, rightAt, to] = integers(f, 7);
      const factor = f.local(v128);
      const change = (number: I32, body: (sum: V128) => V128): void => {
        f.set<V128>(factor, v128.load32Splat(number));
        f.forAddress(at, to, to.add(columns.shiftLeft(2)), 16, () => {
          f.storeV128(at, body(v128.load(at)));
          f.increment(rightAt, 16);
        });
      };
      f.set<I32>(to, output);
      f.set<I32>(high, depth);
      f.for(row, 0, rows, 1, () => {
        if (start === "scaled") change(entryAt(factors, row), (sum) => f32x4.multiply(sum, factor));
        if (limits) {
          f.set<I32>(low, entry(lows, row));
          f.set<I32>(high, entry(highs, row));
        }
        f.set<I32>(leftAt, left.add(row.multiply(leftBytes)).add(low.multiply(step)));
        f.for(low, low, high, 1, () => {
          const add = (): void => {
            f.set<I32>(rightAt, right.add(low.multiply(rightBytes)));
            change(leftAt, (sum) => module.madd(factor, v128.load(rightAt), sum));
          };
          if (spec.hides) f.if(f32.load(leftAt).notEqual(f32.const(0)), add);
          else add();
          f.increment(leftAt, step);
        });
        f.set<I32>(low, i32.const(0));
        f.increment(to, outputBytes);
      });
    },
  );
}

/**
 * Calls the product, as `isFinite` says of the right matrix. Operands: `(left, right, output, rows,
 * columns, depth, lows, highs, factors)`; those that the spec does not need may be left out.
 */
export function multiply(
  { module, f }: MathContext,
  spec: ProductSpec,
  operands: readonly I32[],
  isFinite?: I32,
): void {
  const all = Array.from({ length: 9 }, (_, i) => operands[i] ?? i32.const(0));
  const fast = (): void => {
    f.call(productFunction(module, spec), ...all);
  };
  if (isFinite === undefined) fast();
  else {
    f.if(isFinite, fast, () => {
      f.call(carefulProductFunction(module, spec), ...all);
    });
  }
}
