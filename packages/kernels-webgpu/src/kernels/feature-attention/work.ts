/** How a step is cut into chunks, and these into segments. */

import type { NativeStep, Operand } from "@x/tensor/device";
import type { Launch } from "../../launch.js";
import { orderQueries } from "../linear-attention/order.js";
import { segmentsFor, type Segments, type Tile } from "../linear-attention/tile.js";
import { type Attention, makeFacts, type Problem } from "./problem.js";
import type { Scan } from "./scan.js";
import { tilesFor } from "./tile.js";

/** What all scans of a step share. */
export interface Work {
  readonly problem: Problem;
  readonly visible: Scan["visible"];
}

/** The tile of a scan, and how its chunks of `length` keys or queries are shared out. */
export function cut(
  { context, sizes, q, chunk }: Attention & Pick<Problem, "chunk">,
  length: number,
  keySize: number,
  valueSize: number,
): { readonly tile: Tile; readonly segments: Segments } {
  const scanSizes = { length, keySize, valueSize, inputSize: q.shape[3]! };
  const tile = tilesFor(scanSizes, context, chunk)[0]!;
  const workgroups = sizes.batch * sizes.keyHeads * Math.ceil(valueSize / tile.slice);
  return { tile, segments: segmentsFor(Math.max(1, Math.ceil(length / chunk)), workgroups) };
}

function chooseChunk(
  { name, node }: NativeStep,
  attention: Attention,
  isBackward: boolean,
): number {
  const { context, sizes, map, q, v } = attention;
  const { batch, keyHeads, group, queries, keys } = sizes;
  const length = Math.max(queries, keys);
  const [inputSize, valueSize] = [q.shape[3]!, v.shape[3]!];
  const forward = { length, keySize: map.features, valueSize, inputSize };
  // Gradients take keys as values too.
  const exchanged = { ...forward, keySize: valueSize, valueSize: map.features };
  const chunks = tilesFor(forward, context)
    .map(({ chunk }) => chunk)
    .filter((chunk) => !isBackward || tilesFor(exchanged, context, chunk).length > 0);
  const [first, ...others] = [...new Set(chunks)].map((chunk) => ({
    name: `chunks of ${chunk}`,
    chunk,
  }));
  const shape = [batch, keyHeads, group, queries, keys, inputSize, map.features, valueSize];
  const key = `${name} ${node.attributes.mode as string} ${shape.join("x")}`;
  return context.choose(key, [first!, ...others]).chunk;
}

/** Cuts a step; `order` are launches to begin with, which put queries in order. */
export function makeWork(
  step: NativeStep,
  attention: Attention,
  mask: Operand | null,
  isBackward: boolean,
): { readonly work: Work; readonly order: readonly Launch[] } {
  const { context, sizes, map, v } = attention;
  const { queries, keys } = sizes;
  const chunk = chooseChunk(step, attention, isBackward);
  const counts = [queries, keys].map(
    (length) => cut({ ...attention, chunk }, length, map.features, v.shape[3]!).segments.count,
  );
  const facts = makeFacts(attention, isBackward, Math.max(...counts) + 1);
  const problem = { ...attention, chunk, facts };
  const { mode } = step.node.attributes as { mode: "full" | "causal" | "mask" };
  if (mask === null) return { work: { problem, visible: mode as "full" | "causal" }, order: [] };
  // Without queries there is no order, and nothing to see.
  if (queries === 0) return { work: { problem, visible: "causal" }, order: [] };
  const count = Math.max(1, Math.ceil(keys / chunk));
  const { order, launches } = orderQueries(mask, keys, chunk, count, context);
  return { work: { problem, visible: order }, order: launches };
}
