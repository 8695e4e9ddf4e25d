/** Joining elements along axes. */

import { casesOf, type SelfTestCase } from "../case.js";

/** Sums, extremes and statistics over rows, columns and everything. */
export const reductionCases: readonly SelfTestCase[] = [
  ...casesOf(
    "sum",
    { tolerance: 1e-5 },
    {
      "of 3 × 1000 over rows": (inputs) => [inputs.floats([3, 1000], 0).sum(1)],
      "of 500 × 70 over columns": (inputs) => [inputs.floats([500, 70], 0).sum(0)],
      "of 7 × 9 × 11 × 13 over two axes": (inputs) => [
        inputs.floats([7, 9, 11, 13], 0).sum([0, 2]),
      ],
      "of 40000 elements": (inputs) => [inputs.floats([40000], 0).sum()],
      "of float16": (inputs) => [inputs.floats([5, 300], 0, 1, "float16").cast("float32").sum(1)],
    },
  ),
  ...casesOf(
    "reduction",
    { tolerance: 0 },
    {
      "largest and smallest, and where": (inputs) => {
        const x = inputs.floats([33, 257]);
        return [x.amax(1), x.amin(0), x.argmax(1), x.argmin(0)];
      },
      "of int32 and bool": (inputs) => {
        const x = inputs.integers([20, 31], -50, 50);
        return [x.sum(1), x.amax(0), x.gt(0).all(1), x.gt(40).any(0), x.countNonzero()];
      },
    },
  ),
  ...casesOf(
    "reduction",
    { tolerance: 1e-5 },
    {
      "mean, variance, norm": (inputs) => {
        const x = inputs.floats([17, 211], -1, 3);
        return [x.mean(1), x.var(1), x.std(0), x.norm(2, 1)];
      },
      "product, log of summed powers": (inputs) => {
        const x = inputs.floats([19, 40], 0.5, 1.5);
        return [x.prod(1), x.logsumexp(1), x.logsumexp()];
      },
      "gradients of a mean": (inputs) =>
        inputs.withGradients([inputs.floats([21, 43])], (x) => [x.square().mean(0)]),
    },
  ),
];
