import { beforeAll, expect, test } from "vitest";
import { setDevice } from "../device/current.js";
import { Storage } from "../graph/storage.js";
import { input } from "../ops/leaf.js";
import { reference } from "../reference/device.js";
import { profile } from "../plan/profile.js";
import { ones, tensor, zeros } from "./creation.js";
import { memory, realize } from "./realize.js";
import { Tensor } from "./tensor.js";

beforeAll(() => {
  setDevice(reference());
});

/** A tensor whose memory is reserved and whose numbers are set before their first use. */
function reserved(shape: readonly number[]): Tensor {
  const device = reference();
  const bytes = shape.reduce((product, n) => product * n, 4);
  return new Tensor(input(new Storage(device, bytes, null, null), shape, "float32", device));
}

function weights(): Tensor {
  return tensor([1, 2, 3], { requiresGrad: true });
}

test("a cache that is assigned in a loop is stored whenever something that depends on it is read", async () => {
  const cache = tensor([0, 0, 0, 0]);
  const steps: number[] = [];
  for (let i = 0; i < 4; i++) {
    const { result, compileCount } = await profile(async () => {
      cache.assign(cache.dynamicUpdate(0, tensor([i + 1]), i));
      return cache.sum().mul(2).item();
    });
    expect(compileCount).toBe(i === 0 ? 1 : 0);
    steps.push(result);
  }
  expect(steps).toEqual([2, 6, 12, 20]);
  expect(await cache.toArray()).toEqual([1, 2, 3, 4]);
});

test("the memory of a loop that assigns stays constant", async () => {
  const cache = tensor(new Float32Array(100));
  const sizes: number[] = [];
  for (let i = 0; i < 6; i++) {
    cache.assign(cache.add(1));
    await cache.sum().item();
    sizes.push(memory().total);
  }
  expect(new Set(sizes.slice(1)).size).toBe(1);
});

test("initial numbers are computed in a plan of their own", async () => {
  const step = async (weight: Tensor) => {
    const { result, compileCount } = await profile(() => weight.mul(2).sum().item());
    return { result, compileCount };
  };
  const weight = reserved([3])
    .initialize(ones([3]).exp().log().add(1))
    .setRequiresGrad();
  expect(weight.requiresGrad).toBe(true);
  const first = await step(weight);
  expect(first.result).toBe(12);
  const second = await step(weight);
  expect(second.result).toBe(12);
  expect(second.compileCount).toBe(0);

  const other = reserved([3])
    .initialize(zeros([3]).add(5))
    .setRequiresGrad();
  await realize(other);
  expect((await step(other)).compileCount).toBe(0);
});

test("initial numbers and an update of them take memory once", async () => {
  const before = memory().total;
  const weight = reserved([100])
    .initialize(ones([100]).exp())
    .setRequiresGrad();
  const double = weight.mul(2);
  weight.assign(weight.add(1));
  await realize(weight);
  // The garbage collector may give back what earlier tests left.
  expect(memory().total - before).toBeLessThanOrEqual(400);
  expect(await weight.max().item()).toBeCloseTo(Math.E + 1, 5);
  await expect(double.data()).rejects.toThrow("Realize the result before the update.");
});

test("initial numbers that were replaced do not overwrite those that replaced them", async () => {
  const weight = reserved([2]).initialize(ones([2]).exp());
  const double = weight.mul(2);
  weight.assign(zeros([2]));
  expect(await weight.toArray()).toEqual([0, 0]);
  expect((await double.data())[0]).toBeCloseTo(2 * Math.E, 5);
  expect(await weight.toArray()).toEqual([0, 0]);
});

test("initial numbers that are at hand are taken over without a plan", async () => {
  const source = tensor([4, 5]);
  const weight = reserved([2])
    .initialize(ones([2]))
    .initialize(source);
  const { result, compileCount, kernels } = await profile(() => weight.toArray());
  expect(result).toEqual([4, 5]);
  expect([compileCount, kernels.length]).toEqual([0, 0]);
  weight.assign(weight.mul(2));
  expect(await weight.toArray()).toEqual([8, 10]);
  expect(await source.toArray()).toEqual([4, 5]);
});

