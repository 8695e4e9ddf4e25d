import { expect, test } from "vitest";
import { linear, manualSeed, randn, type Tensor } from "@x/tensor";
import { expectClose } from "@x/tensor/testing";
import type { ActivationKind } from "../config/fields.js";
import { FeedForward } from "./feed-forward.js";

const close = { relative: 1e-5, absolute: 1e-6 } as const;

test("gated activations multiply the halves of one map", async () => {
  manualSeed(1);
  const x = randn([2, 3, 4]);
  const kinds: readonly (readonly [ActivationKind, (gate: Tensor) => Tensor])[] = [
    ["swiglu", (gate) => gate.mul(gate.sigmoid())],
    ["geglu", (gate) => gate.gelu()],
    ["geglu_tanh", (gate) => gate.gelu({ approximate: "tanh" })],
    ["reglu", (gate) => gate.maximum(0)],
  ];
  for (const [activation, of] of kinds) {
    const network = new FeedForward({ dModel: 4, dFf: 5, activation });
    const state = network.stateDict();
    expect(state["w12.weight"]!.shape).toEqual([10, 4]);
    const both = linear(x, state["w12.weight"]!, state["w12.bias"]);
    const inner = of(both.narrow(-1, 0, 5)).mul(both.narrow(-1, 5, 5));
    const expected = linear(inner, state["proj.weight"]!, state["proj.bias"]);
    await expectClose(network.forward(x), expected, close);
  }
});

test("every plain activation is another function, and biases can be left out", async () => {
  manualSeed(2);
  const x = randn([1, 1, 4]);
  const first = new FeedForward({ dModel: 4, dFf: 5, bias: false });
  expect(Object.keys(first.stateDict())).toEqual(["linear1.weight", "linear2.weight"]);
  const results = new Set<string>();
  for (const activation of ["gelu", "gelu_tanh", "quick_gelu", "relu", "silu"] as const) {
    const network = new FeedForward({ dModel: 4, dFf: 5, bias: false, activation });
    network.loadStateDict(first.stateDict());
    results.add(String(await network.forward(x).data()));
  }
  expect(results.size).toBe(5);
  const activation = "tanh" as ActivationKind;
  expect(() => new FeedForward({ dModel: 4, activation })).toThrow("activation must be one of");
});
