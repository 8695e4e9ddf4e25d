import { describe, expect, it } from "vitest";
import {
  expectLikeReference,
  generator,
  leaf,
  randomData,
  runKernel,
  type View,
} from "../../../../test/wasm/run-kernel.js";
import type { Value } from "../../../graph/node.js";
import { applyOne } from "../../../graph/node.js";
import {
  dynamicSlice,
  dynamicUpdate,
  gather,
  indexAdd,
  scatter,
  scatterAdd,
  take,
} from "../../../ops/indexing.js";
import { concatenate } from "../../../ops/join.js";
import { full } from "../../../ops/movement.js";
import { dtypes, type DType } from "../../../tensor/dtype.js";
import { sizeOf, type Shape } from "../../../tensor/shape.js";
import { concatenateKernel } from "../move/concatenate.js";
import { dynamicSliceKernel } from "../move/dynamic-slice.js";
import { dynamicUpdateKernel } from "../move/dynamic-update.js";
import { gatherKernel, takeKernel } from "./pick.js";
import { indexAddKernel, scatterAddKernel, scatterKernel } from "./scatter.js";

const sums: readonly DType[] = ["float32", "int32", "uint32", "bool"];

/** Indices, some of them out of range. */
function randomIndex(shape: Shape, limit: number, seed: number): Int32Array {
  const random = generator(seed);
  const wild = [-1, limit, limit + 7, -(2 ** 31), 2 ** 31 - 1];
  return Int32Array.from({ length: sizeOf(shape) }, () => {
    const at = Math.floor(random() * limit);
    return random() < 0.05 ? wild[at % wild.length]! : at;
  });
}

/** Small whole numbers, so that float sums are exact in any form. */
function wholeData(value: Value, seed: number): ReturnType<typeof randomData> {
  const data = randomData(value, seed);
  return value.dtype === "float32" ? data.map((x) => Math.round(x * 8)) : data;
}

/** Large shapes, that split work over items, are worth their time for one type only. */
function suited<T extends { x: Shape }>(cases: readonly T[], dtype: DType): readonly T[] {
  return cases.filter(({ x }) => dtype === "float32" || sizeOf(x) < 20000);
}

interface Case {
  readonly x: Shape;
  readonly axis: number;
  readonly index: Shape;
}

describe("take", () => {
  const cases: Case[] = [
    { x: [7, 5], axis: 0, index: [4] },
    { x: [7, 5], axis: 1, index: [2, 3] },
    { x: [3, 9, 4], axis: 1, index: [] },
    { x: [3, 9, 1], axis: 1, index: [11] },
    { x: [13], axis: 0, index: [5, 1] },
    { x: [2, 3, 40], axis: 1, index: [6] },
    { x: [300, 64], axis: 0, index: [700] },
    { x: [3, 70001], axis: 0, index: [2] },
    { x: [2, 1, 3], axis: 1, index: [2] },
  ];
  for (const dtype of dtypes) {
    it(`picks ${dtype} rows`, () => {
      for (const { x: shape, axis, index: indexShape } of suited(cases, dtype)) {
        const [x, index] = [leaf(shape, dtype), leaf(indexShape, "int32")];
        const data = [randomData(x, 1), randomIndex(indexShape, shape[axis]!, 2)];
        expectLikeReference(takeKernel, take(x, axis, index).node, { data });
      }
    });
  }

  it("reads through views with dense blocks", () => {
    const [x, index] = [leaf([3, 4, 5]), leaf([6], "int32")];
    const view: View = { offset: 7, strides: [6, 40, 1] };
    const operand = { buffer: 0, dtype: x.dtype, shape: x.shape, ...view };
    const { node } = take(x, 1, index);
    expect(takeKernel.acceptsView!(node, 0, operand)).toBe(true);
    expect(takeKernel.acceptsView!(node, 0, { ...operand, strides: [6, 40, 2] })).toBe(false);
    const data = [randomData({ shape: [200], dtype: "float32" }, 1), randomIndex([6], 4, 2)];
    expectLikeReference(takeKernel, node, { data, views: [view, null] });
  });

  it("gives zeros where there is nothing to take", () => {
    const { node } = take(leaf([2, 0, 3]), 1, leaf([4], "int32"));
    const [result] = runKernel(takeKernel, node, { data: [new Float32Array(), new Int32Array(4)] });
    expect(result).toEqual(new Float32Array(24));
  });
});

