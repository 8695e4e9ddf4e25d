import { beforeAll, expect, it } from "vitest";
import { fromData, kernelHalving, ones, setDevice, type Device } from "@x/tensor";
import { expectLikeReference, numbers } from "../../../test/like-reference.js";
import { webgpu } from "../../index.js";

let device: Device;
beforeAll(async () => {
  device = await webgpu();
});

it("halves more buckets than a chunk takes, and pairs than a workgroup has invocations", async () => {
  await expectLikeReference(device, () => {
    const key = numbers(1, [1, 1, 1200, 3]);
    const draws = numbers(2, [1, 1, 600]).mul(0.1);
    const halved = { rounds: 1, draws };
    return [
      kernelHalving(key, key, { ...halved, bucket: 4, offsets: ones([1, 1, 300]) }),
      kernelHalving(key, key, { ...halved, bucket: 600, offsets: ones([1, 1, 2]) }),
    ];
  });
});

it("keeps something sensible of equal keys, and of huge ones", async () => {
  setDevice(device);
  for (const size of [0, 1e6]) {
    const key = fromData(new Float32Array(64).fill(size), [1, 1, 16, 4]);
    const draws = fromData(new Float32Array(8).fill(0.5), [1, 1, 8]);
    const halved = { bucket: 8, rounds: 1, offsets: ones([1, 1, 2]), draws };
    const kept = await kernelHalving(key, key, halved).data();
    expect([...kept].map((position) => Math.floor(position / 2))).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  }
});
