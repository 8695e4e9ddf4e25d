/** Random numbers and the updates of optimizers. */

import { rand, randint, randn, type Tensor } from "@x/tensor";
import { Adam, AdamW, SGD, type Optimizer } from "@x/tensor/optim";
import { casesOf, type Inputs, type Results, type SelfTestCase } from "../case.js";

/** Three steps over parameters of several sizes, with other gradients at each. */
async function train(
  inputs: Inputs,
  optimizer: (parameters: Tensor[]) => Optimizer<object>,
): Promise<Results> {
  const parameters = [[300, 7], [1], [65]].map((shape) => inputs.floats(shape).setRequiresGrad());
  const steps = optimizer(parameters);
  for (let step = 0; step < 3; step++) {
    for (const parameter of parameters) parameter.grad = inputs.floats(parameter.shape, 0.1, 1);
    await steps.step();
  }
  return parameters.map((parameter) => parameter.detach());
}

/** What a training step needs besides layers. */
export const trainingCases: readonly SelfTestCase[] = [
  ...casesOf(
    "optimizer",
    { tolerance: 1e-5 },
    {
      AdamW: (inputs) =>
        train(inputs, (parameters) => new AdamW(parameters, { lr: 0.1, weightDecay: 0.1 })),
      "Adam with AMSGrad": (inputs) =>
        train(
          inputs,
          (parameters) => new Adam(parameters, { lr: 0.1, amsgrad: true, weightDecay: 0.1 }),
        ),
      SGD: (inputs) => train(inputs, (parameters) => new SGD(parameters, { lr: 0.1 })),
      "SGD with Nesterov momentum": (inputs) =>
        train(
          inputs,
          (parameters) => new SGD(parameters, { lr: 0.1, momentum: 0.9, nesterov: true }),
        ),
    },
  ),
  ...casesOf(
    "random numbers",
    { tolerance: 0 },
    {
      "uniform and whole": ({ device, generator }) => [
        rand([999], { device, generator }),
        randint(-5, 1000, [7, 33], { device, generator }),
      ],
    },
  ),
  ...casesOf(
    "random numbers",
    { tolerance: 1e-5 },
    { normal: ({ device, generator }) => [randn([999], { device, generator })] },
  ),
];
