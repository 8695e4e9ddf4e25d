/** Matrix products and convolutions. */

import {
  conv1d,
  conv2d,
  einsum,
  functional,
  layerNorm,
  rmsNorm,
  type DType,
  type Tensor,
} from "@x/tensor";
import { casesOf, type SelfTestCase } from "../case.js";

/** [rows, summed, columns] of products of two matrices. */
const shapes: readonly (readonly [number, number, number])[] = [
  [1, 1, 1],
  [4, 4, 4],
  [17, 19, 23],
  [64, 64, 64],
  [65, 33, 130],
  [128, 256, 128],
  [3, 1000, 5],
  [200, 3, 200],
];

/** Products of all shapes, with a vector on one side, batched, transposed, with gradients. */
export const productCases: readonly SelfTestCase[] = [
  ...casesOf(
    "matmul",
    { tolerance: 1e-5 },
    {
      ...Object.fromEntries(
        shapes.map(([m, k, n]): [string, SelfTestCase["compute"]] => [
          `${m} × ${k} × ${n}`,
          (inputs) => [inputs.floats([m, k]).matmul(inputs.floats([k, n]))],
        ]),
      ),
      "vector × matrix, 1 × 300 × 200": (inputs) => [
        inputs.floats([1, 300]).matmul(inputs.floats([300, 200])),
      ],
      "vector × transposed matrix": (inputs) => [
        inputs.floats([1, 300]).matmul(inputs.floats([200, 300]).t()),
      ],
      "feed-forward network of a vector, norm behind it": (inputs) => {
        const [x, y] = [inputs.floats([1, 64]), inputs.floats([2, 70])];
        const wide = (from: Tensor, hidden: number, dtype: DType = "float32"): Tensor => {
          const width = from.shape[1]!;
          return functional
            .linear(from, inputs.floats([hidden, width]), inputs.floats([hidden]))
            .relu()
            .matmul(inputs.floats([hidden, width], -1, 1, dtype))
            .add(from);
        };
        return [layerNorm(wide(x, 200), 64), rmsNorm(wide(y, 100, "float16"), 70)];
      },
      "matrix × vector, 200 × 300 × 1": (inputs) => [
        inputs.floats([200, 300]).matmul(inputs.floats([300, 1])),
      ],
      "both transposed": (inputs) => [
        inputs
          .floats([70, 40])
          .t()
          .matmul(inputs.floats([50, 70]).t()),
      ],
      "batched and broadcast": (inputs) => [
        inputs.floats([2, 3, 20, 30]).matmul(inputs.floats([3, 30, 40])),
      ],
      "of heads, transposed views": (inputs) => {
        const [q, k] = [inputs.floats([2, 33, 4, 16]), inputs.floats([2, 33, 4, 16])];
        return [q.transpose(1, 2).matmul(k.permute([0, 2, 3, 1]))];
      },
      einsum: (inputs) => [
        einsum("bij,bkj->bik", inputs.floats([3, 9, 20]), inputs.floats([3, 11, 20])),
      ],
      "linear layer with GELU and gradients": (inputs) =>
        inputs.withGradients(
          [inputs.floats([30, 48]), inputs.floats([64, 48]), inputs.floats([64])],
          (x, weight, bias) => [functional.linear(x, weight, bias).gelu()],
        ),
    },
  ),
  ...casesOf(
    "matmul",
    { tolerance: 2e-3 },
    {
      "of float16": (inputs) => [
        inputs.floats([40, 64], -1, 1, "float16").matmul(inputs.floats([64, 48], -1, 1, "float16")),
      ],
      "of int8 weights with scales, few and many rows": (inputs) => {
        const [weight, scale] = [inputs.integers([48, 64], -127, 127, "int8"), inputs.floats([48])];
        const rows = [inputs.floats([1, 64]), inputs.floats([40, 64])];
        return rows.map((x) => functional.linear(x, weight).mul(scale).div(127));
      },
    },
  ),
  ...casesOf(
    "convolution",
    { tolerance: 1e-5 },
    {
      "over one axis, strided, with gradients": (inputs) =>
        inputs.withGradients(
          [inputs.floats([2, 3, 40]), inputs.floats([5, 3, 4]), inputs.floats([5])],
          (x, weight, bias) => [conv1d(x, weight, { bias, stride: 2, padding: 1 })],
        ),
      "over two axes, grouped, with gradients": (inputs) =>
        inputs.withGradients(
          [inputs.floats([2, 4, 11, 9]), inputs.floats([6, 2, 3, 3])],
          (x, weight) => [conv2d(x, weight, { groups: 2, padding: 1, dilation: [2, 1] })],
        ),
    },
  ),
];
