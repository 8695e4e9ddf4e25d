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
      const [row, column, low, high, steps] = integers(f, 5);
      const [leftStart, rightStart, to, leftAt, rightAt] = integers(f, 5);
      const splat = f.local(v128);
      f.set<I32>(high, columns);
      f.for(row, 0, rows, tileRows, () => {
        f.set<I32>(leftStart, left.add(row.multiply(leftBytes)));
        f.set<I32>(rightStart, right);
        if (limits) {
          f.set<I32>(low, entry(lows, row));
          f.set<I32>(high, entry(highs, row, tileRows - 1));
        }
        if (limits === "depth") {
          f.increment(leftStart, low.multiply(step));
          f.increment(rightStart, low.multiply(rightBytes));
          f.set<I32>(steps, high.subtract(low).multiply(rightBytes));
          f.set<I32>(low, i32.const(0));
          f.set<I32>(high, columns);
        } else f.set<I32>(steps, depth.multiply(rightBytes));
        f.for(
          column,
          low.and(-tileColumns).shiftLeft(2),
          high.shiftLeft(2),
          tileColumns * 4,
          () => {
            f.set<I32>(to, output.add(row.multiply(outputBytes)).add(column));
            sums.forEach((own, r) => {
              if (start === "scaled")
                f.set<V128>(splat, v128.load32Splat(entryAt(factors, row), r * 4));
              own.forEach((sum, i) => {
                const old = v128.load(to, r * outputBytes + i * 16);
                f.set<V128>(
                  sum,
                  start === "zero"
                    ? v128.zero()
                    : start === "output"
                      ? old
                      : f32x4.multiply(old, splat),
                );
              });
            });
            f.set<I32>(leftAt, leftStart);
            f.set<I32>(rightAt, rightStart.add(column));
            // One step a turn: unrolled, Node 20 moves the multiplications away from their additions and
            // spills what is in between; newer engines do not care.
            f.forAddress(rightAt, rightAt, rightAt.add(steps), rightBytes, () => {
              numbers.forEach((vector, i) => {
                f.set<V128>(vector, v128.load(rightAt, i * 16));
              });
              sums.forEach((own, r) => {
                f.set<V128>(splat, v128.load32Splat(leftAt, r * leftBytes));
                own.forEach((sum, i) => {
                  f.set<V128>(sum, module.madd(splat, numbers[i]!, sum));
                });
              });
              f.increment(leftAt, step);
            });
            sums.forEach((own, r) => {
              own.forEach((sum, i) => {
                f.storeV128(to, sum, r * outputBytes + i * 16);
              });
            });
          },
        );
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
