/** Optimizers: trajectories of parameters for recorded gradients. */

import { fromData } from "@x/tensor";
import { Adam, AdamW, SGD, type Optimizer } from "@x/tensor/optim";
import { Parameter } from "@x/tensor/nn";
import type { Output, Runner } from "../subject.js";

/** The optimizer of that name. */
export function makeOptimizer(
  parameters: readonly Parameter[],
  name: string | undefined,
  options: Record<string, unknown>,
): Optimizer {
  switch (name) {
    case "SGD":
      return new SGD(parameters, options);
    case "Adam":
      return new Adam(parameters, options);
    case "AdamW":
      return new AdamW(parameters, options);
    default:
      throw new Error(`the optimizer "${name ?? ""}" is unknown`);
  }
}

/**
 * Inputs `p<j>` and their gradients at each step `grads<j>`; outputs the parameter after each step
 * `traj<j>` and what the optimizer remembers in the end, `final_<name><j>`.
 */
export const runOptimizer: Runner = async (subject) => {
  const parameters: Parameter[] = [];
  while (subject.hasInput(`p${parameters.length}`)) {
    parameters.push(new Parameter(subject.input(`p${parameters.length}`)));
  }
  const gradients = parameters.map((_, j) => subject.golden(`input.grads${j}`));
  const { settings } = subject;
  const optimizer = makeOptimizer(parameters, settings.string("cls"), settings.toOptions(["cls"]));
  const steps = gradients[0]?.shape[0] ?? 0;
  const trajectories = parameters.map((): number[] => []);
  for (let step = 0; step < steps; step++) {
    for (const [j, parameter] of parameters.entries()) {
      const { data } = gradients[j]!;
      const own = data.slice(step * parameter.size, (step + 1) * parameter.size);
      parameter.grad = fromData(own, parameter.shape, { device: subject.device });
    }
    await optimizer.step();
    for (const [j, parameter] of parameters.entries()) {
      trajectories[j]!.push(...(await parameter.data()));
    }
  }
  const outputs: Record<string, Output> = {};
  for (const [j, parameter] of parameters.entries()) {
    outputs[`traj${j}`] = { shape: [steps, ...parameter.shape], data: trajectories[j]! };
    for (const [name, state] of Object.entries(optimizer.stateDict().state[j] ?? {})) {
      if (typeof state !== "number") outputs[`final_${name}${j}`] = state;
    }
  }
  return { outputs };
};
