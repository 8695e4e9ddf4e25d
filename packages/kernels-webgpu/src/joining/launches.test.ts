import { beforeAll, describe, expect, it } from "vitest";
import { fromData, type Device, type Tensor } from "@x/tensor";
import { plainDevice } from "../../test/devices.js";
import { launchesOf } from "../../test/launches.js";
import { expectLikeReference, numbers } from "../../test/like-reference.js";
import { webgpu } from "../index.js";

const rounding = { relative: 1e-5, absolute: 1e-5 } as const;

let device: Device;
beforeAll(async () => {
  // A launch has room for 8 buffers.
  device = await webgpu({ device: await plainDevice() });
});

/** A product, which has workgroups with barriers. */
const product = (): Tensor => numbers(1, [1, 300]).matmul(numbers(2, [300, 40]));

describe("small work", () => {
  it("is done beside a launch that it does not depend on, with its scalars", async () => {
    const names = await launchesOf(device, () => [
      product().mul(0.5),
      numbers(3, [7]).mul(1.5).add(0.25).exp(),
      fromData(Int32Array.of(3, 4), [2]).add(2),
    ]);
    expect(names).toHaveLength(1);
  });

  it("waits for what it reads", async () => {
    const names = await launchesOf(device, () => {
      const x = product();
      return [x.cumsum(1), x.sum(1).exp()];
    });
    expect(names.length).toBeGreaterThan(1);
  });

  it("waits for those who read what it overwrites", async () => {
    await expectLikeReference(
      device,
      () => {
        const x = numbers(3, [300]);
        const y = x.reshape([1, 300]).matmul(numbers(2, [300, 40]));
        x.assign(x.mul(2));
        return [y, x];
      },
      rounding,
    );
  });

  it("shares types of which several elements are in a word", async () => {
    const names = await launchesOf(device, () => [
      product(),
      numbers(3, [9], "float16").mul(2),
      numbers(4, [9]).gt(0),
    ]);
    expect(names).toHaveLength(1);
  });

  it("has a launch of its own beyond the buffers that one takes", async () => {
    const names = await launchesOf(device, () => [
      product(),
      ...Array.from({ length: 5 }, (_, i) => numbers(i, [7]).exp()),
    ]);
    // 3 buffers of the product, and 2 of each of the others.
    expect(names).toHaveLength(2);
  });

  it("has a launch of its own where it is not small", async () => {
    const names = await launchesOf(device, () => [product(), numbers(3, [5000]).exp()]);
    expect(names).toHaveLength(2);
  });
});
