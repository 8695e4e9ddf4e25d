/** Clipping of gradients by their norm and by value. */

import { zerosLike } from "@x/tensor";
import { clipGradNorm, clipGradValue } from "@x/tensor/optim";
import type { Output, Subject } from "../subject.js";
import type { Operation } from "./operation.js";

/** Parameters with the recorded gradients, by the gradients' names. */
function parametersOf(subject: Subject): Map<string, ReturnType<typeof zerosLike>> {
  return new Map(
    subject.names("input").map((name) => {
      const gradient = subject.input(name);
      const parameter = zerosLike(gradient, { requiresGrad: true });
      parameter.grad = gradient;
      return [name, parameter];
    }),
  );
}

function gradientsOf(parameters: ReturnType<typeof parametersOf>): Record<string, Output> {
  return Object.fromEntries([...parameters].map(([name, { grad }]) => [name, grad!]));
}

export const clipByNorm: Operation = (subject) => {
  const { settings } = subject;
  const parameters = parametersOf(subject);
  const totalNorm = clipGradNorm([...parameters.values()], settings.requiredNumber("max_norm"), {
    normType: settings.number("norm_type") ?? 2,
  });
  return { outputs: { total_norm: totalNorm, ...gradientsOf(parameters) } };
};

export const clipByValue: Operation = (subject) => {
  const parameters = parametersOf(subject);
  clipGradValue([...parameters.values()], subject.settings.requiredNumber("clip_value"));
  return { outputs: gradientsOf(parameters) };
};
