/** Losses. */

import {
  binaryCrossEntropyWithLogits,
  crossEntropy,
  l1Loss,
  mseLoss,
  nllLoss,
} from "@x/tensor";
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

const ofPair =
  (compute: typeof mseLoss): Operation =>
  (subject) => ({
    outputs: {
      loss: compute(subject.input("x"), subject.input("y"), { reduction: reductionOf(subject) }),
    },
  });

/** By their names in the goldens. */
export const lossOperations: Operations = {
  ce: classification,
  nll: likelihood,
  mse: ofPair(mseLoss),
  l1: ofPair(l1Loss),
  bce_logits: ofPair(binaryCrossEntropyWithLogits),
};
