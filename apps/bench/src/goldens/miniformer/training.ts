/** A few steps of training. */

import { crossEntropy, mseLoss, stack, type Tensor } from "@x/tensor";
import { Seq2SeqTransformer } from "@x/miniformer";
import { makeOptimizer } from "../ops/optimizers.js";
import type { Output, Runner, Subject } from "../subject.js";
import { inputOf, loadModel } from "./models.js";

/** Labels that do not count. */
const ignoreIndex = -100;

/** What the original's task makes of the model's outputs. */
function lossOf(subject: Subject, y: Tensor): Tensor {
  const labels = subject.input("labels");
  // The original reads the result for a sequence at its first position.
  const first = y.select(1, 0);
  switch (subject.settings.string("task")) {
    case "language_modeling":
      return crossEntropy(y.flatten(0, 1), labels.flatten(), { ignoreIndex });
    case "classification":
      if (labels.rank === 1) return crossEntropy(first, labels, { ignoreIndex });
      return crossEntropy(y.flatten(0, 1), labels.flatten(), { ignoreIndex });
    case "regression":
      if (labels.rank === 1) return mseLoss(first.select(1, 0), labels);
      return mseLoss(labels.rank === 2 ? first : y, labels);
    default:
      throw new Error(`the task "${subject.settings.string("task") ?? ""}" is unknown`);
  }
}

/** A model with its parameters as recorded, and its loss. */
function start(subject: Subject): ReturnType<typeof loadModel> & { loss: () => Tensor } {
  const { model, parameters } = loadModel(subject);
  const x = inputOf(subject);
  const loss = (): Tensor =>
    lossOf(subject, model instanceof Seq2SeqTransformer ? model.forward(x, x) : model.forward(x));
  return { model, parameters, loss };
}

/** Settings that are those of the optimizer. */
const optimizerSettings: readonly string[] = ["lr", "weightDecay", "betas", "eps", "amsgrad"];

/** Losses before each step and after the last, the parameters in the end, and the first gradients. */
export const runTraining: Runner = async (subject) => {
  const { settings } = subject;
  const { parameters, loss: firstLoss } = start(subject);
  firstLoss().backward();
  // The first gradients are compared when all is done: another model is trained.
  const { model, loss } = start(subject);
  const options = Object.entries(settings.toOptions()).filter(([name]) =>
    optimizerSettings.includes(name),
  );
  const optimizer = makeOptimizer(
    model.parameters(),
    settings.string("optimizer"),
    Object.fromEntries(options),
  );
  const losses: Tensor[] = [];
  const steps = settings.requiredNumber("steps");
  for (let step = 0; step < steps; step++) {
    const current = loss();
    model.zeroGrad();
    current.backward();
    losses.push(await current.detach().realize());
    await optimizer.step();
  }
  losses.push(loss());
  const outputs: Record<string, Output> = { losses: stack(losses, 0) };
  for (const [name, tensor] of Object.entries(model.stateDict())) {
    outputs[`final.${name}`] = tensor;
  }
  return { outputs, parameters };
};
