/**
 * The updates of optimizers as operations over all tensors of a parameter group, so that a device
 * can walk over them in one kernel.
 *
 * What changes from step to step, the learning rate for example, comes in a small tensor of numbers
 * as the first input. Then come, for each parameter, the parameter, its gradient and its state; the
 * outputs are, for each parameter, its new value and its new state, which take the place of the old.
 */

import { apply, makeOp, type Attributes, type Op, type Value } from "../graph/node.js";
import { add, divide, maximum, multiply, negate, sqrt, subtract } from "../ops/elementwise.js";
import { narrow, reshape } from "../ops/movement.js";

/** From one parameter, its gradient and its state to its new value and its new state. */
type Update = (
  numbers: readonly Value[],
  tensors: readonly Value[],
  attributes: Attributes,
) => readonly Value[];

/** An operation that updates parameters with `states` state tensors each. */
function updateOp(name: string, numbers: number, states: number, update: Update): Op {
  const inputs = states + 2;
  return makeOp({
    name,
    kind: "primitive",
    differentiable: false,
    infer: ([, ...tensors]) => tensors.filter((_, i) => i % inputs !== 1),
    compose: ([hyper, ...tensors], attributes) => {
      const values = Array.from({ length: numbers }, (_, i) =>
        reshape(narrow(hyper!, 0, i, 1), []),
      );
      const results: Value[] = [];
      for (let i = 0; i < tensors.length; i += inputs) {
        results.push(...update(values, tensors.slice(i, i + inputs), attributes));
      }
      return results;
    },
    inPlace: (count) =>
      Array.from({ length: count - 1 }, (_, i) => i)
        .filter((i) => i % inputs !== 1)
        .map((i) => i + 1),
  });
}

/** The gradient as it is used: turned around to maximize, with weight decay as an L2 penalty. */
function effectiveGradient(
  parameter: Value,
  gradient: Value,
  decay: Value,
  { maximize, decays }: Attributes,
): Value {
  const signed = maximize === true ? negate(gradient) : gradient;
  return decays === true ? add(signed, multiply(parameter, decay)) : signed;
}

/** Numbers of `sgd`: learning rate, weight decay. Attributes: `maximize`, `decays`. */
const sgdOp = updateOp("sgd", 2, 0, ([rate, decay], [parameter, gradient], attributes) => {
  const direction = effectiveGradient(parameter!, gradient!, decay!, attributes);
  return [subtract(parameter!, multiply(rate!, direction))];
});

/**
 * Numbers of `sgdMomentum`: learning rate, weight decay, momentum, 1 − dampening (1 in the first
 * step). State: the momentum buffer. Attributes: `maximize`, `decays`, `nesterov`.
 */
const sgdMomentumOp = updateOp("sgdMomentum", 4, 1, (numbers, tensors, attributes) => {
  const [rate, decay, momentum, share] = numbers as [Value, Value, Value, Value];
  const [parameter, gradient, buffer] = tensors as [Value, Value, Value];
  const direction = effectiveGradient(parameter, gradient, decay, attributes);
  const next = add(multiply(momentum, buffer), multiply(share, direction));
  const way = attributes.nesterov === true ? add(direction, multiply(momentum, next)) : next;
  return [subtract(parameter, multiply(rate, way)), next];
});

/**
 * Numbers of `adam` and `adamAmsgrad`: learning rate / (1 − β₁ᵗ), √(1 − β₂ᵗ), β₁, 1 − β₁, β₂,
 * 1 − β₂, ε, and for decay: λ where it is part of the gradient, 1 − learning rate · λ where it is
 * decoupled. State: the means of the gradient and of its square, for amsgrad also the largest mean
 * of the square. Attributes: `maximize`, `decays` (decay as part of the gradient), `decoupled`.
 */
const adamUpdate: Update = (numbers, tensors, attributes) => {
  const [size, correction, beta1, rest1, beta2, rest2, eps, decay] = numbers as Value[] as [
    Value,
    Value,
    Value,
    Value,
    Value,
    Value,
    Value,
    Value,
  ];
  const [parameter, gradient, mean, square, largest] = tensors as [
    Value,
    Value,
    Value,
    Value,
    Value | undefined,
  ];
  const direction = effectiveGradient(parameter, gradient, decay, attributes);
  const decayed = attributes.decoupled === true ? multiply(parameter, decay) : parameter;
  const nextMean = add(multiply(mean, beta1), multiply(direction, rest1));
  const nextSquare = add(multiply(square, beta2), multiply(multiply(direction, direction), rest2));
  const nextLargest = largest === undefined ? nextSquare : maximum(largest, nextSquare);
  const deviation = add(divide(sqrt(nextLargest), correction), eps);
  const next = subtract(decayed, multiply(size, divide(nextMean, deviation)));
  return largest === undefined
    ? [next, nextMean, nextSquare]
    : [next, nextMean, nextSquare, nextLargest];
};

const adamOp = updateOp("adam", 8, 2, adamUpdate);
const adamAmsgradOp = updateOp("adamAmsgrad", 8, 3, adamUpdate);

/** Records an update; the results come in the order of the tensors, without the gradients. */
function update(
  op: Op,
  numbers: Value,
  tensors: readonly Value[],
  attributes: Attributes,
): readonly Value[] {
  return apply(op, [numbers, ...tensors], attributes);
}

/** How `sgd` uses the gradient. */
export interface SgdAttributes extends Attributes {
  readonly maximize: boolean;
  readonly decays: boolean;
  readonly nesterov: boolean;
}

/** A step of stochastic gradient descent; with momentum, each parameter comes with its buffer. */
export function sgdStep(
  numbers: Value,
  tensors: readonly Value[],
  hasMomentum: boolean,
  attributes: SgdAttributes,
): readonly Value[] {
  return update(hasMomentum ? sgdMomentumOp : sgdOp, numbers, tensors, attributes);
}

/** How `adam` uses the gradient. */
export interface AdamAttributes extends Attributes {
  readonly maximize: boolean;
  readonly decays: boolean;
  readonly decoupled: boolean;
}

/** A step of Adam. */
export function adamStep(
  numbers: Value,
  tensors: readonly Value[],
  amsgrad: boolean,
  attributes: AdamAttributes,
): readonly Value[] {
  return update(amsgrad ? adamAmsgradOp : adamOp, numbers, tensors, attributes);
}
