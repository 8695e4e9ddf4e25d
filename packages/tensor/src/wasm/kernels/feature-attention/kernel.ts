/** The native kernels of feature attention, forward and backward. */

import {
  featureAttentionInputs,
  type FeatureAttentionInputs,
  featureAttentionSizes,
  type FeatureAttentionSizes,
} from "../../../ops/feature-attention.js";
import type { LinearAttentionMode } from "../../../ops/linear-attention.js";
import type { NativeStep, Operand } from "../../../plan/schedule.js";
import { sizeOf } from "../../../tensor/shape.js";
import type { Launch } from "../../launch.js";
import type { LoweringContext, NativeKernel } from "../../native.js";
import { addressOrNone, floatArgument, launchOf, viewWords, type Word } from "../arguments.js";
import { hasDenseRows, hasNumbers } from "../attention/block.js";
import { chooseBlocks, sortQueries } from "../linear-attention/kernel.js";
import type { FeatureScanSpec } from "./chunk.js";
import { forwardCode, forwardLayout } from "./forward.js";
import { keyCotangentCode, keyCotangentLayout } from "./key-cotangent.js";
import { queryCotangentCode, queryCotangentLayout } from "./query-cotangent.js";
import { stepCode, stepLayout } from "./step.js";

/** Tokens of a chunk, as in linear attention. */
const chunk = 32;

/** What all scans of a step share. */
interface Problem {
  readonly inputs: FeatureAttentionInputs<Operand>;
  readonly sizes: FeatureAttentionSizes;
  readonly spec: Omit<FeatureScanSpec, "direction" | "finalState">;
  /** The words of a chunk, when values are cut into so many blocks; see `chunk.ts`. */
  readonly chunkWords: (blocks: number) => Word[];
  /** The words of the given sums; see `sums.ts`. */
  readonly sumWords: readonly Word[];
  /** What comes first: the queries of a mask are sorted. */
  readonly launches: readonly Launch[];
  /** Tokens of all query heads. */
  readonly tokens: number;
  /** Map, mode and sizes, for the names of launches. */
  readonly text: string;
}

function readProblem(step: NativeStep, context: LoweringContext): Problem {
  const { attributes } = step.node;
  const inputs = featureAttentionInputs(step.inputs, attributes);
  const { q, k, v, projection, mask, keyMask, state, backward } = inputs;
  const sizes = featureAttentionSizes(inputs);
  const { queries, keys, keyHeads, group, batch, keySize, features, valueSize } = sizes;
  const tokens = batch * keyHeads * group * Math.max(queries, keys);
  const { order, launches } = sortQueries(mask, queries, keys, context);
  const [scale, epsilon] = [attributes.scale as number, attributes.epsilon as number];
  const mode = attributes.mode as LinearAttentionMode;
  return {
    inputs,
    sizes,
    launches,
    tokens,
    text: `${attributes.map as string} ${mode} ${tokens}x${keySize}x${features}x${valueSize}`,
    spec: {
      map: projection === null ? "exponential" : "random",
      ...{ size: keySize, features, valueSize, mode },
      // Without scores a larger chunk costs nothing.
      capacity: mode === "full" ? 2 * chunk : chunk,
      keyMask: keyMask !== null,
      isBackward: backward !== null,
      state: state !== null,
    },
    chunkWords: (blocks) => [
      ...[q, k, v].flatMap((operand) => viewWords(operand, 4)),
      ...[projection, keyMask].flatMap((operand) => viewWords(operand, 2)),
      ...[0, 1, 2].map((i) => addressOrNone(order[i])),
      ...[queries, keys, keyHeads, group, blocks],
      ...[scale, (scale * scale) / 2, epsilon].map(floatArgument),
      ...viewWords(backward?.dy ?? null, 4),
      ...viewWords(backward?.products ?? null, 3),
      ...viewWords(backward?.denominators ?? null, 3),
    ],
    sumWords: [
      ...viewWords(state?.keyValues ?? null, 4),
      ...viewWords(state?.keys ?? null, 3),
      ...viewWords(state?.maximum ?? null, 2),
      ...viewWords(state?.values ?? null, 3),
      ...viewWords(state?.count ?? null, 2),
    ],
  };
}

/** One query and one key of each head, with a state that is read and written: a step of decoding. */
function decode(
  { inputs, sizes, spec, sumWords, text }: Problem,
  step: NativeStep,
  outputs: readonly number[],
): Launch {
  const { batch, keyHeads, group, keySize, features, valueSize } = sizes;
  const { q, k, v, projection, keyMask } = inputs;
  const { scale, epsilon } = step.node.attributes;
  const perHead = (keySize + 2 * valueSize) * features;
  return launchOf(
    `feature attention step ${text}`,
    stepCode(spec),
    [
      ...[q, k, v].flatMap((operand) => viewWords(operand, 4)),
      ...[projection, keyMask].flatMap((operand) => viewWords(operand, 2)),
      ...sumWords,
      ...outputs.map(addressOrNone),
      ...[keyHeads, group, floatArgument(scale as number), floatArgument(epsilon as number)],
    ],
    batch * keyHeads,
    batch * keyHeads * perHead * 2 * (1 + group),
    Math.round(16384 / (perHead * group)),
    stepLayout(spec).bytes,
  );
}

