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
  type I32Like,
  type Local,
  type ModuleBuilder,
  v128,
  type V128,
} from "../../assembler/index.js";
import type { MathContext } from "../../math/index.js";
import { entry, entryAt, integers, type Routine, routine, vectors } from "../code.js";
import { type Matrix, roundUpI32, tileColumns, tileRows, word } from "./matrix.js";

/** What makes a product `output = left · right`. */
export interface ProductSpec {
  /** What the sums start from: 0, the output, or the output with each row times a factor. */
  readonly start: "zero" | "output" | "scaled";
  /**
   * What the lists `lows` and `highs` limit, both rising from row to row: the columns of the output
   * that are computed, or the steps of the sums. The limits of a tile are those of its rows together.
   */
  readonly limits?: "columns" | "depth";
  /** Whether the left matrix is taken transposed. */
  readonly transposed?: boolean;
  /** Whether zeros of the left matrix hide what they are multiplied by, even if it is not a number. */
  readonly hides?: boolean;
}

/** Bytes between rows: of the left matrix, the right one and the output. */
type RowBytes = readonly [left: number, right: number, output: number];

// Left rows and the steps along them, right rows, output rows.
function bytesOf(
  { transposed = false }: ProductSpec,
  [left, right, output]: RowBytes,
): [left: number, step: number, right: number, output: number] {
  return [transposed ? 4 : left, transposed ? left : 4, right, output];
}

/**
 * `(left, right, output, rows, columns, depth, lows, highs, factors)`; what the spec does not need is
 * not read.
 */
function productFunction(module: ModuleBuilder, spec: ProductSpec, rowBytes: RowBytes): Routine {
  const { limits, start } = spec;
  const [leftBytes, step, rightBytes, outputBytes] = bytesOf(spec, rowBytes);
  return routine(
    module,
    `attention/product ${JSON.stringify(spec)} ${rowBytes.join()}`,
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
function carefulFunction(module: ModuleBuilder, spec: ProductSpec, rowBytes: RowBytes): Routine {
  const { limits, start } = spec;
  const [leftBytes, step, rightBytes, outputBytes] = bytesOf(spec, rowBytes);
  return routine(
    module,
    `attention/careful product ${JSON.stringify(spec)} ${rowBytes.join()}`,
    (f, left, right, output, rows, columns, depth, lows, highs, factors) => {
      const [row, at, low, high, leftAt, rightAt, to] = integers(f, 7);
      const factor = f.local(v128);
      const change = (number: I32, body: (sum: V128) => V128): void => {
        f.set<V128>(factor, v128.load32Splat(number));
        f.forAddress(at, to, entryAt(to, roundUpI32(columns, tileColumns)), 16, () => {
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
 * Computes the product of matrices, `[left, right, output]`, of sizes `[rows, columns, depth]`: those
 * of the output, and the length of sums. Lists: `[lows, highs, factors]`. What the spec does not need
 * may be left out. Right matrices that hold NaN or infinities, as `isFinite` tells, take a slow way.
 */
export function multiply(
  { module, f }: MathContext,
  spec: ProductSpec,
  matrices: readonly [Matrix, Matrix, Matrix],
  [rows, columns, depth = 0]: readonly [I32Like, I32Like, I32Like?],
  [lows, highs, factors]: readonly Matrix[] = [],
  isFinite?: I32,
): void {
  const lists = [lows, highs, factors].map((list) => list?.[0] ?? 0);
  const addresses = matrices.map(([address]) => address);
  const operands = [...addresses, rows, columns, depth, ...lists].map(word);
  // There are three matrices; the type of `map` does not count.
  const rowBytes = matrices.map(([, bytes]) => bytes) as unknown as RowBytes;
  const fast = (): void => {
    f.call(productFunction(module, spec, rowBytes), ...operands);
  };
  if (isFinite === undefined) fast();
  else {
    f.if(isFinite, fast, () => {
      f.call(carefulFunction(module, spec, rowBytes), ...operands);
    });
  }
}
