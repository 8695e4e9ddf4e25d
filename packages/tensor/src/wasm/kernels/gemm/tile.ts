/**
 * The micro-kernel: tiles of the product held in vector registers.
 *
 * V8 on x86-64 has 15 vector registers to give away and keeps the order in which code is emitted, so
 * a step over the summed axis is emitted as: load the vectors of the right matrix; for each row,
 * splat one number of the left matrix and multiply-add it to the row's accumulators. With
 * `rows * vectors + vectors + 1 <= 15` nothing is spilled. Stores of neighbouring vectors stand next
 * to each other: that is what V8's revectorization starts from when it pairs 128-bit operations.
 */

import {
  type FunctionBuilder,
  type FunctionReference,
  i32,
  type I32,
  type Local,
  type ModuleBuilder,
  type Signature,
  v128,
  type V128,
} from "../../assembler/index.js";

/** How a tile finds the left matrix. */
export type LeftLayout =
  /** Packed in panels: for each step the numbers of all rows of the tile. */
  | "packed"
  /** In place; a row's numbers are neighbours. */
  | "rows"
  /** In place; a column's numbers are neighbours. */
  | "columns";

/** How a tile finds the right matrix. */
export type RightLayout =
  /** Packed in panels: for each step the numbers of all columns of the tile. */
  | "packed"
  /** In place; a row's numbers are neighbours. */
  | "rows";

/** What makes the code of a tile. */
export interface TileSpec {
  /** Rows of the tile. */
  readonly rows: number;
  /** Vectors of four columns. */
  readonly vectors: number;
  /** Steps of the summed axis in one turn of the inner loop. */
  readonly unroll: number;
  readonly left: LeftLayout;
  readonly right: RightLayout;
  /** Whether the product is added to what the output holds, or replaces it. */
  readonly accumulate: boolean;
}

type Word = typeof i32;

const signature: Signature<readonly [Word, Word, Word, Word, Word, Word, Word, Word], null> = {
  parameters: [i32, i32, i32, i32, i32, i32, i32, i32],
  result: null,
};

/**
 * A function that computes `panels` tiles below each other:
 * `(left, right, output, outputStride, depth, panels, leftStride, rightStride)`.
 *
 * `depth ≥ 1` is the length of the summed axis, `panels ≥ 1`. `leftStride` is the bytes between rows
 * (`"rows"`) or columns (`"columns"`) of the left matrix, `rightStride` those between rows of the
 * right one; packed matrices need none. `outputStride` is the bytes between rows of the output.
 */
export type TileFunction = FunctionReference<typeof signature.parameters, null>;

/** The function of a tile, added to the module if it is not there yet. */
export function tileFunction(module: ModuleBuilder, spec: TileSpec): TileFunction {
  const { rows, vectors, unroll, left, right, accumulate } = spec;
  const mode = accumulate ? "add" : "set";
  const key = `gemm/tile ${rows}x${vectors * 4} ${left} ${right} ${mode} unroll ${unroll}`;
  // The key names the signature.
  if (module.has(key)) return module.get(key) as unknown as TileFunction;
  return module.function<typeof signature.parameters, null>(
    key,
    signature,
    (f, a, b, c, cStride, depth, panels, aStride, bStride) => {
      const accumulators = f.localArray(v128, rows * vectors);
      const bVectors = f.localArray(v128, vectors);
      const splat = f.local(v128);
      const bAt = f.local(i32);
      const steps = f.local(i32);
      // Addresses of the left matrix: one for each row, or one for all.
      const aAt =
        left === "rows" ? f.localArray(i32, rows) : [left === "packed" ? a : f.local(i32)];

      const startPanel = (): void => {
        for (const accumulator of accumulators) f.set<V128>(accumulator, v128.zero());
        f.set<I32>(bAt, b);
        if (left === "rows") {
          aAt.forEach((address, row) => {
            f.set<I32>(address, a);
            if (row < rows - 1) f.increment(a, aStride);
          });
          f.increment(a, aStride);
        } else if (left === "columns") {
          f.set<I32>(aAt[0]!, a);
          f.increment(a, rows * 4);
        }
      };

      const step = (count: number): void => {
        for (let s = 0; s < count; s++) {
          const bOffset = right === "packed" ? s * vectors * 16 : 0;
          bVectors.forEach((vector, j) => {
            f.set<V128>(vector, v128.load(bAt, bOffset + j * 16));
          });
          for (let row = 0; row < rows; row++) {
            const [at, offset] = leftAddress(left, aAt, rows, row, s);
            f.set<V128>(splat, v128.load32Splat(at, offset));
            bVectors.forEach((vector, j) => {
              const accumulator = accumulators[row * vectors + j]!;
              f.set<V128>(accumulator, module.madd(splat, vector, accumulator));
            });
          }
          if (right === "rows") f.increment(bAt, bStride);
          if (left === "columns") f.increment(aAt[0]!, aStride);
        }
        if (right === "packed") f.increment(bAt, count * vectors * 16);
        if (left === "packed") f.increment(a, count * rows * 4);
        if (left === "rows") for (const address of aAt) f.increment(address, count * 4);
      };

      f.loop((nextPanel) => {
        startPanel();
        sumLoop(f, depth, steps, unroll, step);
        for (let row = 0; row < rows; row++) {
          const sums = accumulators.slice(row * vectors, (row + 1) * vectors);
          if (accumulate) {
            // All loads before all stores, or revectorization could not pair the loads.
            bVectors.forEach((old, j) => {
              f.set<V128>(old, v128.load(c, j * 16));
            });
          }
          sums.forEach((sum, j) => {
            f.storeV128(c, accumulate ? bVectors[j]!.f32x4Add(sum) : sum, j * 16);
          });
          f.increment(c, cStride);
        }
        f.increment(panels, -1);
        f.branch(nextPanel, panels);
      });
    },
    { export: false },
  );
}

function leftAddress(
  left: LeftLayout,
  addresses: readonly Local<I32>[],
  rows: number,
  row: number,
  step: number,
): [I32, number] {
  if (left === "packed") return [addresses[0]!, (step * rows + row) * 4];
  if (left === "rows") return [addresses[row]!, step * 4];
  return [addresses[0]!, row * 4];
}

// Runs `step` over the summed axis, `unroll` at a time and the rest one by one.
function sumLoop(
  f: FunctionBuilder,
  depth: Local<I32>,
  steps: Local<I32>,
  unroll: number,
  step: (count: number) => void,
): void {
  if (unroll === 1) {
    f.set<I32>(steps, depth);
    f.loop((again) => {
      step(1);
      f.increment(steps, -1);
      f.branch(again, steps);
    });
    return;
  }
  f.set<I32>(steps, depth.subtract(unroll));
  f.if(steps.greaterEqual(0), () => {
    f.loop((again) => {
      step(unroll);
      f.increment(steps, -unroll);
      f.branch(again, steps.greaterEqual(0));
    });
  });
  if (unroll === 2) {
    f.if(steps.equal(-1), () => {
      step(1);
    });
  } else {
    f.increment(steps, unroll);
    f.while(steps, () => {
      step(1);
      f.increment(steps, -1);
    });
  }
}
