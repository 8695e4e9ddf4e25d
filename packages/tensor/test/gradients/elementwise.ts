import { checkpoint } from "../../src/tensor/checkpoint.js";
import { customGradient } from "../../src/tensor/custom-gradient.js";
import { where } from "../../src/tensor/joining.js";
import type { Tensor } from "../../src/tensor/tensor.js";
import { awayFromZero, booleans, uniform, type GradientCase } from "./case.js";

const shape = [2, 3];

function unary(
  name: string,
  f: (x: Tensor) => Tensor,
  x: Tensor = awayFromZero(shape),
): GradientCase {
  return { name, f, inputs: [x] };
}

const positive = (): Tensor => uniform(shape, 0.4, 2);

/** Functions of one tensor. */
const unaryCases: readonly GradientCase[] = [
  unary("neg", (x) => x.neg()),
  unary("abs", (x) => x.abs()),
  unary("sign", (x) => x.sign().mul(x)),
  unary("floor", (x) => x.floor().mul(x)),
  unary("ceil", (x) => x.ceil().mul(x)),
  unary("round", (x) => x.round().mul(x), uniform(shape, 0.6, 1.4)),
  unary("trunc", (x) => x.trunc().mul(x)),
  unary("sqrt", (x) => x.sqrt(), positive()),
  unary("rsqrt", (x) => x.rsqrt(), positive()),
  unary("square", (x) => x.square()),
  unary("reciprocal", (x) => x.reciprocal()),
  unary("exp", (x) => x.exp()),
  unary("expm1", (x) => x.expm1()),
  unary("log", (x) => x.log(), positive()),
  unary("log1p", (x) => x.log1p(), positive()),
  unary("log2", (x) => x.log2(), positive()),
  unary("sin", (x) => x.sin()),
  unary("cos", (x) => x.cos()),
  unary("tan", (x) => x.tan(), uniform(shape, -1, 1)),
  unary("tanh", (x) => x.tanh()),
  unary("sigmoid", (x) => x.sigmoid()),
  unary("logSigmoid", (x) => x.logSigmoid()),
  unary("erf", (x) => x.erf()),
  unary("relu", (x) => x.relu()),
  unary("gelu", (x) => x.gelu()),
  unary("gelu, tanh", (x) => x.gelu({ approximate: "tanh" })),
  unary("silu", (x) => x.silu()),
  unary("softplus", (x) => x.softplus({ beta: 2, threshold: 3 })),
  unary("leakyRelu", (x) => x.leakyRelu(0.1)),
  unary("elu", (x) => x.elu(1.3)),
  unary("clamp", (x) => x.clamp(-1.05, 1.05)),
  unary("pow of a constant", (x) => x.pow(2.5), positive()),
  unary("cast", (x) => x.cast("float16").float().detach().mul(x)),
  unary("nested", (x) => x.mul(x.sin()).exp().div(x.square().add(1))),
];

function binary(
  name: string,
  f: (a: Tensor, b: Tensor) => Tensor,
  a: Tensor = awayFromZero([2, 3]),
  b: Tensor = awayFromZero([4, 1, 3]),
): GradientCase {
  return { name, f, inputs: [a, b] };
}

/** Functions of several tensors, broadcast. */
const broadcastCases: readonly GradientCase[] = [
  binary("add", (a, b) => a.add(b).square()),
  binary("sub", (a, b) => a.sub(b).square()),
  binary("mul", (a, b) => a.mul(b)),
  binary("div", (a, b) => a.div(b)),
  binary("remainder", (a, b) => a.remainder(b), uniform([3], 2.1, 2.9), uniform([3], 0.9, 1)),
  binary("pow", (a, b) => a.pow(b), positive()),
  binary("maximum", (a, b) => a.maximum(b).square()),
  binary("minimum", (a, b) => a.minimum(b).square()),
  binary("lerp", (a, b) => a.lerp(b, 0.3).square()),
  {
    name: "where",
    f: (condition, a, b) => where(condition, a, b).square(),
    inputs: [booleans([3, 2, 3]), uniform([2, 3]), uniform([3, 1, 1])],
  },
  {
    name: "maskedFill",
    f: (x, mask) => x.maskedFill(mask, 3).square(),
    inputs: [uniform([2, 3]), booleans([3])],
  },
];

const doubled = customGradient((x: Tensor) => ({
  value: x.mul(2),
  gradient: (g) => g.mul(2),
}));

/** Functions that record differently. */
const recordingCases: readonly GradientCase[] = [
  unary("checkpoint", (x) => checkpoint((y) => y.exp().mul(y.sin()), x)),
  unary("customGradient", (x) => doubled(x.square())),
];

export const elementwiseCases: readonly GradientCase[] = [
  ...unaryCases,
  ...broadcastCases,
  ...recordingCases,
];