describe("gather", () => {
  const cases: Case[] = [
    { x: [7, 5], axis: 0, index: [4, 5] },
    { x: [7, 5], axis: 1, index: [7, 2] },
    { x: [7, 5], axis: 1, index: [3, 9] },
    { x: [3, 9, 4], axis: 1, index: [3, 1, 4] },
    { x: [3, 9, 4], axis: 0, index: [6, 2, 1] },
    { x: [13], axis: 0, index: [30] },
    { x: [40, 100], axis: 1, index: [40, 1] },
    { x: [3, 20000], axis: 1, index: [3, 9000] },
  ];
  for (const dtype of dtypes) {
    it(`gathers ${dtype}`, () => {
      for (const { x: shape, axis, index: indexShape } of suited(cases, dtype)) {
        const [x, index] = [leaf(shape, dtype), leaf(indexShape, "int32")];
        const data = [randomData(x, 1), randomIndex(indexShape, shape[axis]!, 2)];
        expectLikeReference(gatherKernel, gather(x, axis, index).node, { data });
      }
    });
  }

  it("reads through views", () => {
    const [x, index] = [leaf([4, 5]), leaf([4, 3], "int32")];
    const views: View[] = [
      { offset: 30, strides: [-7, 2] },
      { offset: 1, strides: [0, 3] },
    ];
    const data = [randomData({ shape: [60], dtype: "float32" }, 1), randomIndex([12], 5, 2)];
    expectLikeReference(gatherKernel, gather(x, 1, index).node, { data, views });
  });
});

describe("scatter and scatterAdd", () => {
  const cases: Case[] = [
    { x: [7, 5], axis: 0, index: [4, 5] },
    { x: [7, 5], axis: 1, index: [7, 9] },
    { x: [7, 5], axis: 1, index: [3, 0] },
    { x: [3, 9, 4], axis: 1, index: [3, 20, 2] },
    { x: [3, 9, 4], axis: 0, index: [16, 2, 1] },
    { x: [13], axis: 0, index: [30] },
    { x: [130], axis: 0, index: [10000] },
    { x: [1, 1000], axis: 1, index: [1, 20000] },
    { x: [40, 700], axis: 1, index: [40, 500] },
  ];
  for (const dtype of dtypes) {
    it(`replaces ${dtype}`, () => {
      for (const { x: shape, axis, index: indexShape } of suited(cases, dtype)) {
        const [x, index] = [leaf(shape, dtype), leaf(indexShape, "int32")];
        const source = leaf(indexShape, dtype);
        const data = [
          randomData(x, 1),
          randomIndex(indexShape, shape[axis]!, 2),
          randomData(source, 3),
        ];
        expectLikeReference(scatterKernel, scatter(x, axis, index, source).node, { data });
      }
    });
  }
  for (const dtype of sums) {
    it(`adds ${dtype}`, () => {
      for (const { x: shape, axis, index: indexShape } of suited(cases, dtype)) {
        const [x, index] = [leaf(shape, dtype), leaf(indexShape, "int32")];
        const source = leaf(indexShape, dtype);
        const data = [
          wholeData(x, 1),
          randomIndex(indexShape, shape[axis]!, 2),
          wholeData(source, 3),
        ];
        expectLikeReference(scatterAddKernel, scatterAdd(x, axis, index, source).node, { data });
      }
    });
  }

  it("reads indices and sources through views", () => {
    const [x, index, source] = [leaf([6, 5]), leaf([4, 5], "int32"), leaf([4, 5])];
    const views = [null, { offset: 2, strides: [1, 0] }, { offset: 0, strides: [1, 4] }];
    const data = [wholeData(x, 1), randomIndex([12], 6, 2), wholeData(source, 3)];
    expectLikeReference(scatterAddKernel, scatterAdd(x, 0, index, source).node, { data, views });
  });
});

