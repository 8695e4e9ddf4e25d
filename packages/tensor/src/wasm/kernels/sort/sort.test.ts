import { describe, it } from "vitest";
import {
  expectLikeReference,
  generator,
  leaf,
  randomData,
  type KernelRun,
} from "../../../../test/wasm/run-kernel.js";
import { sort, topk } from "../../../ops/sort.js";
import type { DataOf, DType } from "../../../tensor/dtype.js";
import type { Shape } from "../../../tensor/shape.js";
import { sortKernel } from "./sort.js";
import { topkKernel } from "./topk.js";

const cases: { readonly shape: Shape; readonly axis: number }[] = [
  { shape: [1], axis: 0 },
  { shape: [2], axis: 0 },
  { shape: [40], axis: 0 },
  { shape: [41], axis: 0 },
  { shape: [3, 5], axis: 1 },
  { shape: [5, 3], axis: 0 },
  { shape: [2, 64, 3], axis: 1 },
  { shape: [2, 1, 6], axis: 1 },
  { shape: [6, 1000], axis: 1 },
  { shape: [20000], axis: 0 },
];

const arithmetic: readonly DType[] = ["float32", "int32", "uint32"];

/** Numbers over the whole range of the type, with ties. */
function wideData(shape: Shape, dtype: DType, seed: number): DataOf {
  const data = randomData({ shape, dtype }, seed);
  const random = generator(seed);
  for (let i = 0; i < data.length; i++) {
    if (dtype === "uint32") data[i] = Math.floor(random() * 2 ** 32);
    else if (dtype === "int32") data[i] = Math.floor((random() - 0.5) * 2 ** 32);
    else data[i]! *= 10 ** Math.floor(random() * 60 - 30);
    if (i % 7 === 3) data[i] = data[i >> 1]!;
  }
  if (dtype === "float32") {
    const special = [0, -0, NaN, Infinity, -Infinity, -NaN, 0, -0, 2 ** -149];
    for (let i = 0; i < data.length; i += 5) data[i] = special[(i / 5) % special.length]!;
    if (data.length > 9) new Uint32Array(data.buffer)[9] = 0xffc00123;
  }
  return data;
}

describe("sort", () => {
  for (const dtype of arithmetic) {
    it(`orders ${dtype}, stably`, () => {
      for (const { shape, axis } of cases) {
        const x = leaf(shape, dtype);
        for (const data of [wideData(shape, dtype, 1), randomData(x, 2)]) {
          for (const descending of [false, true]) {
            const { node } = sort(x, axis, descending)[0];
            for (const unread of [[], [0], [1]]) {
              expectLikeReference(sortKernel, node, { data: [data], unread });
            }
          }
        }
      }
    });
  }
});

describe("topk", () => {
  for (const dtype of arithmetic) {
    it(`finds the first of ${dtype}`, () => {
      for (const { shape, axis } of cases) {
        const x = leaf(shape, dtype);
        const size = shape[axis]!;
        for (const k of new Set([1, 2, 7, 64, size >> 2, size])) {
          if (k < 1 || k > size) continue;
          for (const largest of [false, true]) {
            const run: KernelRun = { data: [wideData(shape, dtype, k)] };
            const { node } = topk(x, k, axis, largest)[0];
            expectLikeReference(topkKernel, node, run);
            expectLikeReference(topkKernel, node, { ...run, unread: [0] });
            const rising = (run.data[0] as Float32Array).slice().sort();
            expectLikeReference(topkKernel, node, { data: [rising] });
          }
        }
      }
    });
  }
});
