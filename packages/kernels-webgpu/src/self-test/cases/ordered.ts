/** Scans and sorting. */

import { casesOf, type SelfTestCase } from "../case.js";

/** Along rows that fit into a workgroup, along longer ones, and along other axes. */
export const orderedCases: readonly SelfTestCase[] = [
  ...casesOf(
    "scan",
    { tolerance: 1e-5 },
    {
      "cumsum of 5 × 100 and 2 × 3000": (inputs) => [
        inputs.floats([5, 100], 0).cumsum(1),
        inputs.floats([2, 3000], 0).cumsum(1),
      ],
      "cumsum along the first axis": (inputs) => [inputs.floats([90, 14], 0).cumsum(0)],
      "cumprod, with gradients": (inputs) =>
        inputs.withGradients([inputs.floats([4, 60], 0.8, 1.2)], (x) => [x.cumprod(1)]),
    },
  ),
  ...casesOf(
    "scan",
    { tolerance: 0 },
    {
      "cummax and cummin": (inputs) => {
        const x = inputs.floats([6, 333]);
        const [largest, smallest] = [x.cummax(1), x.cummin(0)];
        return [largest.values, largest.indices, smallest.values, smallest.indices];
      },
      "cumsum of int32": (inputs) => [inputs.integers([3, 500], -9, 9).cumsum(1)],
    },
  ),
  ...casesOf(
    "sort",
    { tolerance: 0 },
    {
      "3 × 77, ascending": (inputs) => {
        const { values, indices } = inputs.floats([3, 77]).sort(1);
        return [values, indices];
      },
      "2 × 3000, descending": (inputs) => {
        const { values, indices } = inputs.floats([2, 3000]).sort(1, { descending: true });
        return [values, indices];
      },
      "ties of int32, along the first axis": (inputs) => {
        const { values, indices } = inputs.integers([60, 5], 0, 9).sort(0);
        return [values, indices];
      },
      "top 5 of 4 × 200": (inputs) => {
        const { values, indices } = inputs.floats([4, 200]).topk(5);
        return [values, indices];
      },
    },
  ),
];
