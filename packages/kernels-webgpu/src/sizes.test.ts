import { afterAll, beforeAll, expect, test } from "vitest";
import { getDevice, ones, setDevice, tensor, zeros, type Device, type Tensor } from "@x/tensor";
import { plainDevice } from "../test/devices.js";
import { webgpu } from "./index.js";

const before = getDevice();
let raw: GPUDevice;
let device: Device;
let buffers = 0;
beforeAll(async () => {
  // Bindings of 128 MiB, buffers of 256 MiB.
  raw = await plainDevice();
  device = await webgpu({ device: raw });
  setDevice(device);
  const createBuffer = raw.createBuffer.bind(raw);
  raw.createBuffer = (descriptor) => {
    buffers++;
    return createBuffer(descriptor);
  };
});
afterAll(() => {
  setDevice(before);
  raw.destroy();
});

const million = 2 ** 20;

test.each<[string, string, () => Tensor]>([
  [
    "a result",
    "one tensor can take at most 128 MiB on this GPU, got 132 MiB",
    () => ones([33 * million]).add(tensor([1])),
  ],
  [
    "an intermediate",
    "one tensor can take at most 128 MiB on this GPU, got 160 MiB",
    () =>
      ones([40 * million])
        .cumsum(0)
        .sum(),
  ],
  [
    "the elements of a reduction",
    "can take at most 2147418112 elements on this GPU, got 4294967296",
    () =>
      tensor([1, 2])
        .reshape([2, 1])
        .expand([2, 2 ** 31])
        .sum(),
  ],
])("refuses in a sentence, before any work: %s", async (_, sentence, program) => {
  buffers = 0;
  const error: unknown = await program()
    .realize()
    .catch((reason: unknown) => reason);
  expect(error).toMatchObject({
    code: "memory",
    message: expect.stringContaining(sentence) as string,
  });
  expect(buffers).toBe(0);
  expect(await tensor([1]).add(1).item()).toBe(2);
});

test("computes nothing of nothing", async () => {
  const none = zeros([3, 0]);
  expect(await none.matmul(zeros([0, 2])).toArray()).toEqual([
    [0, 0],
    [0, 0],
    [0, 0],
  ]);
  expect(
    await zeros([0, 3])
      .matmul(zeros([3, 4]))
      .add(1)
      .toArray(),
  ).toEqual([]);
  expect(await none.softmax(-1).toArray()).toEqual([[], [], []]);
  expect(await none.cumsum(1).toArray()).toEqual([[], [], []]);
  expect(await none.sort(1).values.toArray()).toEqual([[], [], []]);
});
