/** Tensors as they are written to files. */

import { fromData, type DType, type Shape, type Tensor } from "@x/tensor";
import {
  openSafetensors,
  saveSafetensors,
  toSafetensorsDType,
  type LazySafetensorsTensor,
} from "@x/tensor/safetensors";
import { toBfloat16 } from "./half.js";

/** A type in which floating-point tensors may be stored. */
export type SavedType = "F32" | "F16" | "BF16";

/** A tensor whose bytes are made when its turn comes. */
export interface SavedTensor extends LazySafetensorsTensor {
  /** How many bytes it will have. */
  readonly byteLength: number;
}

/** A tensor of the model, or numbers that were made of several. */
export type SavedNumbers = readonly [Tensor] | Float32Array;

/**
 * Describes a tensor for a file.
 *
 * @param type in which floating-point numbers are stored; `null` for that which they have
 * @param read gives the numbers when their turn has come
 */
export function packed(
  name: string,
  shape: Shape,
  dtype: DType,
  type: SavedType | null,
  read: () => Promise<SavedNumbers>,
): SavedTensor {
  const isFloat = dtype === "float32" || dtype === "float16";
  const stored = isFloat && type !== null ? type : toSafetensorsDType(dtype);
  const bytesEach = { F16: 2, BF16: 2, I8: 1, BOOL: 1 }[stored as string] ?? 4;
  const size = shape.reduce((product, length) => product * length, 1);
  return {
    name,
    dtype: stored,
    shape,
    byteLength: size * bytesEach,
    bytes: async () => {
      const numbers = await read();
      if (stored === "F16") return halvesOf(numbers, shape);
      const data = numbers instanceof Float32Array ? numbers : await numbers[0].data();
      const { buffer, byteOffset, byteLength } =
        stored === "BF16" ? toBfloat16(data as Float32Array) : data;
      return new Uint8Array(buffer, byteOffset, byteLength);
    },
  };
}

/** The bytes of numbers as float16. */
async function halvesOf(numbers: SavedNumbers, shape: Shape): Promise<Uint8Array> {
  const tensor = numbers instanceof Float32Array ? fromData(numbers, shape) : numbers[0];
  const halves = tensor.dtype === "float16" ? tensor : tensor.detach().cast("float16");
  // The engine hands out float16 as wider numbers; a file in memory has the bits.
  const file = await openSafetensors(await saveSafetensors({ halves }));
  return file.bytes("halves");
}
