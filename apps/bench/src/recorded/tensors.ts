/** Tensors that were recorded, and those that are compared with them. */

import type { DType, TypedArray } from "@x/tensor";
import type { SafetensorsFile } from "@x/tensor/safetensors";

/** Elements that are not, or no longer, in a tensor. */
export interface Elements {
  readonly shape: readonly number[];
  readonly data: ArrayLike<number>;
}

/** A recorded tensor. */
export interface RecordedTensor extends Elements {
  readonly dtype: DType;
  readonly data: TypedArray;
}

/** Everything that a file holds, by its names. */
export async function readTensors(
  file: SafetensorsFile,
): Promise<ReadonlyMap<string, RecordedTensor>> {
  const tensors = new Map<string, RecordedTensor>();
  for (const name of file.names) {
    const { dtype, data } = await file.data(name);
    tensors.set(name, { shape: file.entry(name).shape, dtype, data });
  }
  return tensors;
}
