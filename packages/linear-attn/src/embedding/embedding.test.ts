import { fromData, randn, tensor, zeros, type Tensor } from "@x/tensor";
import { describe, expect, it } from "vitest";
import { fault } from "../../test/faults.js";
import { AbsolutePositionalEmbedding } from "./absolute.js";
import { AxialPositionalEmbedding } from "./axial.js";
import { FixedPositionalEmbedding } from "./fixed.js";
import { applyRotoryPosEmb } from "./rotary.js";

const place = (position: number): Tensor => fromData(Int32Array.of(position), []);

describe.each([
  ["AbsolutePositionalEmbedding", new AbsolutePositionalEmbedding(6, 24)],
  ["AxialPositionalEmbedding, summed", new AxialPositionalEmbedding(6, [2, 3, 4])],
  [
    "AxialPositionalEmbedding, joined",
    new AxialPositionalEmbedding(6, [4, 6], { axialDims: [2, 4] }),
  ],
  ["FixedPositionalEmbedding", new FixedPositionalEmbedding(6, 24)],
])("%s", (name, embedding) => {
  it("goes on from an offset as from the start", async () => {
    const whole = await embedding
      .forward(zeros([2, 24, 6]))
      .narrow(1, 7, 5)
      .toArray();
    expect(await embedding.forward(zeros([2, 5, 6]), { offset: 7 }).toArray()).toEqual(whole);
    expect(await embedding.forward(zeros([2, 5, 6]), { offset: place(7) }).toArray()).toEqual(
      whole,
    );
  });

  it("rejects positions beyond the last", () => {
    const sentence =
      "positions must lie below 24, got [1, 5, 6] from position 20 on. Make it longer or cut the input.";
    expect(() => embedding.forward(zeros([1, 5, 6]), { offset: 20 })).toThrow(
      fault("argument", sentence),
    );
    expect(() => embedding.forward(zeros([5, 6]))).toThrow(
      fault("shape", "the input must be float32 [batch, length, dim], got float32 [5, 6]."),
    );
    expect(name).toContain("PositionalEmbedding");
  });
});

it("needs axial sizes that fit", () => {
  expect(() => new AxialPositionalEmbedding(6, [2, 3], { axialDims: [2, 3] })).toThrow(
    fault("argument", "the sum of axialDims must be 6, got 5."),
  );
  expect(() => new AxialPositionalEmbedding(6, [2, 3], { axialDims: [6] })).toThrow(
    fault("argument", "axialDims.length must be 2, got 1."),
  );
  expect(() => new FixedPositionalEmbedding(5, 3)).toThrow(fault("argument", "dim must be even"));
});

describe("applyRotoryPosEmb", () => {
  it("makes products depend on distances only", async () => {
    const embedding = new FixedPositionalEmbedding(8, 64);
    const [q, k] = [randn([1, 2, 5, 8]), randn([1, 1, 5, 8])];
    const products = async (offset: number): Promise<Float32Array> => {
      const table = embedding.forward(zeros([1, 5, 8]), { offset });
      const [turned, key] = applyRotoryPosEmb(q, k, table);
      return (await turned.matmul(key.transpose(-1, -2)).data()) as Float32Array;
    };
    const [near, far] = [await products(0), await products(50)];
    expect(Math.max(...near.map((x, i) => Math.abs(x - far[i]!)))).toBeLessThan(1e-4);
  });

  it("takes one table a sequence", async () => {
    const tables = tensor([[[0, 1]], [[1, 0]]]);
    const x = tensor([[[[1, 2]]], [[[1, 2]]]]);
    const [turned] = applyRotoryPosEmb(x, x, tables);
    expect(await turned.toArray()).toEqual([[[[1, 2]]], [[[-2, 1]]]]);
  });

  it("rejects a table of another size", () => {
    const x = zeros([2, 1, 3, 4]);
    expect(() => applyRotoryPosEmb(x, x, zeros([1, 3, 6]))).toThrow(
      fault("shape", "need a table [1, length, dim] or [batch, length, dim], got [2, 1, 3, 4]"),
    );
  });
});
