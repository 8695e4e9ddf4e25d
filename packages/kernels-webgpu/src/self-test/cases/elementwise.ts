/** Functions of single elements, alone and in fused chains, and moving elements about. */

import { cat, where, type Tensor } from "@x/tensor";
import { casesOf, type SelfTestCase } from "../case.js";

/** An odd number of elements, so that the last group of every kernel is not full. */
const size = [1021];

/** Functions, and the interval that their inputs are from. */
const functions: readonly [name: string, from: number, to: number, f: (x: Tensor) => Tensor][] = [
  ["exp", -20, 5, (x) => x.exp()],
  ["expm1", -5, 5, (x) => x.expm1()],
  ["log", 1e-3, 50, (x) => x.log()],
  ["log1p", -0.9, 50, (x) => x.log1p()],
  ["sqrt", 0, 50, (x) => x.sqrt()],
  ["rsqrt", 0.01, 50, (x) => x.rsqrt()],
  ["reciprocal", 0.1, 50, (x) => x.reciprocal()],
  ["pow", 0.1, 4, (x) => x.pow(2.7)],
  ["sin", -10, 10, (x) => x.sin()],
  ["cos", -10, 10, (x) => x.cos()],
  ["tan", -1.4, 1.4, (x) => x.tan()],
  ["tanh", -5, 5, (x) => x.tanh()],
  ["sigmoid", -9, 9, (x) => x.sigmoid()],
  ["logSigmoid", -9, 9, (x) => x.logSigmoid()],
  ["softplus", -9, 9, (x) => x.softplus()],
  ["erf", -3, 3, (x) => x.erf()],
  ["gelu", -1, 5, (x) => x.gelu()],
  ["gelu with tanh", -1, 5, (x) => x.gelu({ approximate: "tanh" })],
  ["silu", -9, 9, (x) => x.silu()],
  ["elu", -5, 5, (x) => x.elu(1.2)],
];

const functionCases = functions.flatMap(([name, from, to, f]) =>
  casesOf(
    "function",
    { tolerance: 1e-5, relativeTo: "element" },
    { [name]: (inputs) => [f(inputs.floats(size, from, to))] },
  ),
);

/** Functions of single elements, fused loops, and types. */
export const elementwiseCases: readonly SelfTestCase[] = [
  ...functionCases,
  ...casesOf(
    "elementwise",
    { tolerance: 0 },
    {
      "rounding, clamp, sign": (inputs) => {
        const x = inputs.floats(size, -9, 9);
        return [x.round(), x.floor(), x.ceil(), x.trunc(), x.sign(), x.abs(), x.clamp(-2, 3)];
      },
      "int32 arithmetic and bits": (inputs) => {
        const [a, b] = [inputs.integers(size, -99, 99), inputs.integers(size, 1, 9)];
        return [a.mul(b).add(7), a.floorDivide(b), a.remainder(b), a.bitwiseXor(b).bitwiseAnd(55)];
      },
      "comparison and where": (inputs) => {
        const [a, b] = [inputs.floats([3, 1, 17]), inputs.floats([5, 1])];
        return [a.lt(b), a.eq(a), where(a.gt(b), a, b)];
      },
      "int8 and bool": (inputs) => {
        const [a, b] = [inputs.integers(size, -50, 50, "int8"), inputs.booleans(size)];
        return [a.add(1), a.gt(3).logicalAnd(b), b.logicalNot(), a.cast("float32")];
      },
      "float16 storage": (inputs) => {
        const x = inputs.floats(size, -2, 2, "float16");
        return [x.neg(), x.cast("float32"), cat([x, x.abs()])];
      },
    },
  ),
  ...casesOf(
    "elementwise",
    { tolerance: 1e-5 },
    {
      "fused chain": (inputs) => {
        const [a, b] = [inputs.floats([37, 65]), inputs.floats([65], 1, 2)];
        return [a.mul(b).add(a).tanh().mul(0.5).add(b.log()).div(b)];
      },
      "gradients of a chain": (inputs) =>
        inputs.withGradients([inputs.floats([9, 33]), inputs.floats([33], 1, 2)], (a, b) => [
          a.mul(b).gelu().add(b.sqrt()),
        ]),
      "transposed, sliced, padded": (inputs) => {
        const x = inputs.floats([6, 10, 14]);
        return [x.transpose(0, 2).mul(2), x.narrow(1, 2, 5).flip(2), x.pad([1, 2, 0, 3]).add(1)];
      },
    },
  ),
  ...casesOf(
    "elementwise",
    { tolerance: 1e-3, relativeTo: "element" },
    {
      "float16 arithmetic": (inputs) => {
        const [a, b] = [1, 2].map(() => inputs.floats(size, 0.5, 2, "float16")) as [Tensor, Tensor];
        return [a.mul(b).add(a), a.exp(), a.div(b)];
      },
    },
  ),
];
