/** Layer, RMS and batch normalization. */

import { batchNorm, layerNorm, normalize, rmsNorm } from "@x/tensor";
import type { Output, Subject } from "../subject.js";
import { ofOne, type Operation, type Operations } from "./operation.js";

const epsOf = ({ settings }: Subject, otherwise: number): number =>
  settings.number("eps") ?? otherwise;

/** Over the axes that the weight has or the file names, else over the last one. */
const layer: Operation = (subject) => {
  const x = subject.input("x");
  const weight = subject.optionalInput("weight");
  const bias = subject.optionalInput("bias");
  const shape = subject.settings.numbers("normalized_shape") ?? weight?.shape ?? x.shape.slice(-1);
  const y = layerNorm(x, shape, {
    eps: epsOf(subject, 1e-5),
    ...(weight && { weight }),
    ...(bias && { bias }),
  });
  return { outputs: { y } };
};

const rootMeanSquare: Operation = (subject) => {
  const x = subject.input("x");
  const weight = subject.optionalInput("weight");
  const y = rmsNorm(x, x.shape.slice(-1), { eps: epsOf(subject, 1e-6), ...(weight && { weight }) });
  return { outputs: { y } };
};

/** Rows of length 1. */
const unitLength = ofOne((x, subject) =>
  normalize(x, { dim: -1, eps: subject.settings.number("eps") ?? 1e-12 }),
);

const batch =
  (training: boolean): Operation =>
  (subject) => {
    const mean = subject.optionalInput("running_mean") ?? null;
    const variance = subject.optionalInput("running_var") ?? null;
    const y = batchNorm(subject.input("x"), mean, variance, {
      training,
      weight: subject.optionalInput("weight") ?? null,
      bias: subject.optionalInput("bias") ?? null,
      eps: epsOf(subject, 1e-5),
      momentum: subject.settings.number("momentum") ?? 0.1,
    });
    const outputs: Record<string, Output> = { y };
    // Training moves the running statistics in place.
    if (mean) outputs.running_mean_after = mean;
    if (variance) outputs.running_var_after = variance;
    return { outputs };
  };

/** By their names in the goldens. */
export const normalizationOperations: Operations = {
  ln: layer,
  rms: rootMeanSquare,
  l2: unitLength,
  bn_train: batch(true),
  bn_eval: batch(false),
};
