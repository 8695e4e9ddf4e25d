/** The states at the starts of segments. */

import type { Operand } from "@x/tensor/device";
import type { Launch } from "../../launch.js";
import type { Segments } from "../linear-attention/tile.js";
import { coordinatesOf, denseView, indexIn, product } from "../view.js";
import type { Problem } from "./problem.js";
import type { Scan } from "./scan.js";
import { declarePowers, loadFact } from "./vectors.js";

/** Segments that are loaded before any of them is stored: memory answers them together. */
const mostAtOnce = 8;

/** A part of states, such as their matrix. */
export interface Part {
  /**
   * What each segment adds, [segments + 1, b, hk, …], dense; becomes what is at its start. The last
   * becomes what is behind all of them.
   */
  readonly sums: Operand;
  /** Whether it fades from one segment to the next. */
  readonly fades: boolean;
  /** What the first segment starts from, [b, hk, …]. */
  readonly initial: Operand | null;
  /** Plan buffer for that as well, dense; `null`: nobody wants it. */
  readonly final: number | null;
}

/** Where segments of a scan end. */
export interface Ends {
  readonly direction: Scan["direction"];
  readonly visible: Scan["visible"];
  readonly segments: Segments;
}

/** Makes the states at the starts of segments of what segments add; in one launch if it may. */
export function startsLaunches(
  problem: Problem,
  ends: Ends,
  parts: readonly Part[],
): readonly Launch[] {
  const buffers = parts.flatMap(({ sums, initial, final }) => [
    sums.buffer,
    ...(initial ? [initial.buffer] : []),
    ...(final === null ? [] : [final]),
  ]);
  const count = new Set([problem.facts.running.buffer, ...buffers]).size;
  if (count <= problem.context.mostBuffers) return [startsLaunch(problem, ends, parts)];
  return parts.map((part) => startsLaunch(problem, ends, [part]));
}

function startsLaunch(
  { context, facts, sizes, chunk }: Problem,
  ends: Ends,
  parts: readonly Part[],
): Launch {
  const { direction, visible, segments } = ends;
  const shader = context.shader();
  declarePowers(shader);
  const { keys } = sizes;
  const step = segments.each * chunk;
  // Chunks of queries that see everything have no keys between them.
  const hasEnds = visible !== "full" || direction === "forward";
  const end =
    direction === "forward"
      ? `min(segment * ${step}, ${keys})`
      : `clamp(${segments.chunks * chunk} - segment * ${step}, 0, ${keys})`;
  shader.declare(`fn maximumAt(matrix: i32, segment: i32) -> f32 {
return ${loadFact(shader, facts.running, "matrix", end)};
}
fn fadeAfter(matrix: i32, segment: i32) -> f32 {
return decay(vec4f(maximumAt(matrix, segment) - maximumAt(matrix, segment + 1))).x;
}`);
  const each = Math.min(segments.count, mostAtOnce);
  const atOnce = Array.from({ length: each }, (_, i) => i);
  let start = 0;
  const blocks = parts.map(({ sums, fades, initial, final }) => {
    const shape = sums.shape.slice(1);
    const size = product(shape);
    const perHead = product(shape.slice(2));
    const slot = shader.slot(sums.buffer, "float32");
    const sumAt = (segment: string): string => `${sums.offset} + (${segment}) * ${size} + place`;
    const load = (x: Operand, coordinates: readonly string[]): string =>
      shader.load(shader.slot(x.buffer, "float32"), indexIn(x, coordinates));
    const axes = shape.map((_, axis) => `c${axis}`);
    const factor = (i: number): string =>
      fades && hasEnds ? ` * fadeAfter(matrix, segment + ${i})` : "";
    const finalView = final === null ? null : denseView(final, "float32", shape);
    const text = `if (item >= ${start} && item < ${start + size}) {
let place = item - ${start};
let matrix = place / ${perHead};
${coordinatesOf("place", shape, "c")}
var state = ${initial === null ? "0.0" : load(initial, axes.slice(0, initial.shape.length))};
for (var segment = 0; segment < ${segments.count}; segment += ${each}) {
${atOnce.map((i) => `let sum${i} = ${shader.load(slot, sumAt(`min(segment + ${i}, ${segments.count - 1})`))};`).join("\n")}
${atOnce
  .map(
    (i) => `if (segment + ${i} < ${segments.count}) {
${shader.store(slot, sumAt(`segment + ${i}`), "state")}
state = state${factor(i)} + sum${i};
}`,
  )
  .join("\n")}
}
${shader.store(slot, sumAt(String(segments.count)), "state")}
${finalView === null ? "" : shader.store(shader.slot(finalView.buffer, "float32"), "place", "state")}
}`;
    start += size;
    return text;
  });
  const name = `feature attention starts ${segments.count}x${start}`;
  return shader.perItem(name, start, blocks.join("\n"));
}