test("a constant assigned to a tensor goes to the tensor's device", async () => {
  const weight = tensor([1, 2]).assign(zeros([2]));
  expect(weight.device).toBe(reference());
  expect(await weight.toArray()).toEqual([0, 0]);
});

test("a gradient that replaces another is computed with the loss, in the same memory", async () => {
  const weight = weights();
  const sizes: number[] = [];
  for (let i = 0; i < 5; i++) {
    weight.grad = null;
    const loss = weight.square().sum();
    loss.backward();
    weight.grad = weight.grad!.mul(0.5);
    const { kernels } = await profile(() => loss.item());
    expect(kernels.length).toBeGreaterThan(0);
    const reading = await profile(() => weight.grad!.toArray());
    expect(reading.result).toEqual([1, 2, 3]);
    expect(reading.kernels).toEqual([]);
    sizes.push(memory().total);
  }
  expect(new Set(sizes.slice(1)).size).toBe(1);
});

test("reading a multiple of the loss computes the gradients too", async () => {
  const weight = weights();
  const loss = weight.square().sum();
  loss.backward();
  expect(await loss.mul(2).item()).toBe(28);
  const { result, kernels } = await profile(() => weight.grad!.toArray());
  expect(result).toEqual([2, 4, 6]);
  expect(kernels).toEqual([]);
});

test("gradients of several losses add up, and all of it is computed together", async () => {
  const weight = weights();
  const first = weight.square().sum();
  const second = weight.sum();
  first.backward();
  second.backward();
  expect(await second.item()).toBe(6);
  const { result, kernels } = await profile(async () => [
    await first.item(),
    await weight.grad!.toArray(),
  ]);
  expect(result).toEqual([14, [3, 5, 7]]);
  expect(kernels).toEqual([]);

  const third = weight.sum();
  third.backward();
  expect(await weight.grad!.toArray()).toEqual([4, 6, 8]);
});

test("a tensor moves to another device and stays the same", async () => {
  const weight = weights();
  weight.square().sum().backward();
  await weight.moveTo(reference());
  expect(weight.grad).not.toBeNull();
  expect(await weight.toArray()).toEqual([1, 2, 3]);
});

test("a gradient must be float32 and of the right shape", () => {
  const weight = weights();
  expect(() => (weight.grad = tensor([1, 2, 3], { dtype: "int32" }))).toThrow(
    "grad: a gradient must be float32 and have the shape of its tensor, got int32 [3] for [3]. Cast or reshape it.",
  );
});

test("a copy keeps the numbers that its source had, whatever happens to the source", async () => {
  const source = tensor([1, 2]);
  await realize(source.assign(source.add(0)));
  const copy = reserved([2]).initialize(source.mul(10));
  source.assign(source.add(1));
  expect(await source.toArray()).toEqual([2, 3]);
  expect(await copy.toArray()).toEqual([10, 20]);
});

test("two tensors can exchange their numbers", async () => {
  const a = tensor([1, 2]);
  const b = tensor([3, 4]);
  await realize(a.assign(a.add(0)), b.assign(b.add(0)));
  const [left, right] = [a.detach(), b.detach()];
  a.initialize(right);
  b.initialize(left);
  await realize(a, b);
  expect(await a.toArray()).toEqual([3, 4]);
  expect(await b.toArray()).toEqual([1, 2]);
});

test("a copy of numbers that are not computed yet keeps them", async () => {
  const cache = tensor([1, 2]);
  cache.assign(cache.add(1));
  const copy = reserved([2]).initialize(cache);
  cache.assign(cache.mul(10));
  expect(await cache.toArray()).toEqual([20, 30]);
  expect(await copy.toArray()).toEqual([2, 3]);
});
