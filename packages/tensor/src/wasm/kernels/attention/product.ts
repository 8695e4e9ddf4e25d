/**
 * Products of small matrices in scratch memory, tile by tile, where each row may leave out what it
 * does not see.
 */

import {
  f32,
  f32x4,
  type FunctionReference,
  i32,
  type I32,
  type ModuleBuilder,
  v128,
  type V128,
} from "../../assembler/index.js";
import { procedure } from "./pack.js";
import { panelColumns, panelRowBytes, RegisterTile, tileRows } from "./register-tile.js";

/** The shape of a product `output = left · right`, sizes in bytes where not said otherwise. */
export interface ProductSpec {
  /** Between rows of the left matrix, and between its columns. */
  readonly left: { readonly row: number; readonly step: number };
  /** Between panels of the right matrix. */
  readonly panel: number;
  /** Between rows of the output. */
  readonly output: number;
  /** Length of the sums, where it is known when code is made. */
  readonly depth: number | null;
  /** Panels of the right matrix, where all are used. */
  readonly panels: number | null;
  /**
   * What the lists `lows` and `highs` limit, both rising from row to row: the columns of the output
   * that are computed, or the steps of the sums. The limits of a tile are those of its rows together.
   */
  readonly limits: "columns" | "depth" | null;
  /** What the sums start from: 0, the output, or the output with each row times a factor. */
  readonly start: "zero" | "output" | "scaled";
}

type I = typeof i32;
type ProductParameters = readonly [I, I, I, I, I, I, I, I];

const productParameters: ProductParameters = [i32, i32, i32, i32, i32, i32, i32, i32];

/** `(left, right, output, rows, depth, lows, highs, factors)`; what the spec does not need is not read. */
export type ProductFunction = FunctionReference<ProductParameters, null>;

function nameOf({ left, panel, output, depth, panels, limits, start }: ProductSpec): string {
  return `${left.row}+${left.step}x${panel} to ${output} depth ${depth} panels ${panels} limits ${limits} ${start}`;
}

/** An entry of a list of words. */
function entry(list: I32, row: I32, offset = 0): I32 {
  return i32.load(list.add(row.shiftLeft(2)), offset * 4);
}

/** The function of a product. */
export function productFunction(module: ModuleBuilder, spec: ProductSpec): ProductFunction {
  const { left: leftBytes, panel: panelBytes, output: outputBytes, limits, start } = spec;
  const key = `attention/product ${nameOf(spec)}`;
  return procedure(
    module,
    key,
    productParameters,
    (f, left, right, output, rows, depth, lows, highs, factors) => {
      const tile = new RegisterTile(module, f, tileRows);
      const [row, panel, low, high] = [f.local(i32), f.local(i32), f.local(i32), f.local(i32)];
      const [leftAt, rightAt, to] = [f.local(i32), f.local(i32), f.local(i32)];
      const last = tileRows - 1;

      const tiles = (from: I32, end: I32, steps: I32 | null): void => {
        f.for(panel, from, end, 1, () => {
          if (start === "zero") tile.clear();
          else tile.load(to, outputBytes);
          if (start === "scaled") tile.multiply(factors.add(row.shiftLeft(2)));
          const matrix = { address: leftAt, ...leftBytes };
          if (steps === null) tile.steps(matrix, { address: rightAt }, spec.depth!);
          else tile.dynamicSteps(matrix, { address: rightAt }, steps);
          tile.store(to, outputBytes);
          f.increment(rightAt, panelBytes);
          f.increment(to, panelRowBytes);
        });
      };

      f.for(row, 0, rows, tileRows, () => {
        f.set<I32>(leftAt, left.add(row.multiply(leftBytes.row)));
        f.set<I32>(to, output.add(row.multiply(outputBytes)));
        f.set<I32>(rightAt, right);
        if (limits !== null) {
          f.set<I32>(low, entry(lows, row));
          f.set<I32>(high, entry(highs, row, last));
        }
        const all = i32.const(spec.panels ?? 0);
        if (limits === "columns") {
          f.set<I32>(low, low.shiftRight(3));
          f.set<I32>(high, high.add(panelColumns - 1).shiftRight(3));
          f.increment(rightAt, low.multiply(panelBytes));
          f.increment(to, low.multiply(panelRowBytes));
          tiles(low, high, spec.depth === null ? depth : null);
        } else if (limits === "depth") {
          f.set<I32>(high, high.subtract(low));
          f.if(high.greater(0), () => {
            f.increment(leftAt, low.multiply(leftBytes.step));
            f.increment(rightAt, low.multiply(panelRowBytes));
            tiles(i32.const(0), all, high);
          });
        } else tiles(i32.const(0), all, spec.depth === null ? depth : null);
      });
    },
  );
}

