/** Fused loops as WGSL. */

import type { LoopStep } from "@x/tensor/device";
import { product } from "../kernels/view.js";
import type { Launch } from "../launch.js";
import type { LoweringContext } from "../native.js";
import { reduction } from "./reduction.js";
import { LoopWriter } from "./writer.js";

/** The launches of a fused loop. */
export function lowerLoop(step: LoopStep, context: LoweringContext): readonly Launch[] {
  const { name, kernel } = step;
  if (kernel.reducer !== null) return reduction(step, kernel.reducer, context);
  const { extents, body } = kernel;
  const writer = new LoopWriter(context.shader(), step);
  const lines = [writer.counters("item", 0, extents.length), ...writer.list(body), writer.stores()];
  return [writer.shader.perItem(name, product(extents), lines.join("\n"))];
}
