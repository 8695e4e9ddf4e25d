import { describe, expect, it } from "vitest";
import {
  expectLikeReference,
  leaf,
  randomData,
  type KernelRun,
  type View,
} from "../../../../test/wasm/run-kernel.js";
import {
  cumulativeMax,
  cumulativeMin,
  cumulativeProduct,
  cumulativeSum,
} from "../../../ops/scan.js";
import type { DType } from "../../../tensor/dtype.js";
import type { Shape } from "../../../tensor/shape.js";
import { cumulativeProductKernel, cumulativeSumKernel } from "./accumulate.js";
import { cumulativeMaxKernel, cumulativeMinKernel } from "./extreme.js";

const cases: { readonly shape: Shape; readonly axis: number }[] = [
  { shape: [1], axis: 0 },
  { shape: [37], axis: 0 },
  { shape: [3, 5], axis: 1 },
  { shape: [5, 3], axis: 0 },
  { shape: [2, 4, 16], axis: 1 },
  { shape: [2, 4, 39], axis: 1 },
  { shape: [2, 1, 6], axis: 1 },
  { shape: [300, 70], axis: 0 },
  { shape: [2, 3, 2, 5], axis: 1 },
  { shape: [6, 2000], axis: 1 },
];

const arithmetic: readonly DType[] = ["float32", "int32", "uint32"];

describe("running sums and products", () => {
  for (const dtype of arithmetic) {
    it(`accumulate ${dtype}`, () => {
      for (const { shape, axis } of cases) {
        const x = leaf(shape, dtype);
        const run = { data: [randomData(x, 1)] };
        const close = dtype === "float32" ? { relative: 1e-6, absolute: 1e-7 } : {};
        expectLikeReference(cumulativeSumKernel, cumulativeSum(x, axis).node, run, close);
        expectLikeReference(cumulativeProductKernel, cumulativeProduct(x, axis).node, run, {
          ...close,
          absolute: 1e-44,
        });
      }
    });
  }

  it("read backwards and across", () => {
    const x = leaf([3, 7, 5]);
    const view: View = { offset: 90, strides: [35, -10, 1] };
    const operand = { buffer: 0, dtype: x.dtype, shape: x.shape, ...view };
    const { node } = cumulativeSum(x, 1);
    expect(cumulativeSumKernel.acceptsView!(node, 0, operand)).toBe(true);
    const run = { data: [randomData(leaf([300]), 1)], views: [view] };
    expectLikeReference(cumulativeSumKernel, node, run, { absolute: 1e-5 });
    expectLikeReference(cumulativeMaxKernel, cumulativeMax(x, 1)[0].node, run);
    const across = { offset: 3, strides: [1, 40, 3] };
    const last = cumulativeSum(x, 2).node;
    expectLikeReference(cumulativeSumKernel, last, { ...run, views: [across] }, { absolute: 1e-5 });
  });
});

describe("running extremes", () => {
  for (const dtype of arithmetic) {
    it(`find ${dtype}`, () => {
      for (const { shape, axis } of cases) {
        const x = leaf(shape, dtype);
        const data = randomData(x, 1);
        // Ties, and for floats also NaN and zeros of both signs.
        for (let i = 3; i < data.length; i += 4) data[i] = data[i - 1]!;
        if (dtype === "float32") {
          for (let i = 5; i < data.length; i += 23) data[i] = i % 2 === 0 ? -0 : 0;
          for (let i = 11; i < data.length; i += 97) data[i] = NaN;
        }
        if (dtype === "uint32") for (let i = 0; i < data.length; i += 5) data[i] = 2 ** 32 - 1 - i;
        for (const unread of [[], [0], [1]]) {
          const run: KernelRun = { data: [data], unread };
          expectLikeReference(cumulativeMaxKernel, cumulativeMax(x, axis)[0].node, run);
          expectLikeReference(cumulativeMinKernel, cumulativeMin(x, axis)[0].node, run);
        }
      }
    });
  }
});
