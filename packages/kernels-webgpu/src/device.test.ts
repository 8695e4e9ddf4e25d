import { beforeAll, describe, expect, test } from "vitest";
import {
  fromData,
  manualSeed,
  memory,
  ones,
  rand,
  randn,
  realize,
  setDevice,
  tensor,
  wasm,
  zeros,
  XError,
  type Device,
  type DType,
} from "@x/tensor";
import { Linear } from "@x/tensor/nn";
import { AdamW } from "@x/tensor/optim";
import { requestGpu } from "./adapter/request.js";
import { webgpu } from "./index.js";

let device: Device;
beforeAll(async () => {
  device = await webgpu();
  setDevice(device);
});

test("adds, multiplies and sums", async () => {
  const x = tensor([1, 2, 3]);
  expect(x.device).toBe(device);
  expect([...(await x.add(1).mul(2).data())]).toEqual([4, 6, 8]);
  expect(
    await ones([100, 300])
      .mul(tensor([2]))
      .sum()
      .item(),
  ).toBe(60000);
  expect(
    new Set(
      await ones([70, 33])
        .matmul(ones([33, 40]))
        .data(),
    ),
  ).toEqual(new Set([33]));
  expect(await zeros([0, 3]).add(1).sum().item()).toBe(0);
});

test.each(["float16", "int8", "bool"] satisfies DType[])(
  "neighbours of a %s element keep their numbers",
  async (dtype) => {
    for (const size of [1, 3, 5, 130]) {
      const numbers = Float32Array.from({ length: size }, (_, i) => (i * 7) % 2);
      const x = await fromData(numbers, [size]).cast(dtype).realize();
      expect([...(await x.data())]).toEqual([...numbers]);
      expect([...(await x.cast("float32").add(1).data())]).toEqual([...numbers.map((n) => n + 1)]);
    }
  },
);

test("more work items than one axis of a dispatch takes", async () => {
  const n = 65535 * 64 + 100;
  const x = await ones([n]).add(1).realize();
  expect(await x.narrow(0, n - 3, 3).toArray()).toEqual([2, 2, 2]);
  x.dispose();
});

test("gives the random numbers of the other devices", async () => {
  const draw = async (where: Device): Promise<number[]> => {
    setDevice(where);
    manualSeed(7);
    return [...(await rand([257]).data())];
  };
  const onGpu = await draw(device);
  expect(onGpu).toEqual(await draw(wasm()));
  setDevice(device);
});

test("1,000 training steps make and hold no more than two", { timeout: 300_000 }, async () => {
  const { device: raw } = await requestGpu();
  const own = await webgpu({ device: raw });
  setDevice(own);
  let buffers = 0;
  const createBuffer = raw.createBuffer.bind(raw);
  raw.createBuffer = (descriptor) => {
    const buffer = createBuffer(descriptor);
    const destroy = buffer.destroy.bind(buffer);
    buffers++;
    buffer.destroy = () => {
      buffers--;
      destroy();
    };
    return buffer;
  };
  const model = new Linear(8, 4);
  const optimizer = new AdamW(model.parameters(), { lr: 0.01 });
  const [x, y] = [randn([16, 8]), randn([16, 4])];
  await realize(x, y);
  const facts = new Set<string>();
  const losses: number[] = [];
  for (let i = 0; i < 1000; i++) {
    const loss = model.forward(x).sub(y).square().mean();
    loss.backward();
    await optimizer.step();
    optimizer.zeroGrad();
    // Reading every step leaves nothing behind, nor does reading now and then.
    if (i % 10 < 2) losses.push(await loss.item());
    else loss.dispose();
    const { pipelines, bindGroups } = own.info;
    if (i >= 2) facts.add(JSON.stringify([memory(), buffers, pipelines, bindGroups]));
  }
  expect([...facts]).toHaveLength(1);
  expect(losses.at(-1)!).toBeLessThan(losses[0]!);
  setDevice(device);
  raw.destroy();
});

describe("what goes wrong is told in a sentence", () => {
  test("a tensor that no shader could read", () => {
    expect(() => device.allocate(2 ** 40)).toThrow(
      /^webgpu: one tensor can take at most .* MiB on/,
    );
  });

  test("an invalid command, once", async () => {
    const { device: own } = await requestGpu();
    setDevice(await webgpu({ device: own }));
    const x = await tensor([1, 2, 3]).add(1).realize();
    // A buffer for nothing is refused; the device reports it by an event.
    own.createBuffer({ size: 16, usage: 0 });
    await own.queue.onSubmittedWorkDone();
    const error: unknown = await x.data().catch((reason: unknown) => reason);
    expect(XError.isInstance(error) && error.code).toBe("internal");
    expect(String(error)).toContain("webgpu: every command must be valid, got: ");
    expect([...(await x.data())]).toEqual([2, 3, 4]);
    setDevice(device);
    own.destroy();
  });
});
