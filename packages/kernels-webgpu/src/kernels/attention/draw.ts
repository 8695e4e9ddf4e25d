/**
 * What weights are dropped by. The generator's two keys and counter are three tensors; they are
 * copied side by side, so that shaders do with the 8 buffers that every device can bind.
 */

import type { Launch } from "../../launch.js";
import type { LoweringContext } from "../../native.js";
import type { ShaderBuilder } from "../../wgsl/shader.js";
import type { Problem } from "./problem.js";

/** Where the generator's two keys and counter are: three words from `offset` on. */
export interface Draw {
  /** Their buffer, of uint32. */
  readonly buffer: number;
  /** The first of them. */
  readonly offset: number;
}

/** Statements that copy the draw. */
export function copyDraw(shader: ShaderBuilder, { draw }: Problem, to: Draw): string {
  const target = shader.slot(to.buffer, "uint32");
  return draw
    .map(({ buffer, offset }, i) => {
      const word = shader.load(shader.slot(buffer, "uint32"), String(offset));
      return shader.store(target, String(to.offset + i), word);
    })
    .join("\n");
}

/** The draw in a buffer of its own; `null` where no weights are dropped. */
export function joinDraw(
  problem: Problem,
  context: LoweringContext,
): { readonly launches: readonly Launch[]; readonly draw: Draw | null } {
  if (problem.draw.length === 0) return { launches: [], draw: null };
  const draw = { buffer: context.workspace(12), offset: 0 };
  const shader = context.shader();
  const launch = shader.perItem("attention draw", 1, copyDraw(shader, problem, draw));
  return { launches: [launch], draw };
}
