/** What is done to rows: softmax, norms, cross entropy. */

import { crossEntropy, layerNorm, rmsNorm, type Shape } from "@x/tensor";
import { casesOf, type SelfTestCase } from "../case.js";

/** Short rows that share a workgroup, and one that is longer than any workgroup. */
const shapes: readonly Shape[] = [
  [50, 7],
  [9, 256],
  [3, 5000],
];

const named = (shape: Shape): string => shape.join(" × ");

/** Forward and with gradients, for short and long rows. */
export const rowCases: readonly SelfTestCase[] = [
  ...shapes.flatMap((shape) => [
    ...casesOf(
      "softmax",
      { tolerance: 1e-5 },
      {
        [`${named(shape)}, with gradients`]: (inputs) =>
          inputs.withGradients([inputs.floats(shape, -9, 9)], (x) => [x.softmax(-1)]),
        [`logarithm, ${named(shape)}, with gradients`]: (inputs) =>
          inputs.withGradients([inputs.floats(shape, -9, 9)], (x) => [x.logSoftmax(-1)]),
      },
    ),
    ...casesOf(
      "norm",
      { tolerance: 2e-5 },
      {
        [`layer norm, ${named(shape)}, with gradients`]: (inputs) => {
          const width = shape.at(-1)!;
          return inputs.withGradients(
            [inputs.floats(shape, -1, 3), inputs.floats([width]), inputs.floats([width])],
            (x, weight, bias) => [layerNorm(x, width, { weight, bias })],
          );
        },
        [`RMS norm, ${named(shape)}, with gradients`]: (inputs) => {
          const width = shape.at(-1)!;
          return inputs.withGradients(
            [inputs.floats(shape, -1, 3), inputs.floats([width])],
            (x, weight) => [rmsNorm(x, width, { weight })],
          );
        },
      },
    ),
    ...casesOf(
      "cross entropy",
      { tolerance: 1e-5 },
      {
        [`${named(shape)}, with gradients`]: (inputs) => {
          const [rows, classes] = shape as [number, number];
          const targets = inputs.integers([rows], 0, classes);
          return inputs.withGradients([inputs.floats(shape, -5, 5)], (x) => [
            crossEntropy(x, targets, { labelSmoothing: 0.1 }),
          ]);
        },
      },
    ),
  ]),
  ...casesOf(
    "softmax",
    { tolerance: 1e-5 },
    {
      "of a transposed view": (inputs) => [inputs.floats([40, 30], -5, 5).t().softmax(-1)],
      "along the first axis": (inputs) => [inputs.floats([40, 30], -5, 5).softmax(0)],
      "of rows with −∞": (inputs) => [
        inputs
          .floats([20, 33], -5, 5)
          .maskedFill(inputs.booleans([20, 33]), -Infinity)
          .softmax(-1),
      ],
    },
  ),
  ...casesOf(
    "cross entropy",
    { tolerance: 1e-5 },
    {
      "with ignored rows": (inputs) => {
        const targets = inputs.integers([31], 0, 10);
        return inputs.withGradients([inputs.floats([31, 10], -5, 5)], (x) => [
          crossEntropy(x, targets, { ignoreIndex: 3 }),
        ]);
      },
    },
  ),
  ...casesOf(
    "norm",
    { tolerance: 2e-5 },
    {
      "of a product's few rows, 2 × 264": (inputs) => [
        layerNorm(inputs.floats([2, 264], -1, 3), 264, { bias: inputs.floats([264]) })
          .matmul(inputs.floats([90, 264]).t())
          .add(inputs.floats([90])),
      ],
      "of a product's few rows, float16": (inputs) => [
        rmsNorm(inputs.floats([1, 70]), 70).matmul(inputs.floats([70, 32], -1, 1, "float16")),
      ],
    },
  ),
];
