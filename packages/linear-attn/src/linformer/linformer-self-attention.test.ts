import { randn, tensor, type Tensor } from "@x/tensor";
import { describe, expect, it } from "vitest";
import { LinformerSelfAttention } from "./linformer-self-attention.js";

const inputMask = tensor([
  [true, true, false, true, false],
  [true, true, true, true, true],
]);

describe("LinformerSelfAttention", () => {
  it.each([{}, { shareKv: true }, { oneKvHead: true, dimHead: 3 }])(
    "sees nothing of masked positions: %o",
    async (options) => {
      const attention = new LinformerSelfAttention(8, 5, { k: 3, heads: 2, ...options });
      const hidden = inputMask.logicalNot().unsqueeze(-1);
      const x = randn([2, 5, 8]);
      const seen = (y: Tensor): Promise<unknown> => y.maskedFill(hidden, 0).toArray();
      const y = attention.forward(x, { inputMask });
      const changed = attention.forward(x.maskedFill(hidden, 9), { inputMask });
      expect(await seen(changed)).toEqual(await seen(y));
    },
  );

  it("attends to a context of the length that it was made for", async () => {
    const attention = new LinformerSelfAttention(8, 5, { k: 3, heads: 2 });
    const context = randn([2, 5, 8]);
    const y = attention.forward(randn([2, 3, 8]), { context, contextMask: inputMask });
    expect(y.shape).toEqual([2, 3, 8]);
    y.square().sum().backward();
    for (const parameter of attention.parameters()) {
      expect(await parameter.grad!.abs().max().item()).toBeGreaterThan(0);
    }
    expect(() => attention.forward(randn([2, 3, 8]))).toThrow(
      "LinformerSelfAttention: the keys must be float32 [batch, 5, dim], got float32 [2, 3, 8]. Reshape or cast, or make the module for these sizes.",
    );
  });

  it("refuses heads that do not divide", () => {
    expect(() => new LinformerSelfAttention(8, 5, { heads: 3 })).toThrow(
      "dim must be a multiple of heads (3), got 8.",
    );
  });
});
