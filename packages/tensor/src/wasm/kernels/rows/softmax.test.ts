import { describe, expect, it } from "vitest";
import {
  expectLikeReference,
  leaf,
  randomData,
  runKernel,
} from "../../../../test/wasm/run-kernel.js";
import { applyOne, madeOps, type Value } from "../../../graph/node.js";
import { logSumExp } from "../../../ops/reduce.js";
import { logSoftmax, softmax } from "../../../ops/softmax.js";
import type { Shape } from "../../../tensor/shape.js";
import {
  logSoftmaxBackwardKernel,
  logSoftmaxKernel,
  logSumExpKernel,
  softmaxBackwardKernel,
  softmaxKernel,
} from "./softmax.js";

interface Case {
  readonly shape: Shape;
  readonly axis: number;
}

const cases: Case[] = [
  ...[1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 64, 67, 1000].map((n) => ({
    shape: [3, n],
    axis: 1,
  })),
  { shape: [1], axis: 0 },
  { shape: [2, 3, 300], axis: 2 },
  { shape: [5, 1], axis: 0 },
  { shape: [5, 3], axis: 0 },
  { shape: [2, 7, 16], axis: 1 },
  { shape: [2, 7, 39], axis: 1 },
  { shape: [2, 1, 6], axis: 1 },
  { shape: [3, 2, 3, 5], axis: 1 },
  { shape: [200, 70], axis: 0 },
];

function spreadData(x: Pick<Value, "shape" | "dtype">, seed: number, scale: number): Float32Array {
  return (randomData(x, seed) as Float32Array).map((v) => v * scale);
}

function backward(name: string, y: Value, g: Value, axis: number): Value {
  const op = madeOps().find((made) => made.name === name)!;
  return applyOne(op, [y, g], { axis });
}

const close = { relative: 1e-5, absolute: 1e-37 };

describe("softmax", () => {
  it("agrees with its definition", () => {
    for (const { shape, axis } of cases) {
      const x = leaf(shape);
      for (const scale of [1, 30]) {
        const run = { data: [spreadData(x, 1, scale)] };
        expectLikeReference(softmaxKernel, softmax(x, axis).node, run, close);
        expectLikeReference(logSoftmaxKernel, logSoftmax(x, axis).node, run, {
          relative: 1e-6,
          absolute: 1e-5,
        });
      }
    }
  });

  it("has the gradients of its definition", () => {
    for (const { shape, axis } of cases) {
      const [x, g] = [leaf(shape), leaf(shape)];
      const forms = [
        [softmax(x, axis), softmaxKernel, softmaxBackwardKernel],
        [logSoftmax(x, axis), logSoftmaxKernel, logSoftmaxBackwardKernel],
      ] as const;
      for (const [value, forward, kernel] of forms) {
        const [y] = runKernel(forward, value.node, { data: [spreadData(x, 1, 3)] });
        const { node } = backward(kernel.op, x, g, axis);
        const run = { data: [y!, randomData(g, 2)] };
        expectLikeReference(kernel, node, run, { relative: 1e-5, absolute: 1e-5 });
      }
    }
  });

  it("gives exactly 0 to what is masked", () => {
    const data = Float32Array.of(1, -Infinity, 2, -1e30, -Infinity, 3, -Infinity);
    const { node } = softmax(leaf([7]), 0);
    expectLikeReference(softmaxKernel, node, { data: [data] }, close);
    const [y] = runKernel(softmaxKernel, node, { data: [data] });
    expect([y![1], y![3], y![4]]).toEqual([0, 0, 0]);
  });

  it("passes NaN and rows without a number on", () => {
    const data = Float32Array.from({ length: 6 * 9 }, (_, i) => i % 5);
    data.fill(-Infinity, 0, 9);
    data[9 + 8] = NaN;
    data[18] = NaN;
    data[27 + 3] = Infinity;
    new Uint32Array(data.buffer)[36 + 5] = 0x7fc00abc;
    for (const [axis, shape] of [
      [1, [6, 9]],
      [0, [6, 9]],
      [1, [1, 54]],
    ] as const) {
      const run = { data: [data] };
      expectLikeReference(softmaxKernel, softmax(leaf(shape), axis).node, run, close);
    }
  });
});

describe("logSumExp", () => {
  const close = { relative: 1e-6, absolute: 1e-6 };
  it("agrees with its definition", () => {
    for (const { shape, axis } of cases) {
      const x = leaf(shape);
      const run = { data: [spreadData(x, 1, 20)] };
      expectLikeReference(logSumExpKernel, logSumExp(x, [axis]).node, run, close);
    }
    for (const axes of [[0, 1], [1, 2], [0, 1, 2], [2]]) {
      const x = leaf([3, 4, 5]);
      const run = { data: [spreadData(x, 1, 20)] };
      expectLikeReference(logSumExpKernel, logSumExp(x, axes).node, run, close);
    }
    expect(logSumExpKernel.supports!(logSumExp(leaf([3, 4, 5]), [0, 2]).node)).toBe(false);
    expect(logSumExpKernel.supports!(logSumExp(leaf([3, 0]), [0]).node)).toBe(false);
  });

  it("keeps infinities and NaN", () => {
    const data = Float32Array.from({ length: 6 * 9 }, (_, i) => i % 5);
    data.fill(-Infinity, 0, 9);
    data[9 + 8] = NaN;
    data[18] = Infinity;
    data[18 + 3] = -Infinity;
    data[27 + 3] = Infinity;
    data[27 + 8] = NaN;
    for (const axis of [0, 1]) {
      const { node } = logSumExp(leaf([6, 9]), [axis]);
      expectLikeReference(logSumExpKernel, node, { data: [data] }, close);
    }
  });
});