describe("indexAdd", () => {
  const cases: Case[] = [
    { x: [7, 5], axis: 0, index: [4] },
    { x: [7, 5], axis: 1, index: [2, 30] },
    { x: [3, 9, 4], axis: 1, index: [] },
    { x: [13], axis: 0, index: [50] },
    { x: [13, 3], axis: 0, index: [0] },
    { x: [1000], axis: 0, index: [20000] },
    { x: [50, 200], axis: 0, index: [300] },
    { x: [50, 1031], axis: 0, index: [30] },
    { x: [2, 50, 131], axis: 1, index: [300] },
  ];
  for (const dtype of sums) {
    it(`adds ${dtype} rows`, () => {
      for (const { x: shape, axis, index: indexShape } of suited(cases, dtype)) {
        const [x, index] = [leaf(shape, dtype), leaf(indexShape, "int32")];
        const source = leaf(
          [...shape.slice(0, axis), ...indexShape, ...shape.slice(axis + 1)],
          dtype,
        );
        const data = [
          wholeData(x, 1),
          randomIndex(indexShape, shape[axis]!, 2),
          wholeData(source, 3),
        ];
        expectLikeReference(indexAddKernel, indexAdd(x, axis, index, source).node, { data });
      }
    });
  }

  it("adds in the order of the indices", () => {
    const { node } = indexAdd(leaf([1, 40]), 0, leaf([3], "int32"), leaf([3, 40]));
    const source = Float32Array.from(
      { length: 120 },
      (_, i) => [2 ** 24, 1, -(2 ** 24)][(i / 40) | 0]!,
    );
    const data = [new Float32Array(40), new Int32Array(3), source];
    const [result] = runKernel(indexAddKernel, node, { data, threads: 4 });
    expect(result).toEqual(new Float32Array(40));
  });

  it("does not read a base of zeros", () => {
    const zeros = full([9, 6], 0, "float32");
    const { node } = indexAdd(zeros, 0, leaf([2], "int32"), leaf([2, 6]));
    const garbage = new Float32Array(54).fill(NaN);
    const source = Float32Array.from({ length: 12 }, (_, i) => i);
    const [result] = runKernel(indexAddKernel, node, {
      data: [garbage, Int32Array.of(3, 3), source],
    });
    const expected = new Float32Array(54);
    for (let i = 0; i < 6; i++) expected[18 + i] = 2 * i + 6;
    expect(result).toEqual(expected);
  });
});

describe("dynamicSlice and dynamicUpdate", () => {
  const cases = [
    { x: [9], axis: 0, length: 4 },
    { x: [9, 5], axis: 0, length: 9 },
    { x: [4, 9], axis: 1, length: 3 },
    { x: [3, 8, 5], axis: 1, length: 2 },
    { x: [3, 8, 5], axis: 1, length: 1 },
    { x: [2, 20, 64], axis: 1, length: 1 },
    { x: [2, 18000], axis: 1, length: 17000 },
    { x: [2, 3], axis: 1, length: 0 },
  ];
  for (const dtype of dtypes) {
    it(`moves windows of ${dtype}`, () => {
      for (const { x: shape, axis, length } of suited(cases, dtype)) {
        for (const at of [-3, 1, 2 ** 31 - 1]) {
          const [x, start] = [leaf(shape, dtype), leaf([], "int32")];
          const source = leaf(
            shape.map((n, d) => (d === axis ? length : n)),
            dtype,
          );
          const [xData, position] = [randomData(x, 1), Int32Array.of(at)];
          if (length > 0) {
            expectLikeReference(dynamicSliceKernel, dynamicSlice(x, axis, start, length).node, {
              data: [xData, position],
            });
          }
          const update = dynamicUpdate(x, axis, source, start).node;
          const run = { data: [xData, randomData(source, 2), position] };
          expectLikeReference(dynamicUpdateKernel, update, run);
          expectLikeReference(dynamicUpdateKernel, update, { ...run, inPlace: true });
        }
      }
    });
  }

  it("writes only the window in place, from views", () => {
    const [x, source, start] = [leaf([2, 6, 8]), leaf([2, 3, 8]), leaf([], "int32")];
    const { node } = dynamicUpdate(x, 1, source, start);
    const views = [null, { offset: 5, strides: [8, 16, 1] }, { offset: 2, strides: [] }];
    const data = [randomData(x, 1), randomData(leaf([60]), 2), Int32Array.of(7, 7, 2, 7)];
    const operand = { buffer: 0, dtype: x.dtype, shape: source.shape, ...views[1]! };
    expect(dynamicUpdateKernel.acceptsView!(node, 1, operand)).toBe(true);
    expect(dynamicUpdateKernel.acceptsView!(node, 0, operand)).toBe(false);
    expectLikeReference(dynamicUpdateKernel, node, { data, views, inPlace: true });
    const launches = dynamicUpdateKernel.lower(
      {
        epilogue: null,
        kind: "native",
        name: "",
        node,
        inputs: node.inputs.map((v, buffer) => ({ ...operand, shape: v.shape, buffer })),
        outputs: [0],
      },
      { threads: 1, relaxed: false, revectorized: false, workspace: () => 9 },
    );
    expect(launches).toHaveLength(1);
  });
});