/** `featureAttention` in chunks; see `forward.ts`. */
export const featureAttentionKernel: NativeKernel = {
  op: "featureAttention",
  supports: hasNumbers,
  acceptsView,
  lower: (step, context) => {
    const problem = readProblem(step, context);
    const { inputs, sizes, chunkWords, sumWords, launches, tokens } = problem;
    const { batch, keyHeads, keySize, features, valueSize } = sizes;
    if (batch === 0) return [];
    const bytes = (output: number): number => 4 * sizeOf(step.node.outputs[output]!.shape);
    // What is computed anyway is written somewhere.
    const wanted = (output: number): number =>
      step.outputs[output] ?? context.workspace(bytes(output));
    const outputs = step.node.outputs.map((_, i) => i);
    const isToken = sizes.queries === 1 && sizes.keys === 1 && problem.spec.mode !== "mask";
    if (isToken && inputs.state) {
      return [decode(problem, step, outputs.map(wanted))];
    }
    const heads = batch * keyHeads;
    const shared = (chunk / 2 + 2 * keySize) * features;
    const own = (chunk / 2 + 2 * features) * valueSize;
    // Blocks share all sums but those of values, which may be updated where they are.
    const blocks = inputs.state
      ? 1
      : chooseBlocks(heads, valueSize, context.threads, [shared, own]);
    const spec: FeatureScanSpec = {
      direction: "forward",
      ...problem.spec,
      valueSize: valueSize / blocks,
      finalState: true,
    };
    const words = [
      ...chunkWords(blocks),
      ...sumWords,
      ...outputs.map((output) => addressOrNone(wanted(output))),
      valueSize,
    ];
    const launch = launchOf(
      `feature attention forward ${problem.text}`,
      forwardCode(spec),
      words,
      heads * blocks,
      2 * tokens * (shared + own),
      1,
      forwardLayout(spec).bytes,
    );
    return [...launches, launch];
  },
};

/**
 * `featureAttentionBackward`: a forward scan for queries and a reverse one for keys and values. The
 * cotangent of a projection is left to the definition.
 */
export const featureAttentionBackwardKernel: NativeKernel = {
  op: "featureAttentionBackward",
  supports: (node) => hasNumbers(node) && node.attributes.projectionCotangent !== true,
  acceptsView,
  lower: (step, context) => {
    const problem = readProblem(step, context);
    const { inputs, sizes, chunkWords, sumWords, launches, tokens, text } = problem;
    const { batch, keyHeads, keySize, features, valueSize, keys } = sizes;
    if (batch === 0) return [];
    const [dq = null, dk = null, dv = null] = step.outputs;
    const items = batch * keyHeads;
    const scans: Launch[] = [];
    if (dq !== null) {
      const spec = { direction: "forward", ...problem.spec, finalState: false } as const;
      const words = [...chunkWords(1), ...sumWords, addressOrNone(dq)];
      const work = 2 * tokens * features * (3 * keySize + 2 * valueSize + chunk);
      const name = `feature attention query cotangent ${text}`;
      const { bytes } = queryCotangentLayout(spec);
      scans.push(launchOf(name, queryCotangentCode(spec), words, items, work, 1, bytes));
    }
    if ((dk !== null || dv !== null) && keys > 0) {
      const spec = {
        direction: "reverse",
        ...problem.spec,
        state: false,
        finalState: false,
      } as const;
      const outputs = [dk, dv].map((output, i) => {
        const bytes = 4 * sizeOf(step.node.outputs[i + 1]!.shape);
        return addressOrNone(output ?? context.workspace(bytes));
      });
      const words = [...chunkWords(1), ...viewWords(inputs.backward!.maxima, 3), ...outputs];
      const work = 2 * tokens * features * (3 * keySize + 3 * valueSize + 2 * chunk);
      const name = `feature attention key cotangent ${text}`;
      const { bytes } = keyCotangentLayout(spec);
      scans.push(launchOf(name, keyCotangentCode(spec), words, items, work, 1, bytes));
    }
    return [...launches, ...scans];
  },
};

/** Rows of numbers that are neighbours, anywhere; masks and single numbers may lie anywhere. */
function acceptsView(_node: unknown, _input: number, view: Operand): boolean {
  return view.dtype !== "float32" || hasDenseRows(view);
}
