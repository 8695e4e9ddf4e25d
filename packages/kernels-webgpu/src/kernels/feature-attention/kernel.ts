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
import type { Sizes } from "../linear-attention/tiled-steps.js";
import { denseView, product } from "../view.js";
import { pullLaunch } from "./pull.js";
import type { Attention, Problem } from "./problem.js";
import {
  exchanged,
  keyFeatures,
  keyCotangentRole,
  outputRole,
  queryFeatures,
  queryCotangentRole,
  valueCotangentRole,
} from "./roles.js";
import { begin, finish, nothingOutside, type Outside } from "./scans.js";
import { keyStatistics, queryStatistics, runningMaxima } from "./statistics.js";
import { isStep, stepLaunch } from "./step.js";
import { hasTile } from "./tile.js";
import { makeWork } from "./work.js";

function sizesOf({ q, k }: FeatureAttentionInputs<Operand>): Sizes {
  const [batch, heads, queries] = q.shape as [number, number, number];
  const [, keyHeads, keys] = k.shape as [number, number, number];
  return { batch, keyHeads, group: heads / keyHeads, queries, keys };
}

/** Names what a step is given. */
function attentionOf(
  { node }: NativeStep,
  operands: FeatureAttentionInputs<Operand>,
  context: LoweringContext,
): Attention {
  const { q, k, v, projection, keyMask } = operands;
  const { scale, epsilon } = node.attributes as { scale: number; epsilon: number };
  const features = (projection ?? q).shape[projection ? 0 : 3]!;
  const map = { projection, scale, epsilon, features };
  return { context, sizes: sizesOf(operands), map, q, k, v, keyMask };
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
    const buffers = step.outputs;
    const [y = null, keyValues = null, keys = null, maximum = null, ...others] = buffers;
    const [values = null, count = null, weights = null, maxima = null] = others;
    const attention = attentionOf(step, operands, context);
    const final = { keyValues, keys, maximum, values, count };
    if (state !== null && mask === null && y !== null && weights === null && maxima === null) {
      if (isComplete(final)) {
        const decoding = { attention, state, final, output: y };
        if (isStep(decoding)) return [stepLaunch(decoding)];
      }
    }
    const { work, order } = makeWork(step, attention, mask, false);
    const { problem } = work;
    const { q, v, sizes } = problem;
    const outside: Outside = {
      initial: state && statesOf(state),
      final: { matrix: keyValues, column: keys, row: values, corner: count },
    };
    const role = outputRole(problem);
    const start = begin(work, role, outside);
    const facts = [...order, ...keyFacts(problem, state, { final: maximum, all: maxima })];
    if ((y ?? weights) === null || sizes.queries === 0) return [...facts, ...start.launches];
    const output = y ?? context.workspace(4 * product(q.shape.with(3, v.shape[3]!)));
    const finished = finish(work, role, { output, finish: "quotients" }, start, weights);
    return [...facts, queryStatistics(problem, null), ...start.launches, ...finished];
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
    const attention = attentionOf(step, operands, context);
    const { work, order } = makeWork(step, attention, mask, true);
    const { problem } = work;
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
      const target = { output, finish: problem.map.epsilon };
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
      const target = { output, finish: null };
      const states = start.states && exchanged(start.states);
      launches.push(
        ...finish(work, keyCotangentRole(problem, dy), target, { ...start, states }),
        pullLaunch(problem, keyFeatures(problem), output, dk),
      );
    }
    if (dv === null) return launches;
    return [...launches, ...finish(work, role, { output: dv, finish: null }, start)];
  },
};