describe("dynamicUpdate of a tensor with a part of itself", () => {
  it("reads before it writes", () => {
    const [x, source, start] = [
      leaf([40, 700], "int32"),
      leaf([30, 700], "int32"),
      leaf([], "int32"),
    ];
    const { node } = dynamicUpdate(x, 0, source, start);
    const data = randomData(x, 1);
    data[3] = 4;
    for (const offset of [0, 700, 7000]) {
      const views = [null, { offset, strides: [700, 1], of: 0 }, { offset: 3, strides: [], of: 0 }];
      const run = { data: [data, data, data], views, inPlace: true };
      expectLikeReference(dynamicUpdateKernel, node, run);
    }
  });
});

describe("concatenate", () => {
  const cases = [
    { shapes: [[3], [4]], axis: 0 },
    {
      shapes: [
        [2, 3],
        [2, 0],
        [2, 5],
      ],
      axis: 1,
    },
    {
      shapes: [
        [2, 3],
        [1, 3],
        [4, 3],
      ],
      axis: 0,
    },
    {
      shapes: [
        [2, 3, 1],
        [2, 3, 1],
        [2, 3, 1],
      ],
      axis: 2,
    },
    {
      shapes: [
        [1000, 1],
        [1000, 1],
      ],
      axis: 1,
    },
    {
      shapes: [
        [2, 40000],
        [2, 17],
      ],
      axis: 1,
    },
    {
      shapes: [
        [3, 2, 33],
        [3, 5, 33],
      ],
      axis: 1,
    },
  ];
  for (const dtype of dtypes) {
    it(`joins ${dtype}`, () => {
      for (const { shapes, axis } of cases.filter(
        ({ shapes: [x] }) => suited([{ x: x! }], dtype).length > 0,
      )) {
        const inputs = shapes.map((shape) => leaf(shape, dtype));
        const data = inputs.map((input, i) => randomData(input, i));
        expectLikeReference(concatenateKernel, concatenate(inputs, axis).node, { data });
      }
    });
  }

  it("reads through views", () => {
    const inputs = [leaf([2, 3, 4]), leaf([2, 3, 4])];
    const views = [
      { offset: 1, strides: [4, 20, 1] },
      { offset: 9, strides: [0, -4, 1] },
    ];
    const data = [randomData(leaf([80]), 1), randomData(leaf([20]), 2)];
    expectLikeReference(concatenateKernel, concatenate(inputs, 2).node, { data, views });
    expect(
      concatenateKernel.acceptsView!(
        applyOne(concatenate(inputs, 2).node.op, inputs, { axis: 2 }).node,
        0,
        {
          buffer: 0,
          dtype: "float32",
          shape: [2, 3, 4],
          offset: 0,
          strides: [12, 1, 3],
        },
      ),
    ).toBe(false);
  });
});
