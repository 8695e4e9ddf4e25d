/** Matrices in scratch memory, and the tiles that products take them in. */

import {
  type FunctionBuilder,
  i32,
  type I32,
  type I32Like,
  type Local,
} from "../../assembler/index.js";

/** Rows of the tiles of a product. What tiles read is filled up to a multiple of it. */
export const tileRows = 4;

/** Columns of the tiles. */
export const tileColumns = 8;

/** `n` rounded up to a multiple of `step`. */
export function roundUp(n: number, step: number): number {
  return Math.ceil(n / step) * step;
}

/** `n` rounded up to a multiple of a power of two. */
export function roundUpI32(n: I32, step: number): I32 {
  return n.add(step - 1).and(-step);
}

/** A matrix of float32, or of one row of words: its address, and the bytes from row to row. */
export type Matrix = readonly [address: Local<I32>, rowBytes: number];

/** Matrices one behind the other: how far from the start of scratch memory, and the bytes of rows. */
export interface Layout<Part extends string> {
  readonly places: Readonly<Record<Part, readonly [offset: number, rowBytes: number]>>;
  readonly bytes: number;
}

/** Puts matrices of so many rows and columns one behind the other, with room for whole tiles. */
export function layOut<Part extends string>(
  shapes: Readonly<Record<Part, readonly [rows: number, columns: number]>>,
): Layout<Part> {
  let bytes = 0;
  const entries = Object.entries<readonly [number, number]>(shapes).map(
    ([part, [rows, columns]]) => {
      const offset = bytes;
      // Equal columns of neighbouring rows lie in different banks of the cache.
      const rowBytes = roundUp(columns, tileColumns) * 4 + 16;
      bytes = roundUp(bytes + roundUp(rows, tileRows) * rowBytes, 64);
      return [part, [offset, rowBytes]] as const;
    },
  );
  // There is an entry for every part.
  return { places: Object.fromEntries(entries) as unknown as Layout<Part>["places"], bytes };
}

/** The matrices of a layout. */
export function matricesOf<Part extends string>(
  f: FunctionBuilder,
  scratch: I32,
  { places }: Layout<Part>,
): Readonly<Record<Part, Matrix>> {
  const entries = Object.entries<readonly [number, number]>(places).map(
    ([part, [offset, rowBytes]]) => [part, [f.let<I32>(scratch.add(offset)), rowBytes]] as const,
  );
  // There is an entry for every part.
  return Object.fromEntries(entries) as unknown as Record<Part, Matrix>;
}

/** An integer as an expression. */
export function word(number: I32Like): I32 {
  return typeof number === "number" ? i32.const(number) : number;
}
