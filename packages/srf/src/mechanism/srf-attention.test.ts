import { expect, test } from "vitest";
import { manualSeed, memory, noGrad, profile, randn, setDevice, wasm } from "@x/tensor";
import { Module } from "@x/tensor/nn";
import { expectClose } from "@x/tensor/testing";
import { srfAttention } from "./srf-attention.js";

test("ten thousand tokens take no more memory than two, and compile nothing more", async () => {
  setDevice(wasm());
  manualSeed(1);
  const attention = srfAttention({ headDim: 4, nbFeatures: 8 });
  const state = attention.initState({ batch: 1, heads: 2, headDim: 4, capacity: 10_000 });
  const token = await randn([1, 2, 1, 4]).realize();
  const step = async (): Promise<void> => {
    const y = noGrad(() => attention.step(token, token, token, state));
    await y.data();
    y.dispose();
  };
  for (let i = 0; i < 2; i++) await step();
  const before = memory();
  const { compileCount } = await profile(async () => {
    for (let i = 2; i < 10_000; i++) await step();
  });
  expect(compileCount).toBe(0);
  expect(memory().total).toBe(before.total);
  expect((await state.count.data())[0]).toBe(10_000);
  await expectClose(
    state.values,
    (await token.data()).map((x) => 10_000 * x),
    { relative: 1e-3 },
  );
}, 60_000);

test("is saved with the model that has it", () => {
  class Model extends Module {
    readonly attention = srfAttention({ headDim: 4 });
  }
  expect(Object.keys(new Model().stateDict())).toEqual(["attention.projection_matrix"]);
  const model = new Model();
  expect(model.clone().attention.projectionMatrix).not.toBe(model.attention.projectionMatrix);
});
