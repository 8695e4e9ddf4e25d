/** A fused loop that runs where a native kernel stores its result, element by element. */

import type { Expression, LoopStep } from "@x/tensor/device";
import type { ShaderBuilder } from "../wgsl/shader.js";
import { LoopWriter } from "./writer.js";

/**
 * Declares `fn finish(item: i32, value: f32) -> f32` in the shader, or one of another name: what the loop stores at place
 * `item` of `buffer`, where it would have loaded `value` from there.
 */
export function declareEpilogue(
  shader: ShaderBuilder,
  step: LoopStep,
  buffer: number,
  name: string = "finish",
): void {
  const { extents, body, stores } = step.kernel;
  const own = step.buffers.indexOf(buffer);
  const writer = new LoopWriter(shader, step);
  const list = body.map((expression): Expression =>
    expression.kind === "load" && expression.slot === own
      ? { kind: "reduced", dtype: expression.dtype }
      : expression,
  );
  const lines = [
    writer.counters("item", 0, extents.length),
    "let reduced = value;",
    ...writer.list(list),
  ];
  shader.declare(`fn ${name}(item: i32, value: f32) -> f32 {
${lines.join("\n")}
return e${stores[0]!.expression};
}`);
}
