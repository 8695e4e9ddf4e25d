/** The native kernels of feature attention, forward and backward. */

import {
  featureAttentionInputs,
  type FeatureAttentionInputs,
  type NativeStep,
  type Node,
  type Operand,
} from "@x/tensor/device";
import type { Launch } from "../../launch.js";
import type { LoweringContext, NativeKernel } from "../../native.js";
import { orderQueries } from "../linear-attention/order.js";
import type { Sizes } from "../linear-attention/steps.js";
import { pullLaunch } from "./pull.js";
import { makeFacts, type Problem } from "./problem.js";
import {
  exchanged,
  keyCotangentRole,
  outputRole,
  queryCotangentRole,
  valueCotangentRole,
} from "./roles.js";
import { begin, finish, nothingOutside, type Outside, type Work } from "./scans.js";
import { keyStatistics, queryStatistics, runningMaxima } from "./statistics.js";
import { isStep, stepLaunch } from "./step.js";
import { hasTile, tilesFor } from "./tile.js";

function sizesOf({ q, k }: FeatureAttentionInputs<Operand>): Sizes {
  const [batch, heads, queries] = q.shape as [number, number, number];
  const [, keyHeads, keys] = k.shape as [number, number, number];
  return { batch, keyHeads, group: heads / keyHeads, queries, keys };
}

/** Names what a step is given. */
function problemOf(
  { node }: NativeStep,
  operands: FeatureAttentionInputs<Operand>,
  context: LoweringContext,
): Problem {
  const { q, k, v, projection, keyMask, backward } = operands;
  const { scale, epsilon } = node.attributes as { scale: number; epsilon: number };
  const sizes = sizesOf(operands);
  const features = (projection ?? q).shape[projection ? 0 : 3]!;
  const map = { projection, scale, epsilon, features };
  const facts = makeFacts(sizes, backward !== null, context);
  return { context, sizes, map, q, k, v, keyMask, facts };
}

/** Chooses the length of chunks, and puts queries in order; `order` are launches to begin with. */
function workOf(
  { name, node }: NativeStep,
  problem: Problem,
  mask: Operand | null,
  isBackward: boolean,
): { readonly work: Work; readonly order: readonly Launch[] } {
  const { context, sizes, map, q, v } = problem;
  const { batch, keyHeads, group, queries, keys } = sizes;
  const [inputSize, valueSize] = [q.shape[3]!, v.shape[3]!];
  const tiles = (keySize: number, size: number, chunk: number | null) =>
    tilesFor(
      { length: Math.max(queries, keys), keySize, valueSize: size, inputSize },
      context.workgroupBytes,
      context.workgroupSize,
      chunk,
    );
  const chunks = tiles(map.features, valueSize, null)
    .map(({ chunk }) => chunk)
    .filter((chunk) => !isBackward || tiles(valueSize, map.features, chunk).length > 0);
  const [first, ...others] = [...new Set(chunks)].map((chunk) => ({
    name: `chunks of ${chunk}`,
    chunk,
  }));
  const { mode } = node.attributes as { mode: "full" | "causal" | "mask" };
  const shape = [batch, keyHeads, group, queries, keys, inputSize, map.features, valueSize];
  const { chunk } = context.choose(`${name} ${mode} ${shape.join("x")}`, [first!, ...others]);
  if (mask === null) return { work: { problem, visible: mode as "full", chunk }, order: [] };
  // Without queries there is no order, and nothing to see.
  if (queries === 0) return { work: { problem, visible: "causal", chunk }, order: [] };
  const count = Math.max(1, Math.ceil(keys / chunk));
  const { order, launches } = orderQueries(mask, keys, chunk, count, context);
  return { work: { problem, visible: order, chunk }, order: launches };
}

/** Any strides as long as the numbers of a row are neighbours; small inputs may lie anywhere. */
const acceptsView: NativeKernel["acceptsView"] = (_node, input, { shape, strides }) =>
  input > 2 || shape[3] === 1 || strides[3] === 1;

/** Sizes of 0 have no chunks, and a state has to fit into workgroup memory. */
function supports({ inputs, attributes }: Node): boolean {
  const { q, k, v, projection, backward } = featureAttentionInputs(inputs, attributes);
  const [keyHeads, valueSize] = [k.shape[1]!, v.shape[3]!];
  const features = (projection ?? q).shape[projection ? 0 : 3]!;
  return (
    attributes.projectionCotangent !== true &&
    q.shape[0]! > 0 &&
    keyHeads > 0 &&
    q.shape[3]! > 0 &&
    valueSize > 0 &&
    hasTile(features) &&
    (backward === null || hasTile(valueSize))
  );
}

/** `featureAttention` in chunks, see `scan.ts`; single tokens in one launch, see `step.ts`. */
export const featureAttentionKernel: NativeKernel = {
  op: "featureAttention",
  supports,
  acceptsView,
  lower: (step, context) => {
    const operands = featureAttentionInputs(step.inputs, step.node.attributes);
    const { mask, state } = operands;
    const [y, matrix, column, maximum, row, corner, weights, maxima] = step.outputs.map(
      (buffer) => buffer,
    );
    const problem = problemOf(step, operands, context);
    const hasRows = (y ?? weights ?? null) !== null;
    const { work, order } = workOf(step, problem, mask, false);
    const final = { matrix, column, row, corner };
    return [
      ...order,
    ];
  },
};
