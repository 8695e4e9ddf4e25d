/** The native kernels of feature attention, forward and backward. */

import {
  featureAttentionInputs,
  type FeatureAttentionInputs,
  type FeatureAttentionSums,
  type NativeStep,
  type Node,
  type Operand,
} from "@x/tensor/device";
import type { Launch } from "../../launch.js";
import type { LoweringContext, NativeKernel } from "../../native.js";
import { orderQueries } from "../linear-attention/order.js";
import type { Sizes } from "../linear-attention/steps.js";
import { denseView, product } from "../view.js";
import { pullLaunch } from "./pull.js";
import { makeFacts, type Problem } from "./problem.js";
import {
  exchanged,
  keyFeatures,
  keyCotangentRole,
  outputRole,
  queryFeatures,
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

/** The parts of a state as scans name them. */
function statesOf({ keyValues, keys, values, count }: FeatureAttentionSums<Operand>): {
  readonly matrix: Operand;
  readonly column: Operand;
  readonly row: Operand;
  readonly corner: Operand;
} {
  return { matrix: keyValues, column: keys, row: values, corner: count };
}

/** Whether all of a state is wanted. */
function isComplete(
  final: FeatureAttentionSums<number | null>,
): final is FeatureAttentionSums<number> {
  return Object.values(final).every((buffer) => buffer !== null);
}

/** What is known about keys; `wanted` are buffers of the last maximum and of all. */
function keyFacts(
  problem: Problem,
  state: FeatureAttentionSums<Operand> | null,
  wanted: { readonly final: number | null; readonly all: number | null },
): readonly Launch[] {
  const { batch, keyHeads, keys } = problem.sizes;
  const view = (buffer: number | null, shape: readonly number[]): Operand | null =>
    buffer === null ? null : denseView(buffer, "float32", shape);
  const heads = [batch, keyHeads];
  return [
    ...(keys > 0 ? [keyStatistics(problem)] : []),
    runningMaxima(
      problem,
      state && state.maximum,
      view(wanted.final, heads),
      view(wanted.all, [...heads, keys]),
    ),
  ];
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
  omitsOutputs: true,
  acceptsView,
  lower: (step, context) => {
    const operands = featureAttentionInputs(step.inputs, step.node.attributes);
    const { mask, state } = operands;
    const buffers = step.outputs as readonly (number | null)[];
    const [y = null, keyValues = null, keys = null, maximum = null, ...others] = buffers;
    const [values = null, count = null, weights = null, maxima = null] = others;
    const problem = problemOf(step, operands, context);
    const final = { keyValues, keys, maximum, values, count };
    if (state !== null && mask === null && y !== null && weights === null && maxima === null) {
      if (isComplete(final)) {
        const decoding = { problem, state, final, output: y };
        if (isStep(decoding)) return [stepLaunch(decoding)];
      }
    }
    const { work, order } = workOf(step, problem, mask, false);
    const hasRows = (y ?? weights) !== null && problem.sizes.queries > 0;
    const outside: Outside = {
      initial: state && statesOf(state),
      final: { matrix: keyValues, column: keys, row: values, corner: count },
    };
    const role = outputRole(problem);
    const start = begin(work, role, outside);
    const output =
      y ?? context.workspace(4 * product(problem.q.shape.with(3, problem.v.shape[3]!)));
    return [
      ...order,
      ...keyFacts(problem, state, { final: maximum, all: maxima }),
      ...(hasRows ? [queryStatistics(problem, null)] : []),
      ...start.launches,
      ...(hasRows ? finish(work, role, { output, finish: "quotients", weights }, start) : []),
    ];
  },
};

/** `featureAttentionBackward`: three scans, see `scan.ts`; features have their own cotangents. */
export const featureAttentionBackwardKernel: NativeKernel = {
  op: "featureAttentionBackward",
  supports,
  omitsOutputs: true,
  acceptsView,
  lower: (step, context) => {
    const operands = featureAttentionInputs(step.inputs, step.node.attributes);
    const { mask, state } = operands;
    const backward = operands.backward!;
    const { dy } = backward;
    const [dq = null, dk = null, dv = null] = step.outputs;
    const problem = problemOf(step, operands, context);
    const { work, order } = workOf(step, problem, mask, true);
    const { features } = problem.map;
    const hasRows = problem.sizes.queries > 0;
    const launches = [...order, ...keyFacts(problem, state, { final: null, all: null })];
    if (hasRows) launches.push(queryStatistics(problem, backward));
    const scratch = ({ shape }: Operand): number =>
      context.workspace(4 * product(shape.with(3, features)));
    if (dq !== null && hasRows) {
      const outside = { ...nothingOutside, initial: state && statesOf(state) };
      const start = begin(work, outputRole(problem), outside);
      const role = queryCotangentRole(problem, dy);
      const output = scratch(problem.q);
      const target = { output, finish: problem.map.epsilon, weights: null };
      launches.push(
        ...start.launches,
        ...finish(work, role, target, {
          ...start,
          states: start.states && exchanged(start.states),
        }),
        pullLaunch(problem, queryFeatures(problem), output, dq),
      );
    }
    if (problem.sizes.keys === 0) return launches;
    const role = valueCotangentRole(problem, dy);
    const start = begin(work, role, nothingOutside);
    launches.push(...start.launches);
    if (dk !== null) {
      const output = scratch(problem.k);
      const target = { output, finish: null, weights: null };
      const states = start.states && exchanged(start.states);
      launches.push(
        ...finish(work, keyCotangentRole(problem, dy), target, { ...start, states }),
        pullLaunch(problem, keyFeatures(problem), output, dk),
      );
    }
    if (dv === null) return launches;
    return [...launches, ...finish(work, role, { output: dv, finish: null, weights: null }, start)];
  },
};
