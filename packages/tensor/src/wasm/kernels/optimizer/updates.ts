/** The steps of SGD and Adam, as `optim/update-ops.ts` defines them. */

import type { Attributes } from "../../../graph/node.js";
import { f32x4, type V128 } from "../../assembler/index.js";
import type { MathContext } from "../../math/index.js";
import type { NativeKernel } from "../../native.js";
import { type TensorUpdate, updateKernel } from "./tensors.js";

/** The gradient as it is used: turned around to maximize, with weight decay as an L2 penalty. */
function effectiveGradient(
  { f, module }: MathContext,
  parameter: V128,
  gradient: V128,
  decay: V128,
  { maximize, decays }: Attributes,
): V128 {
  const signed = maximize === true ? f32x4.negate(gradient) : gradient;
  return f.let(decays === true ? module.madd(parameter, decay, signed) : signed);
}

/** The kernel of `sgd`. */
export const sgdKernel: NativeKernel = updateKernel({
  op: "sgd",
  numbers: 2,
  states: 0,
  flags: ["maximize", "decays"],
  work: 4,
  update: (c, numbers, elements, attributes) => {
    const [rate, decay] = numbers as [V128, V128];
    const [parameter, gradient] = elements as [V128, V128];
    const direction = effectiveGradient(c, parameter, gradient, decay, attributes);
    return [c.module.nmadd(rate, direction, parameter)];
  },
});

/** The kernel of `sgdMomentum`. */
export const sgdMomentumKernel: NativeKernel = updateKernel({
  op: "sgdMomentum",
  numbers: 4,
  states: 1,
  flags: ["maximize", "decays", "nesterov"],
  work: 8,
  update: (c, numbers, elements, attributes) => {
    const { f, module } = c;
    const [rate, decay, momentum, share] = numbers as [V128, V128, V128, V128];
    const [parameter, gradient, buffer] = elements as [V128, V128, V128];
    const direction = effectiveGradient(c, parameter, gradient, decay, attributes);
    const next = f.let(module.madd(momentum, buffer, f32x4.multiply(share, direction)));
    const way = attributes.nesterov === true ? module.madd(momentum, next, direction) : next;
    return [module.nmadd(rate, way, parameter), next];
  },
});

const adam: Omit<TensorUpdate, "op" | "states"> = {
  numbers: 8,
  flags: ["maximize", "decays", "decoupled"],
  work: 20,
  update: (c, numbers, elements, attributes) => {
    const { f, module } = c;
    const [size, correction, beta1, rest1, beta2, rest2, eps, decay] = numbers as readonly [
      V128,
      V128,
      V128,
      V128,
      V128,
      V128,
      V128,
      V128,
    ];
    const [parameter, gradient, mean, square, largest] = elements as readonly [
      V128,
      V128,
      V128,
      V128,
      V128 | undefined,
    ];
    const direction = effectiveGradient(c, parameter, gradient, decay, attributes);
    const decayed = attributes.decoupled === true ? f32x4.multiply(parameter, decay) : parameter;
    const nextMean = f.let(module.madd(mean, beta1, f32x4.multiply(direction, rest1)));
    const power = f32x4.multiply(f32x4.multiply(direction, direction), rest2);
    const nextSquare = f.let(module.madd(square, beta2, power));
    const states = [nextMean, nextSquare];
    let scale = nextSquare;
    if (largest !== undefined) {
      scale = f.let(f32x4.maximum(largest, nextSquare));
      states.push(scale);
    }
    const deviation = f32x4.add(f32x4.divide(f32x4.sqrt(scale), correction), eps);
    const next = module.nmadd(size, f32x4.divide(nextMean, deviation), decayed);
    return [next, ...states];
  },
};

/** The kernel of `adam`, which is AdamW's too. */
export const adamKernel: NativeKernel = updateKernel({ ...adam, op: "adam", states: 2 });

/** The kernel of `adamAmsgrad`. */
export const adamAmsgradKernel: NativeKernel = updateKernel({
  ...adam,
  op: "adamAmsgrad",
  states: 3,
});
