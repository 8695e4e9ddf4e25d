/** The steps of SGD and Adam, as `optim/update-ops.ts` of `@x/tensor` defines them. */

import type { Node } from "@x/tensor/device";
import type { NativeKernel } from "../../native.js";
import { type TensorUpdate, updateKernel } from "./tensors.js";

/** The gradient as it is used: turned around to maximize, with weight decay as an L2 penalty. */
function direction({ maximize, decays }: Node["attributes"]): string {
  const signed = maximize === true ? "-gradient" : "gradient";
  return `let direction = ${decays === true ? `${signed} + parameter * decay` : signed};`;
}

/** The kernel of `sgd`. */
export const sgdKernel: NativeKernel = updateKernel({
  op: "sgd",
  numbers: ["rate", "decay"],
  states: [],
  code: (attributes) => `${direction(attributes)}
parameter -= rate * direction;`,
});

/** The kernel of `sgdMomentum`. */
export const sgdMomentumKernel: NativeKernel = updateKernel({
  op: "sgdMomentum",
  numbers: ["rate", "decay", "momentum", "share"],
  states: ["state"],
  code: (attributes) => `${direction(attributes)}
state = momentum * state + share * direction;
parameter -= rate * ${attributes.nesterov === true ? "(direction + momentum * state)" : "state"};`,
});

const adam = (op: string, isAmsgrad: boolean): TensorUpdate => ({
  op,
  numbers: ["size", "correction", "beta1", "rest1", "beta2", "rest2", "eps", "decay"],
  states: isAmsgrad ? ["mean", "square", "largest"] : ["mean", "square"],
  code: (attributes, { maximum }) => `${direction(attributes)}
mean = mean * beta1 + direction * rest1;
square = square * beta2 + direction * direction * rest2;
${isAmsgrad ? `largest = ${maximum("largest", "square")};` : ""}
let deviation = sqrt(${isAmsgrad ? "largest" : "square"}) / correction + eps;
parameter = parameter${attributes.decoupled === true ? " * decay" : ""} - size * (mean / deviation);`,
});

/** The kernel of `adam`, which is AdamW's too. */
export const adamKernel: NativeKernel = updateKernel(adam("adam", false));

/** The kernel of `adamAmsgrad`. */
export const adamAmsgradKernel: NativeKernel = updateKernel(adam("adamAmsgrad", true));
