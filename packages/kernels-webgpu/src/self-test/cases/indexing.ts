/** Elements by their positions, and joining tensors. */

import { cat, embedding } from "@x/tensor";
import { casesOf, type SelfTestCase } from "../case.js";

/** Reading and writing at positions from tensors. */
export const indexingCases: readonly SelfTestCase[] = [
  ...casesOf(
    "indexing",
    { tolerance: 1e-5 },
    {
      "embedding, with gradients": (inputs) => {
        const tokens = inputs.integers([4, 33], 0, 20);
        return inputs.withGradients([inputs.floats([20, 24])], (table) => [
          embedding(tokens, table),
        ]);
      },
      "gather, with gradients": (inputs) => {
        const places = inputs.integers([7, 12], 0, 30);
        return inputs.withGradients([inputs.floats([7, 30])], (x) => [x.gather(1, places)]);
      },
      "adding to places hit often": (inputs) => {
        const [x, places] = [inputs.floats([5, 9]), inputs.integers([200], 0, 5)];
        return [
          x.indexAdd(0, places, inputs.floats([200, 9])),
          x.scatterAdd(0, inputs.integers([40, 9], 0, 5), inputs.floats([40, 9])),
        ];
      },
    },
  ),
  ...casesOf(
    "indexing",
    { tolerance: 0 },
    {
      "take along an inner axis": (inputs) => [
        inputs.floats([4, 30, 5]).take(inputs.integers([3, 7], 0, 30), 1),
      ],
      "scatter to distinct places": (inputs) => {
        const places = inputs.permutation(40).reshape([1, 40]).expand([3, 40]);
        return [inputs.floats([3, 40]).scatter(1, places, inputs.floats([3, 40]))];
      },
      "of float16 and int8": (inputs) => {
        const places = inputs.integers([50], 0, 30);
        return [
          inputs.floats([30, 5], -1, 1, "float16").take(places, 0),
          inputs.integers([30, 5], -99, 99, "int8").take(places, 0),
        ];
      },
      "a window read and written": (inputs) => [
        inputs.floats([3, 50]).dynamicSlice(1, 17, 9),
        inputs.floats([3, 50]).dynamicUpdate(1, inputs.floats([3, 9]), 23),
      ],
    },
  ),
  ...casesOf(
    "joining",
    { tolerance: 0 },
    {
      "three tensors along an inner axis": (inputs) => [
        cat([inputs.floats([3, 4, 5]), inputs.floats([3, 1, 5]), inputs.floats([3, 7, 5])], 1),
      ],
      "of bool and float16": (inputs) => [
        cat([inputs.booleans([3, 5]), inputs.booleans([2, 5])]),
        cat([inputs.floats([3, 5], 0, 1, "float16"), inputs.floats([2, 5], 0, 1, "float16")]),
      ],
    },
  ),
];
