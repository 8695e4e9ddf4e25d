/** Golden files: recorded inputs, parameters, draws, results and gradients of one case. */

import type { DType, TypedArray } from "@x/tensor";
import { openSafetensors } from "@x/tensor/safetensors";
import { Settings } from "./settings.js";

/** A recorded tensor. */
export interface GoldenTensor {
  readonly shape: readonly number[];
  readonly dtype: DType;
  readonly data: TypedArray;
}

/** One case: everything its file says. */
export interface GoldenFile {
  readonly area: string;
  readonly name: string;
  /** Arguments of constructors and calls. */
  readonly config: Settings;
  /** How far float32 and float64 were apart in the original. */
  readonly deviation: number;
  /** Names of tensors that hold only rounding noise. */
  readonly zeros: ReadonlySet<string>;
  readonly tensors: ReadonlyMap<string, GoldenTensor>;
}

/** Reads what a golden file holds. `area` and `name` serve where the metadata lacks them. */
export async function readGoldenFile(
  bytes: Uint8Array<ArrayBuffer>,
  area: string,
  name: string,
): Promise<GoldenFile> {
  await using file = await openSafetensors(bytes);
  const tensors = new Map<string, GoldenTensor>();
  for (const key of file.names) {
    const { dtype, data } = await file.data(key);
    tensors.set(key, { shape: file.entry(key).shape, dtype, data });
  }
  const text = (key: string): string | undefined => file.metadata.get(key);
  return {
    area: text("area") ?? area,
    name: text("case") ?? name,
    config: Settings.parse(text("config") ?? "{}"),
    deviation: Number(text("f64_deviation") ?? 0),
    zeros: new Set(Settings.parse(text("zero_in_exact_arithmetic") ?? "{}").keys()),
    tensors,
  };
}
