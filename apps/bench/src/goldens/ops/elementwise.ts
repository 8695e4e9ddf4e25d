/** Functions of one and two tensors, comparisons, logic, selection. */

import { where, type Tensor } from "@x/tensor";
import type { Settings } from "../settings.js";
import { ofOne, ofTwo, type Operation, type Operations } from "./operation.js";

const unary = (compute: (x: Tensor) => Tensor): Operation => ofOne(compute);

const withSettings = (compute: (x: Tensor, settings: Settings) => Tensor): Operation =>
  ofOne((x, { settings }) => compute(x, settings));

const softplus = withSettings((x, settings) =>
  x.softplus({
    beta: settings.number("beta") ?? 1,
    threshold: settings.number("threshold") ?? 20,
  }),
);

const clamp = withSettings((x, settings) => x.clamp(settings.number("min"), settings.number("max")));

const compare: Operation = (subject) => {
  const a = subject.input("a");
  const b = subject.input("b");
  return {
    outputs: { eq: a.eq(b), ne: a.ne(b), lt: a.lt(b), le: a.le(b), gt: a.gt(b), ge: a.ge(b) },
  };
};

const logical: Operation = (subject) => {
  const a = subject.input("a");
  const b = subject.input("b");
  return {
    outputs: {
      and: a.logicalAnd(b),
      or: a.logicalOr(b),
      xor: a.logicalXor(b),
      not: a.logicalNot(),
    },
  };
};

const constantPower: Operation = (subject) => ({
  outputs: { y: subject.input("x").pow(subject.settings.requiredNumber("exponent")) },
});

const select: Operation = (subject) => ({
  outputs: { y: where(subject.input("cond"), subject.input("a"), subject.input("b")) },
});

/** The largest negative float32: what masked scores are set to where the file names no value. */
const lowest = -3.4028234663852886e38;

const maskedSoftmax: Operation = (subject) => {
  const { settings } = subject;
  const filled = subject
    .input("x")
    .maskedFill(subject.input("mask"), settings.number("fill") ?? lowest);
  return { outputs: { y: filled.softmax(settings.number("dim") ?? -1) } };
};

/** By their names in PyTorch. */
export const elementwiseOperations: Operations = {
  exp: unary((x) => x.exp()),
  expm1: unary((x) => x.expm1()),
  log: unary((x) => x.log()),
  log1p: unary((x) => x.log1p()),
  log2: unary((x) => x.log2()),
  sqrt: unary((x) => x.sqrt()),
  rsqrt: unary((x) => x.rsqrt()),
  square: unary((x) => x.square()),
  reciprocal: unary((x) => x.reciprocal()),
  abs: unary((x) => x.abs()),
  neg: unary((x) => x.neg()),
  sign: unary((x) => x.sign()),
  floor: unary((x) => x.floor()),
  ceil: unary((x) => x.ceil()),
  round: unary((x) => x.round()),
  trunc: unary((x) => x.trunc()),
  sin: unary((x) => x.sin()),
  cos: unary((x) => x.cos()),
  tan: unary((x) => x.tan()),
  tanh: unary((x) => x.tanh()),
  sigmoid: unary((x) => x.sigmoid()),
  log_sigmoid: unary((x) => x.logSigmoid()),
  logsigmoid: unary((x) => x.logSigmoid()),
  erf: unary((x) => x.erf()),
  relu: unary((x) => x.relu()),
  silu: unary((x) => x.silu()),
  gelu: withSettings((x, settings) => {
    const isTanh = settings.string("approximate")?.startsWith("tanh") === true;
    return x.gelu({ approximate: isTanh ? "tanh" : "none" });
  }),
  gelu_tanh: unary((x) => x.gelu({ approximate: "tanh" })),
  softplus,
  leaky_relu: withSettings((x, settings) => x.leakyRelu(settings.number("negative_slope") ?? 0.01)),
  elu: withSettings((x, settings) => x.elu(settings.number("alpha") ?? 1)),
  clamp,
  clamp_min: clamp,
  clamp_max: clamp,

  add: ofTwo((a, b) => a.add(b)),
  sub: ofTwo((a, b) => a.sub(b)),
  mul: ofTwo((a, b) => a.mul(b)),
  div: ofTwo((a, b) => a.div(b)),
  maximum: ofTwo((a, b) => a.maximum(b)),
  minimum: ofTwo((a, b) => a.minimum(b)),
  pow: ofTwo((a, b) => a.pow(b)),
  remainder: ofTwo((a, b) => a.remainder(b)),
  floor_divide: ofTwo((a, b) => a.floorDivide(b)),
  pow_const: constantPower,
  compare,
  logical,

  where: select,
  masked_fill: (subject) => ({
    outputs: {
      y: subject
        .input("x")
        .maskedFill(subject.input("mask"), subject.settings.requiredNumber("value")),
    },
  }),
  masked_softmax: maskedSoftmax,
  tril: withSettings((x, settings) => x.tril(settings.number("diagonal") ?? 0)),
  triu: withSettings((x, settings) => x.triu(settings.number("diagonal") ?? 0)),
};
