/** What the scans do alike: their code, the order of their chunks, ratios of exponentials. */

import { f32x4, type I32, type V128 } from "../../assembler/index.js";
import type { KernelCode } from "../../launch.js";
import { expOfNegative, float, type MathContext } from "../../math/index.js";
import { type Layout, type Matrix, matricesOf } from "../attention/matrix.js";
import { kernelCode } from "../code.js";
import { scanItems, type ScanSteps } from "../linear-attention/traversal.js";
import { type Chunk, type CommonPart, type FeatureScanSpec, scanText } from "./chunk.js";

/** The code of the scan called `name`, whose steps work on the matrices of a layout. */
export function scanCode<Part extends string>(
  name: string,
  spec: FeatureScanSpec,
  layout: Layout<Part>,
  stepsOf: (
    c: MathContext,
    spec: FeatureScanSpec,
    words: I32,
    at: Readonly<Record<Part, Matrix>>,
  ) => ScanSteps,
): KernelCode {
  return kernelCode(`feature/${name} ${scanText(spec)}`, (c, words, scratch) => {
    const at = matricesOf(c.f, scratch, layout);
    return scanItems(c, spec, [stepsOf(c, spec, words, at)]);
  });
}

/** The part of the steps that says in which order they come: rows are queries when forward, else keys. */
type ChunkOrder = Pick<
  ScanSteps,
  "lists" | "group" | "groups" | "rowCount" | "columnCount" | "counts" | "starts"
>;

/** The order of the steps on a chunk. */
export function chunkOrder(
  { group, groups, counts, starts, queryCount, keyCount }: Chunk,
  { lows, highs }: Readonly<Record<CommonPart, Matrix>>,
  { direction }: FeatureScanSpec,
): ChunkOrder {
  const [rowCount, columnCount] =
    direction === "forward" ? [queryCount, keyCount] : [keyCount, queryCount];
  return { lists: [lows, highs], group, groups, rowCount, columnCount, counts, starts };
}

/** exp(x − y), where x is at most y. */
export function ratio(c: MathContext, x: V128, y: V128): V128 {
  return expOfNegative(c, c.f.let(f32x4.subtract(x, y)));
}

/** exp(x − y), or 1 where x is above y: there a query does not see the key. */
export function limitedRatio(c: MathContext, x: V128, y: V128): V128 {
  const rise = c.f.let(f32x4.subtract(x, y));
  return expOfNegative(c, c.f.let(f32x4.pseudoMinimum(rise, float(c, 0))));
}
