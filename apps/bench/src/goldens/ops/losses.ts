/** Losses. */

import {
  binaryCrossEntropy,
  binaryCrossEntropyWithLogits,
  crossEntropy,
  huberLoss,
  klDiv,
  l1Loss,
  mseLoss,
  nllLoss,
  smoothL1Loss,
  type Tensor,
} from "@x/tensor";
import type { Settings } from "../settings.js";
import type { Subject } from "../subject.js";
import type { Operation, Operations } from "./operation.js";

type Reduction = "none" | "mean" | "sum";

/** What the file says; by default the mean, or none where the recorded loss has axes. */
function reductionOf(subject: Subject): Reduction {
  const named = subject.settings.string("reduction");
  if (named === "none" || named === "mean" || named === "sum") return named;
  if (named !== undefined) throw new Error(`the reduction "${named}" is unknown`);
  return subject.golden("output.loss").shape.length > 0 ? "none" : "mean";
}

const classification: Operation = (subject) => {
  const { settings } = subject;
  const weight = subject.optionalInput("weight");
  const ignoreIndex = settings.number("ignore_index");
  const loss = crossEntropy(subject.input("logits"), subject.input("target"), {
    reduction: reductionOf(subject),
    labelSmoothing: settings.number("label_smoothing") ?? 0,
    ...(weight && { weight }),
    ...(ignoreIndex !== undefined && { ignoreIndex }),
  });
  return { outputs: { loss } };
};

const likelihood: Operation = (subject) => {
  const weight = subject.optionalInput("weight");
  const ignoreIndex = subject.settings.number("ignore_index");
  const loss = nllLoss(subject.input("logp"), subject.input("target"), {
    reduction: reductionOf(subject),
    ...(weight && { weight }),
    ...(ignoreIndex !== undefined && { ignoreIndex }),
  });
  return { outputs: { loss } };
};

type PairLoss = (
  x: Tensor,
  y: Tensor,
  options: { readonly reduction: Reduction },
  settings: Settings,
) => Tensor;

const ofPair =
  (compute: PairLoss): Operation =>
  (subject) => {
    const options = { reduction: reductionOf(subject) };
    const loss = compute(subject.input("x"), subject.input("y"), options, subject.settings);
    return { outputs: { loss } };
  };

/** By their names in the goldens. */
export const lossOperations: Operations = {
  ce: classification,
  nll: likelihood,
  mse: ofPair(mseLoss),
  l1: ofPair(l1Loss),
  smooth_l1: ofPair((x, y, options, settings) =>
    smoothL1Loss(x, y, { ...options, beta: settings.number("beta") ?? 1 }),
  ),
  huber: ofPair((x, y, options, settings) =>
    huberLoss(x, y, { ...options, delta: settings.number("delta") ?? 1 }),
  ),
  kl_div: ofPair((x, y, options, settings) =>
    klDiv(x, y, { ...options, logTarget: settings.boolean("log_target") ?? false }),
  ),
  bce: ofPair(binaryCrossEntropy),
  bce_logits: ofPair(binaryCrossEntropyWithLogits),
};
