/**
 * Tiles: elementwise kernels that read across the direction in which they write (transposes).
 *
 * Several turns of the loop along which is read are done together. Four vectors along that loop,
 * from four turns of the vector loop, are transposed in registers.
 */

import { bytesPerElement } from "../../tensor/dtype.js";
import { i32x4, type V128 } from "../assembler/index.js";
import type { MathContext } from "../math/index.js";
import type { NormalKernel } from "./normalize.js";

/** Turns of a loop that are done together. */
export interface Tile {
  /** The loop, directly outside of the vector loop. */
  readonly loop: number;
  /** Turns at a time, a multiple of 4. */
  readonly rows: number;
  /** The loads, by position, that run along this loop. */
  readonly loads: readonly number[];
}

/** The output loop along which most loads run that do not run along the vector loop, if any. */
export function tileLoop(kernel: NormalKernel, vector: number): number | null {
  const { extents, outputRank, reducer, body } = kernel;
  if (reducer || extents[vector]! < 4) return null;
  // Padding is settled along the vector loop, which tiles would go across.
  if (body.some((e) => e.kind === "inside")) return null;
  let [best, most] = [-1, 0];
  for (let loop = 0; loop < outputRank; loop++) {
    const loads =
      loop === vector || extents[loop]! < 4 ? 0 : tileLoads(kernel, vector, loop).length;
    if (loads > most) [best, most] = [loop, loads];
  }
  return best < 0 ? null : best;
}

/** The loads that run along `loop` and across the vector loop. */
export function tileLoads(kernel: NormalKernel, vector: number, loop: number): number[] {
  return kernel.body.flatMap((e, i) => {
    if (e.kind !== "load" || bytesPerElement(e.stored) !== 4) return [];
    const { strides } = e.index;
    return strides[loop] === 1 && strides[vector]! > 1 ? [i] : [];
  });
}

/** Four vectors with lanes and vectors exchanged. */
export function transpose(c: MathContext, vectors: readonly V128[]): V128[] {
  const { f } = c;
  const [a, b, d, e] = vectors.map((vector) => f.let(vector));
  const lowFirst = f.let(i32x4.shuffle(a!, b!, [0, 4, 1, 5]));
  const highFirst = f.let(i32x4.shuffle(a!, b!, [2, 6, 3, 7]));
  const lowSecond = f.let(i32x4.shuffle(d!, e!, [0, 4, 1, 5]));
  const highSecond = f.let(i32x4.shuffle(d!, e!, [2, 6, 3, 7]));
  return [
    f.let(i32x4.shuffle(lowFirst, lowSecond, [0, 1, 4, 5])),
    f.let(i32x4.shuffle(lowFirst, lowSecond, [2, 3, 6, 7])),
    f.let(i32x4.shuffle(highFirst, highSecond, [0, 1, 4, 5])),
    f.let(i32x4.shuffle(highFirst, highSecond, [2, 3, 6, 7])),
  ];
}
