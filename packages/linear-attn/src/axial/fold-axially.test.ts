import { manualSeed, ones, randn, stack, type Tensor, zeros } from "@x/tensor";
import { describe, expect, it } from "vitest";
import { fault } from "../../test/faults.js";
import { SelfAttention } from "../attention/self-attention.js";
import { FixedPositionalEmbedding } from "../embedding/fixed.js";
import { FoldAxially } from "./fold-axially.js";

describe("FoldAxially", () => {
  it("treats columns as sequences, with the positions of the whole", async () => {
    manualSeed(2);
    const attention = new SelfAttention(8, 2, { causal: true });
    const x = randn([2, 12, 8]);
    const table = new FixedPositionalEmbedding(4, 12).forward(zeros([1, 12, 4]));
    const folded = new FoldAxially(3, attention).forward(x, { axialPosEmb: table });
    const column = (of: Tensor, i: number): Tensor => of.unflatten(1, [-1, 3]).select(2, i);
    const columns = [0, 1, 2].map((i) =>
      attention.forward(column(x, i), { posEmb: column(table, i) }),
    );
    const expected = stack(columns, 2).flatten(1, 2);
    expect(await folded.sub(expected).abs().max().item()).toBeLessThan(1e-5);
  });

  it("rejects what it cannot do", () => {
    const layer = new FoldAxially(4, new SelfAttention(8, 2));
    expect(() => layer.forward(ones([1, 6, 8]))).toThrow(
      fault("shape", "the length must be a multiple of 4, got [1, 6, 8]. Pad the sequence."),
    );
    expect(() => layer.initState()).toThrow(
      fault("argument", "layers that attend axially have no decode state"),
    );
  });
});
