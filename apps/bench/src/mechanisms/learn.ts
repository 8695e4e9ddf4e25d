/** Training the same small language model with any mechanism, and judging what it learnt. */

import { crossEntropy, fromData, manualSeed, noGrad, type Tensor } from "@x/tensor";
import type { Module } from "@x/tensor/nn";
import { AdamW, clipGradNorm } from "@x/tensor/optim";
import { randomNumbers } from "@x/tensor/testing";
import { MechanismLanguageModel } from "./model.js";
import type { MechanismEntry } from "./table.js";
import type { LearningTask, Sequences } from "./tasks.js";

const shape = { width: 64, heads: 4, layers: 2 };
const batch = 16;
const judged = 128;

/** How well held-out sequences are known. */
export interface Judgement {
  /** The share of right tokens. */
  readonly accuracy: number;
  /** Cross entropy in bits a token. */
  readonly bits: number;
}

function lossOf(
  model: MechanismLanguageModel,
  { tokens, targets }: Sequences,
  length: number,
): { readonly loss: Tensor; readonly logits: Tensor } {
  const inputs = fromData(tokens, [tokens.length / length, length]);
  const logits = model.forward(inputs).flatten(0, 1);
  const loss = crossEntropy(logits, fromData(targets, [targets.length]), { ignoreIndex: -1 });
  return { loss, logits };
}

/** How a model is trained. */
export interface Lesson {
  readonly steps: number;
  /** The highest rate, reached after `warmUp` steps. */
  readonly rate: number;
  readonly warmUp: number;
}

/** Trains a model by its loss, which is that of another batch whenever it is asked for. */
export async function fit(
  model: Module,
  nextLoss: () => Tensor,
  { steps, rate, warmUp }: Lesson,
  onStep: (step: number, loss: Tensor) => Promise<void> | void,
): Promise<void> {
  const optimizer = new AdamW(model.parameters(), { lr: rate, weightDecay: 0.01 });
  for (let step = 0; step < steps; step++) {
    const loss = nextLoss();
    optimizer.zeroGrad();
    loss.backward();
    clipGradNorm(model.parameters(), 1);
    const rise = Math.min(1, (step + 1) / warmUp);
    const fall = 0.1 + 0.45 * (1 + Math.cos((Math.PI * step) / steps));
    for (const group of optimizer.paramGroups) group.lr = rate * rise * fall;
    await optimizer.step();
    await onStep(step + 1, loss);
  }
}

/** A trained model. */
export async function learn(
  entry: MechanismEntry,
  task: LearningTask,
  seed: number,
  progress: (step: number, loss: number) => void,
): Promise<MechanismLanguageModel> {
  manualSeed(seed);
  const random = randomNumbers(seed);
  const { length, steps, rate, vocabulary } = task;
  const model = new MechanismLanguageModel(entry, { ...shape, length }, vocabulary);
  const nextLoss = (): Tensor => lossOf(model, task.draw(batch, random, false), length).loss;
  await fit(model, nextLoss, { steps, rate, warmUp: 50 }, async (step, loss) => {
    if (step % 50 === 0) progress(step, await loss.item());
  });
  return model;
}

/** Judges a model by sequences that it did not learn from. */
export async function judge(
  model: MechanismLanguageModel,
  task: LearningTask,
  seed: number,
): Promise<Judgement> {
  const sequences = task.draw(judged, randomNumbers(seed + 1), true);
  model.eval();
  const { loss, logits } = noGrad(() => lossOf(model, sequences, task.length));
  const guesses = await logits.argmax(-1).data();
  let [right, all] = [0, 0];
  sequences.targets.forEach((target, i) => {
    if (target < 0) return;
    all++;
    if (guesses[i] === target) right++;
  });
  return { accuracy: right / all, bits: (await loss.item()) / Math.LN2 };
}

/** Whether what a task asks for was reached, and that in words. */
export function compareWithGoal(
  { goal }: LearningTask,
  { accuracy, bits }: Judgement,
): { readonly isReached: boolean; readonly text: string } {
  return "accuracy" in goal
    ? {
        isReached: accuracy >= goal.accuracy,
        text: `${(100 * accuracy).toFixed(1)} % right, must be ${100 * goal.accuracy} %`,
      }
    : {
        isReached: bits <= goal.bits,
        text: `${bits.toFixed(2)} bits a byte, at most ${goal.bits}`,
      };
}
