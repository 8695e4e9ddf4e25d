/** Golden files: recorded inputs, parameters, draws, results and gradients of one case. */

import { openSafetensors } from "@x/tensor/safetensors";
import { readTensors, type RecordedTensor } from "../recorded/tensors.js";
import { Settings } from "./settings.js";

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
  /** By how much tensors may differ that rounding noise decides; by their names. */
  readonly bounds: ReadonlyMap<string, number>;
  readonly tensors: ReadonlyMap<string, RecordedTensor>;
}

/** Reads what a golden file holds. `area` and `name` serve where the metadata lacks them. */
export async function readGoldenFile(
  bytes: Uint8Array<ArrayBuffer>,
  area: string,
  name: string,
): Promise<GoldenFile> {
  await using file = await openSafetensors(bytes);
  const text = (key: string): string | undefined => file.metadata.get(key);
  const config = Settings.parse(text("config") ?? "{}");
  return {
    area: text("area") ?? area,
    name: text("case") ?? name,
    config,
    deviation: Number(text("f64_deviation") ?? 0),
    zeros: new Set(Settings.parse(text("zero_in_exact_arithmetic") ?? "{}").keys()),
    bounds: boundsOf(text("ill_conditioned") ?? "[]", config),
    tensors: await readTensors(file),
  };
}

/**
 * Parameters whose exact gradient is zero: an optimizer that divides by the size of the gradient moves
 * them by up to its rate in every step, whichever way the rounding noise points.
 */
function boundsOf(illConditioned: string, config: Settings): ReadonlyMap<string, number> {
  const names = new Settings({ names: JSON.parse(illConditioned) as string[] }).strings("names");
  const bound = (config.number("steps") ?? 0) * (config.number("lr") ?? 0);
  return new Map(names?.map((name) => [`output.final.${name}`, bound]));
}
