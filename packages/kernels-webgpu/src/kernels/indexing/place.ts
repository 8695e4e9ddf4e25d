/** Indices that are data: limited to what there is, so that no index reads or writes elsewhere. */

import { constantCode } from "../../wgsl/functions.js";
import type { ShaderBuilder, Slot } from "../../wgsl/shader.js";

/** The index at `at`, limited to 0 … `last`. */
export function placeAt(shader: ShaderBuilder, index: Slot, at: string, last: number): string {
  return `clamp(${shader.load(index, at)}, 0, ${last})`;
}

/** The number zero of the arithmetic type of a slot. */
export function zeroOf(shader: ShaderBuilder, { dtype }: Slot): string {
  return constantCode(0, dtype, shader.helpers);
}
