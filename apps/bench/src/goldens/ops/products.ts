/** Matrix products and convolutions. */

import { conv1d, conv2d, einsum, linear } from "@x/tensor";
import { ofTwo, type Operation, type Operations } from "./operation.js";

const product = ofTwo((a, b) => a.matmul(b));

const sum: Operation = (subject) => {
  const equation = subject.settings.string("equation");
  if (equation === undefined) throw new Error(`the configuration must set "equation"`);
  return { outputs: { y: einsum(equation, ...subject.inputs("x")) } };
};

const affine: Operation = (subject) => ({
  outputs: {
    y: linear(subject.input("x"), subject.input("weight"), subject.optionalInput("bias")),
  },
});

/** A convolution over one axis or two, as the weight says. */
const convolution: Operation = (subject) => {
  const { settings } = subject;
  const x = subject.input("x");
  const weight = subject.input("weight");
  const bias = subject.optionalInput("bias") ?? null;
  const common = { bias, groups: settings.number("groups") ?? 1 };
  const along = (key: string, otherwise: number): [number, number] => {
    const value = settings.numberOrNumbers(key) ?? otherwise;
    return typeof value === "number" ? [value, value] : [value[0]!, value[1] ?? value[0]!];
  };
  const [stride, padding, dilation] = [along("stride", 1), along("padding", 0), along("dilation", 1)];
  const y =
    weight.rank === 3
      ? conv1d(x, weight, {
          ...common,
          stride: stride[0],
          padding: padding[0],
          dilation: dilation[0],
        })
      : conv2d(x, weight, { ...common, stride, padding, dilation });
  return { outputs: { y } };
};

/** By their names in the goldens. */
export const productOperations: Operations = {
  matmul: product,
  mm: product,
  bmm: product,
  mv: product,
  dot: product,
  outer: ofTwo((a, b) => a.outer(b)),
  einsum: sum,
  linear: affine,
  conv: convolution,
  conv1d: convolution,
  conv2d: convolution,
};