/**
 * The same product for right matrices that hold NaN or infinities, slowly: left numbers that are 0,
 * as hidden ones are, take nothing from their row of the right matrix.
 */
export function carefulProductFunction(module: ModuleBuilder, spec: ProductSpec): ProductFunction {
  const { left: leftBytes, panel: panelBytes, output: outputBytes, limits, start } = spec;
  const panels = spec.panels!;
  const key = `attention/careful product ${nameOf(spec)}`;
  return procedure(
    module,
    key,
    productParameters,
    (f, left, right, output, rows, depth, lows, highs, factors) => {
      const [row, step, offset] = [f.local(i32), f.local(i32), f.local(i32)];
      const [low, high] = [f.local(i32), f.let(depth)];
      const [leftAt, rightAt, to] = [f.local(i32), f.local(i32), f.let(output)];
      const factor = f.local(v128);
      const eachVector = (body: () => void): void => {
        f.for(offset, 0, panels * panelRowBytes, 16, body);
      };
      const sum = (): V128 => v128.load(to.add(offset));
      f.for(row, 0, rows, 1, () => {
        if (start === "scaled") {
          f.set<V128>(factor, v128.load32Splat(factors.add(row.shiftLeft(2))));
          eachVector(() => {
            f.storeV128(to.add(offset), f32x4.multiply(sum(), factor));
          });
        }
        if (limits === "depth") {
          // Beyond the limits of the tile there are no numbers.
          f.set<I32>(low, entry(lows, row.and(-tileRows)));
          f.set<I32>(high, entry(highs, row.and(-tileRows), tileRows - 1));
        }
        f.set<I32>(leftAt, left.add(row.multiply(leftBytes.row)).add(low.multiply(leftBytes.step)));
        f.for(step, low, high, 1, () => {
          f.if(f32.load(leftAt).notEqual(f32.const(0)), () => {
            f.set<V128>(factor, v128.load32Splat(leftAt));
            f.set<I32>(rightAt, right.add(step.multiply(panelRowBytes)));
            eachVector(() => {
              // Panels hold two vectors of a row side by side.
              f.storeV128(to.add(offset), module.madd(factor, v128.load(rightAt), sum()));
              const isFirst = offset.and(16).isZero();
              f.increment(rightAt, isFirst.select(i32.const(16), i32.const(panelBytes - 16)));
            });
          });
          f.increment(leftAt, leftBytes.step);
        });
        f.increment(to, outputBytes);
      });
    },
  );
}

/** `(panels, rows)`: 1 if all numbers in the first rows of the panels are finite, else 0. */
export type FiniteFunction = FunctionReference<readonly [I, I], I32>;

/** The function that looks for NaN and infinities in packed panels. */
export function finiteFunction(
  module: ModuleBuilder,
  panels: number,
  panelBytes: number,
): FiniteFunction {
  const key = `attention/finite ${panels}x${panelBytes}`;
  const known = module.get(key);
  if (known !== undefined) return known as unknown as FiniteFunction;
  return module.function(
    key,
    { parameters: [i32, i32], result: i32 },
    (f, matrix, rows) => {
      const [panel, at] = [f.local(i32), f.local(i32)];
      const sums = [f.local(v128), f.local(v128)];
      const start = f.let(matrix);
      f.for(panel, 0, panels, 1, () => {
        f.forAddress(at, start, start.add(rows.multiply(panelRowBytes)), panelRowBytes, () => {
          // x - x is 0 for finite x and NaN for all others; NaN stays in the sum.
          sums.forEach((sum, i) => {
            const x = f.let(v128.load(at, i * 16));
            f.set<V128>(sum, f32x4.add(sum, f32x4.subtract(x, x)));
          });
        });
        f.increment(start, panelBytes);
      });
      const total = f.let(f32x4.add(sums[0]!, sums[1]!));
      return f32x4.notEqual(total, total).anyTrue().isZero();
    },
    { export: false },
  );
}
