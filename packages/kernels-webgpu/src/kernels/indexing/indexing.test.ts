import { beforeAll, describe, expect, it } from "vitest";
import { realize, setDevice, tensor, zeros, type Device, type DType, type Shape } from "@x/tensor";
import { expectLikeReference, indices, numbers } from "../../../test/like-reference.js";
import { webgpu } from "../../index.js";

const dtypes: readonly DType[] = ["float32", "float16", "int32", "uint32", "int8", "bool"];

let device: Device;
beforeAll(async () => {
  device = await webgpu();
});

describe("take", () => {
  for (const dtype of dtypes) {
    it(`picks ${dtype}`, async () => {
      for (const axis of [0, 1, 2]) {
        await expectLikeReference(device, () => {
          const x = numbers(1, [3, 5, 7], dtype);
          return [
            x.take(indices(2, [4], 3, true), axis),
            x.take(indices(3, [2, 3], 3), axis),
            x.transpose(0, 2).take(indices(4, [3, 2], 3).transpose(0, 1), axis),
          ];
        });
      }
    });
  }

  it("picks nothing from an empty axis", async () => {
    await expectLikeReference(device, () => [zeros([0, 3]).take(indices(1, [0], 1), 0)]);
  });
});

describe("gather", () => {
  for (const dtype of dtypes) {
    it(`picks ${dtype}`, async () => {
      for (const axis of [0, 1, 2]) {
        await expectLikeReference(device, () => {
          const x = numbers(1, [4, 5, 6], dtype);
          return [
            x.gather(axis, indices(2, [4, 5, 6], 4, true)),
            x.gather(axis, indices(3, [2, 3, 4], 4)),
            x.flip([1]).gather(axis, indices(4, [4, 1, 6], 4).expand([4, 5, 6])),
          ];
        });
      }
    });
  }
});

describe("windows", () => {
  for (const dtype of dtypes) {
    it(`are read and replaced in ${dtype}`, async () => {
      for (const axis of [0, 1, 2]) {
        for (const start of [-2, 0, 1, 9]) {
          await expectLikeReference(device, () => {
            const x = numbers(1, [4, 5, 6], dtype);
            const window = x.shape.with(axis, 2);
            const source = numbers(2, window, dtype);
            return [
              x.dynamicSlice(axis, start, 3),
              x.transpose(0, 2).dynamicSlice(axis, tensor(start, { dtype: "int32" }).add(1), 2),
              x.dynamicUpdate(axis, source, start),
              x.flip([0]).dynamicUpdate(axis, source.flip([2]), start),
            ];
          });
        }
      }
    });
  }

  it("are replaced in place", async () => {
    setDevice(device);
    const cache = zeros([2, 5, 3], { dtype: "float16" });
    await realize(cache);
    const expected = new Float32Array(30);
    for (const start of [0, 3, 4, 1]) {
      const row = numbers(start, [2, 1, 3], "float16");
      cache.assign(cache.dynamicUpdate(1, row, start));
      const elements = await row.cast("float32").data();
      for (let i = 0; i < 6; i++) {
        expected[Math.floor(i / 3) * 15 + start * 3 + (i % 3)] = elements[i]!;
      }
      expect(await cache.cast("float32").data()).toEqual(expected);
    }
  });

  it("of nothing change nothing", async () => {
    await expectLikeReference(device, () => {
      const x = numbers(1, [3, 4]);
      return [
        x.dynamicUpdate(1, zeros([3, 0]), 2),
        x.scatter(1, zeros([3, 0], { dtype: "int32" }), 0),
      ];
    });
  });
});

/** Columns that are walked over, and such that are sorted. */
const scattered: readonly { readonly base: Shape; readonly index: Shape; readonly axis: number }[] =
  [
    { base: [5], index: [9], axis: 0 },
    { base: [4, 5, 6], index: [3, 5, 2], axis: 0 },
    { base: [4, 5, 6], index: [4, 9, 6], axis: 1 },
    { base: [4, 5, 6], index: [2, 3, 6], axis: 2 },
    { base: [7], index: [100], axis: 0 },
    { base: [9, 3], index: [150, 2], axis: 0 },
    { base: [3, 20, 2], index: [2, 70, 2], axis: 1 },
    { base: [3, 200], index: [3, 90], axis: 1 },
  ];

describe("scatter", () => {
  for (const dtype of dtypes) {
    it(`replaces ${dtype}, the last counts`, async () => {
      for (const { base, index, axis } of scattered) {
        await expectLikeReference(device, () => {
          const x = numbers(1, base, dtype);
          const source = numbers(3, index, dtype);
          return [
            x.scatter(axis, indices(2, index, base[axis]!, true), source),
            x.scatter(axis, indices(4, index, base[axis]!), source.flip([axis])),
          ];
        });
      }
    });
  }

  for (const dtype of dtypes) {
    it(`adds ${dtype}`, async () => {
      const rounding = dtype === "float32" || dtype === "float16" ? { absolute: 1e-5 } : undefined;
      for (const { base, index, axis } of scattered) {
        await expectLikeReference(
          device,
          () => {
            const x = numbers(1, base, dtype);
            const source = numbers(3, index, dtype);
            const row = index.map((n, d) => (d === axis ? n : 1));
            return [
              x.scatterAdd(axis, indices(2, index, base[axis]!, true), source),
              x.scatterAdd(axis, indices(4, row, base[axis]!).expand(index), source),
            ];
          },
          rounding,
        );
      }
    });
  }
});

describe("indexAdd", () => {
  for (const dtype of ["float32", "int32", "uint32", "bool"] as const) {
    it(`adds rows of ${dtype}`, async () => {
      const rounding = dtype === "float32" ? { absolute: 1e-5 } : undefined;
      for (const count of [1, 20, 130]) {
        for (const axis of [0, 1, 2]) {
          await expectLikeReference(
            device,
            () => {
              const base = numbers(1, [4, 5, 6], dtype);
              const source = numbers(2, base.shape.with(axis, count), dtype);
              const index = indices(3, [count], 4, true);
              return [
                base.indexAdd(axis, index, source),
                base.flip([1]).indexAdd(axis, index, source.flip([0])),
              ];
            },
            rounding,
          );
        }
      }
    });
  }

  it("adds the same numbers in the same order every time", async () => {
    const program = (): ReturnType<typeof zeros> =>
      zeros([3, 5]).indexAdd(0, indices(1, [400], 3), numbers(2, [400, 5]));
    setDevice(device);
    const first = await program().data();
    for (let i = 0; i < 3; i++) expect(await program().data()).toEqual(first);
  });
});
