/** Training and judging the model. */

import { crossEntropy, fromData, noGrad, type Tensor } from "@x/tensor";
import { AdamW, clipGradNorm } from "@x/tensor/optim";
import { windowsAt } from "./text.js";
import type { ByteLanguageModel } from "./model.js";

/** Steps over which the learning rate rises to its highest. */
const warmupSteps = 20;
/** The learning rate falls to this share of its highest. */
const lastShare = 0.1;

/** The learning rate of a step: a linear rise, then a cosine down to a tenth. */
function learningRate(step: number, steps: number, highest: number): number {
  if (step < warmupSteps) return (highest * (step + 1)) / warmupSteps;
  const progress = (step - warmupSteps) / Math.max(1, steps - warmupSteps);
  const share = lastShare + ((1 - lastShare) * (1 + Math.cos(Math.PI * progress))) / 2;
  return highest * share;
}

/** The mean loss over windows that start at `starts`, in bits per byte. */
function lossAt(
  model: ByteLanguageModel,
  bytes: Uint8Array,
  starts: readonly number[],
  length: number,
): Tensor {
  const { tokens, targets } = windowsAt(bytes, starts, length);
  const logits = model.forward(fromData(tokens, [starts.length, length]));
  return crossEntropy(logits.reshape([-1, 256]), fromData(targets, [targets.length]));
}

/** Starts of random windows: the same for the same seed and step, also after a restart. */
function randomStarts(seed: number, step: number, count: number, end: number): number[] {
  let state = (Math.imul(seed, 0x9e3779b1) ^ Math.imul(step + 1, 0x85ebca6b)) >>> 0;
  return Array.from({ length: count }, () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * end);
  });
}

/** The optimizer of a run. */
export function makeOptimizer(model: ByteLanguageModel, rate: number): AdamW {
  return new AdamW(model.parameters(), { lr: rate, betas: [0.9, 0.95], weightDecay: 0.01 });
}

/** What training needs to know. */
export interface TrainingPlan {
  readonly bytes: Uint8Array;
  /** Steps done before. */
  readonly first: number;
  /** The step to end at. */
  readonly steps: number;
  readonly batch: number;
  readonly length: number;
  readonly rate: number;
  readonly seed: number;
}

/** What is told of a step. */
export interface StepReport {
  /** Steps done. */
  readonly step: number;
  /** Bits per byte: of this step, and over the latest ones. */
  readonly loss: number;
  readonly average: number;
  /** Over the latest steps. */
  readonly tokensPerSecond: number;
}

/** Trains a model, one step whenever the next report is asked for. */
export async function* train(
  model: ByteLanguageModel,
  optimizer: AdamW,
  plan: TrainingPlan,
): AsyncGenerator<StepReport, void, void> {
  const { first, steps, batch, length } = plan;
  let average = 0;
  let tokensPerSecond = 0;
  for (let step = first; step < steps; step++) {
    const start = performance.now();
    const loss = await trainStep(model, optimizer, plan, step);
    const current = (batch * length) / ((performance.now() - start) / 1000);
    const done = step + 1 - first;
    average += Math.max(0.05, 1 / done) * (loss - average);
    // The first step compiles and says nothing about speed.
    tokensPerSecond = done <= 2 ? current : tokensPerSecond + 0.1 * (current - tokensPerSecond);
    yield { step: step + 1, loss, average, tokensPerSecond };
  }
}

/** One step; gives its loss in bits per byte. */
async function trainStep(
  model: ByteLanguageModel,
  optimizer: AdamW,
  plan: TrainingPlan,
  step: number,
): Promise<number> {
  const { bytes, steps, batch, length, rate, seed } = plan;
  for (const group of optimizer.paramGroups) group.lr = learningRate(step, steps, rate);
  const starts = randomStarts(seed, step, batch, bytes.length - length);
  const loss = lossAt(model, bytes, starts, length);
  optimizer.zeroGrad();
  loss.backward();
  clipGradNorm(model.parameters(), 1);
  await optimizer.step();
  return (await loss.item()) / Math.LN2;
}

/** Most windows that the model is judged by. */
const judgingWindows = 64;

/** The loss on text the model has not seen, in bits per byte. */
export async function judge(
  model: ByteLanguageModel,
  bytes: Uint8Array,
  length: number,
): Promise<number> {
  const windows = Math.min(judgingWindows, Math.floor((bytes.length - 1) / length));
  const batch = Math.min(8, windows);
  const losses: number[] = [];
  for (let first = 0; first + batch <= windows; first += batch) {
    const starts = Array.from({ length: batch }, (_, i) => {
      const window = Math.floor(((first + i) * Math.floor((bytes.length - 1) / length)) / windows);
      return window * length;
    });
    losses.push(await noGrad(() => lossAt(model, bytes, starts, length)).item());
  }
  return losses.reduce((a, b) => a + b, 0) / losses.length / Math.LN2;
}
