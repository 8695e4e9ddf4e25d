import { afterAll, expect, test } from "vitest";
import { getDevice, profile, randn, setDevice, tensor, zeros, type Tensor } from "@x/tensor";
import { plainNullDevice } from "../../test/devices.js";
import { webgpu } from "../index.js";
import { slice } from "./plan.js";

const before = getDevice();
afterAll(() => setDevice(before));

/** So many kernels in a row: a sum cannot be part of the next. */
function chain(x: Tensor, length: number): Tensor {
  let y = x;
  for (let i = 0; i < length; i++) y = y.sum(0, { keepdim: true }).add(x);
  return y;
}

test("long plans are submitted in slices, short ones at once", async () => {
  const raw = await plainNullDevice();
  setDevice(await webgpu({ device: raw }));
  const submit = raw.queue.submit.bind(raw.queue);
  let submits = 0;
  raw.queue.submit = (commands) => {
    submits++;
    submit(commands);
  };
  const count = async (y: Tensor): Promise<number> => {
    submits = 0;
    await y.realize();
    return submits;
  };
  const x = await zeros([3, 4]).add(0).realize();
  expect(await count(chain(x, 5))).toBe(1);
  const launches = 2 * slice.launches + 1;
  const sums = chain(x, launches);
  const { kernels } = await profile(() => chain(x, launches).realize());
  const total = kernels.reduce((sum, { calls }) => sum + calls, 0);
  expect(await count(sums)).toBe(Math.ceil(total / slice.launches));
  expect(total).toBeGreaterThan(2 * slice.launches);
  // Few launches that move much are sliced as well.
  const large = await zeros([slice.bytes / 16])
    .add(0)
    .realize();
  expect(await count(chain(large.reshape([4, -1]), 3))).toBeGreaterThan(1);
  raw.destroy();
});

test("results that are kept, and batches on the device, make no bind groups after the second run", async () => {
  const device = await webgpu();
  setDevice(device);
  const kept: Tensor[] = [];
  const groups: unknown[] = [];
  for (let i = 0; i < 12; i++) {
    const batch = await tensor([i, 1, 2]).add(0).realize();
    kept.push(await batch.mul(2).sum().realize());
    kept.push(batch);
    groups.push(device.info.bindGroups);
  }
  expect(new Set(groups.slice(2)).size).toBe(1);
  const sums = await Promise.all(kept.filter((_, i) => i % 2 === 0).map((sum) => sum.item()));
  expect(sums).toEqual(Array.from({ length: 12 }, (_, i) => 2 * i + 6));
});

test("profiles with the clock of the GPU: every kernel, in less than the wall time", async () => {
  setDevice(await webgpu());
  const x = await randn([64, 64]).realize();
  const program = (): Promise<number> => x.matmul(x).softmax(-1).matmul(x).sum().item();
  const value = await program();
  const found = await profile(program);
  expect(found.result).toBe(value);
  expect(found.compileCount).toBe(0);
  const products = found.kernels.filter(({ name }) => name.startsWith("matmul"));
  expect(products.reduce((sum, { calls }) => sum + calls, 0)).toBeGreaterThanOrEqual(2);
  for (const { milliseconds } of found.kernels) expect(milliseconds).toBeGreaterThanOrEqual(0);
  expect(found.kernelMilliseconds).toBeGreaterThan(0);
  expect(found.kernelMilliseconds).toBeLessThan(found.totalMilliseconds);
});

test("profiles with the wall clock where the GPU has none", async () => {
  setDevice(await webgpu({ features: [] }));
  const { result, kernels } = await profile(() => tensor([1, 2, 3]).add(1).sum().item());
  expect(result).toBe(9);
  expect(kernels).toHaveLength(1);
  expect(kernels[0]!.milliseconds).toBeGreaterThan(0);
});
