import { afterAll, expect, test } from "vitest";
import { getDevice, manualSeed, randn, setDevice, wasm, type Tensor } from "@x/tensor";
import type { Life } from "@x/tensor/device";
import { bufferUsage } from "../adapter/constants.js";
import { requestGpu } from "../adapter/request.js";
import { webgpu } from "../index.js";
import { layOutArenas } from "./arenas.js";

const before = getDevice();
afterAll(() => setDevice(before));

test("lays intermediates out in one arena, or in as few as needed, where none meets another", () => {
  const lives = Array.from({ length: 60 }, (_, i): Life => {
    return { bytes: 256 * (1 + ((i * 7) % 13)), first: i, last: i + ((i * 5) % 20) };
  });
  expect(layOutArenas([], 1000)).toEqual({ places: [], bytes: [0] });
  const whole = layOutArenas(lives, Infinity);
  expect(whole.bytes).toHaveLength(1);
  for (const most of [whole.bytes[0]!, whole.bytes[0]! / 2, 256 * 13]) {
    const { places, bytes } = layOutArenas(lives, most);
    if (most === whole.bytes[0]) expect(bytes).toHaveLength(1);
    expect(Math.max(...bytes)).toBeLessThanOrEqual(most);
    lives.forEach((a, i) => {
      const { arena, offset } = places[i]!;
      expect(offset + a.bytes).toBeLessThanOrEqual(bytes[arena]!);
      lives.slice(0, i).forEach((b, j) => {
        const other = places[j]!;
        const isApart =
          arena !== other.arena ||
          a.first > b.last ||
          b.first > a.last ||
          offset + a.bytes <= other.offset ||
          other.offset + b.bytes <= offset;
        expect(isApart).toBe(true);
      });
    });
  }
});

test("a plan whose intermediates no single buffer holds gives the same numbers", async () => {
  const program = (x: Tensor): Tensor => {
    const parts = [1, 2, 3, 4, 5].map((n) => x.mul(n).cumsum(0));
    return parts.reduce((a, b) => a.matmul(b).softmax(-1)).add(parts[0]!);
  };
  setDevice(wasm());
  // For some numbers rounding decides between two classes of a softmax.
  manualSeed(1);
  const x = randn([16, 16]);
  const expected = await program(x).data();
  const { device: raw } = await requestGpu();
  const most = 4096;
  const limits = new Proxy(raw.limits, {
    get: (target, name: keyof GPUSupportedLimits) =>
      name === "maxBufferSize" ? most : Reflect.get(target, name, target),
  });
  Object.defineProperty(raw, "limits", { value: limits });
  const sizes: number[] = [];
  const createBuffer = raw.createBuffer.bind(raw);
  raw.createBuffer = (descriptor) => {
    // Memory for reading is not for kernels.
    if ((descriptor.usage & bufferUsage.STORAGE) !== 0) sizes.push(descriptor.size);
    return createBuffer(descriptor);
  };
  const device = await webgpu({ device: raw });
  const found = await program(await x.to(device)).data();
  found.forEach((value, i) => expect(value).toBeCloseTo(expected[i]!, 4));
  expect(Math.max(...sizes)).toBeLessThanOrEqual(most);
  expect(device.memory().plans).toBeGreaterThan(most);
  raw.destroy();
});
