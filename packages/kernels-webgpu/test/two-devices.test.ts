/** Several devices in one program, and moving tensors between them. */

import { afterAll, beforeAll, expect, test } from "vitest";
import {
  getDevice,
  randn,
  realize,
  setDevice,
  tensor,
  wasm,
  type Device,
  type DType,
} from "@x/tensor";
import { Linear } from "@x/tensor/nn";
import { webgpu } from "../src/index.js";

const before = getDevice();
let gpu: Device;
beforeAll(async () => {
  gpu = await webgpu();
  setDevice(wasm());
});
afterAll(() => setDevice(before));

test.each(["float32", "float16", "int32", "uint32", "int8", "bool"] satisfies DType[])(
  "%s to the GPU and back",
  async (dtype) => {
    const numbers = Float32Array.from({ length: 101 }, (_, i) => (i * 7) % 2);
    const x = tensor(numbers).cast(dtype);
    const there = await x.to(gpu);
    expect([there.device, there.dtype]).toEqual([gpu, dtype]);
    const doubled = there.cast("float32").mul(2).cast(dtype);
    const back = await doubled.to(wasm());
    expect(back.device).toBe(wasm());
    const expected = x.cast("float32").mul(2).cast(dtype);
    expect(await back.toArray()).toEqual(await expected.toArray());
    // The original is as it was.
    expect([...(await x.data())]).toEqual([...numbers]);
  },
);

test("what is not computed yet is computed where it was asked for, then moved", async () => {
  const x = randn([5, 7]).matmul(randn([7, 3]));
  const there = await x.to(gpu);
  expect(await there.toArray()).toEqual(await x.toArray());
});

test("gradients end where a tensor is moved", async () => {
  const weight = tensor([1, 2, 3]).setRequiresGrad();
  const moved = await weight.mul(2).to(gpu);
  expect(moved.requiresGrad).toBe(false);
  moved.setRequiresGrad();
  moved.square().sum().backward();
  expect(weight.grad).toBe(null);
  expect(moved.grad!.device).toBe(gpu);
});

test("tensors of two devices are refused, with what to do", async () => {
  const here = tensor([1, 2]);
  const there = await tensor([3, 4]).to(gpu);
  expect(() => here.add(there)).toThrow(
    /^add: all tensors must be on one device, got wasm and webgpu. Move one of them with to\(\)\.$/,
  );
  await expect(realize(here.add(1), there.add(1))).rejects.toThrow(/on one device/);
  expect(await here.add(await there.to(wasm())).toArray()).toEqual([4, 6]);
});

test("one program computes on both, and on two GPU devices, at the same time", async () => {
  const other = await webgpu();
  const x = randn([33, 20]);
  const models = [new Linear(20, 4)];
  const expected = await models[0]!.forward(x).sum().item();
  const weights = models[0]!.stateDict();
  const results = await Promise.all(
    [gpu, other, wasm()].map(async (device) => {
      const [input, weight, bias] = await Promise.all(
        [x, weights.weight!, weights.bias!].map((each) => each.to(device)),
      );
      return input!.matmul(weight!.transpose(0, 1)).add(bias!).sum().item();
    }),
  );
  for (const result of results) expect(result).toBeCloseTo(expected, 3);
});
