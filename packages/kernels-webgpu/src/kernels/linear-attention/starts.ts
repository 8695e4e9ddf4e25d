/** The states at the starts of segments. */

import type { Operand } from "@x/tensor/device";
import type { Launch } from "../../launch.js";
import type { LoweringContext } from "../../native.js";
import { coordinatesOf, indexIn, product } from "../view.js";

/** Segments that are loaded before any of them is stored: memory answers them together. */
const mostAtOnce = 8;

/**
 * From the sums of all segments, [segments, …state shape] in `sums`, makes in their place the states
 * at the starts of the segments: what is before, and the initial state. Also stores the state after
 * the last of them where that is wanted.
 */
export function startsLaunch(
  sums: number,
  segments: number,
  stateShape: readonly number[],
  initial: Operand | null,
  final: number | null,
  context: LoweringContext,
): Launch {
  const shader = context.shader();
  const parts = shader.slot(sums, "float32");
  const size = product(stateShape);
  const coordinates = stateShape.map((_, axis) => `c${axis}`);
  const first =
    initial === null
      ? "0.0"
      : shader.load(shader.slot(initial.buffer, "float32"), indexIn(initial, coordinates));
  const each = Math.min(segments, mostAtOnce);
  const atOnce = Array.from({ length: each }, (_, i) => i);
  const body = `${coordinatesOf("item", stateShape, "c")}
var state = ${first};
for (var segment = 0; segment < ${segments}; segment += ${each}) {
${atOnce.map((i) => `let sum${i} = ${shader.load(parts, `min(segment + ${i}, ${segments - 1}) * ${size} + item`)};`).join("\n")}
${atOnce
  .map(
    (i) => `if (segment + ${i} < ${segments}) {
${shader.store(parts, `(segment + ${i}) * ${size} + item`, "state")}
state += sum${i};
}`,
  )
  .join("\n")}
}
${final === null ? "" : shader.store(shader.slot(final, "float32"), "item", "state")}`;
  return shader.perItem(`linear attention starts ${segments}x${size}`, size, body);
}
