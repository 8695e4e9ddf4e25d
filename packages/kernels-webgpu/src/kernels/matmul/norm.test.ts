import { beforeAll, describe, expect, it } from "vitest";
import {
  layerNorm,
  noGrad,
  profile,
  realize,
  reference,
  rmsNorm,
  setDevice,
  type Device,
  type Tensor,
} from "@x/tensor";
import { expectClose } from "@x/tensor/testing";
import { numbers } from "../../../test/like-reference.js";
import { webgpu } from "../../index.js";

let device: Device;
beforeAll(async () => {
  device = await webgpu();
});

/** Names of the launches of a program, whose results must be those of the reference. */
async function launchesOf(program: () => readonly Tensor[]): Promise<string[]> {
  setDevice(reference());
  const expected = noGrad(program);
  await realize(...expected);
  setDevice(device);
  const { result, kernels } = await profile(async () => {
    const results = noGrad(program);
    await realize(...results);
    return results;
  });
  for (const [i, tensor] of result.entries()) {
    await expectClose(tensor, expected[i]!, { relative: 1e-5, absolute: 1e-5 });
  }
  return kernels.flatMap(({ name, calls }) => Array.from({ length: calls }, () => name)).sort();
}

const names = (launches: readonly string[]): string[] =>
  launches.map((name) => name.replace(/,? \d.*/, ""));

/** A layer of so many inputs and outputs. */
const linear = (x: Tensor, outputs: number, seed: number): Tensor =>
  x
    .matmul(numbers(seed, [outputs, x.shape.at(-1)!]).transpose(0, 1))
    .add(numbers(seed + 1, [outputs]));

describe("norms of a few rows", () => {
  for (const [rows, size] of [
    [1, 128],
    [3, 70],
  ] as const) {
    it(`are computed by the products that read them: ${rows} of ${size}`, async () => {
      const x = (): Tensor => numbers(1, [rows, size]).add(3);
      const [weight, bias] = [2, 3].map((seed) => () => numbers(seed, [size])) as [
        () => Tensor,
        () => Tensor,
      ];
      const layer = await launchesOf(() => {
        const y = layerNorm(x(), [size], { weight: weight(), bias: bias() });
        return [linear(y, 40, 4), linear(y, 24, 6).relu()];
      });
      expect(names(layer).filter((name) => !name.startsWith("loop"))).toEqual([
        "norm, matmul",
        "norm, matmul",
      ]);
      const rms = await launchesOf(() => [linear(rmsNorm(x(), [size]), 40, 4)]);
      expect(names(rms).filter((name) => !name.startsWith("loop"))).toEqual(["norm, matmul"]);
    });
  }

  it("stay by themselves where others read them, or where there are more", async () => {
    const read = await launchesOf(() => {
      const y = layerNorm(numbers(1, [1, 128]), [128]);
      return [linear(y, 40, 4), y];
    });
    expect(names(read)).toEqual(["layerNorm", "matmul"]);
    const many = await launchesOf(() => [linear(layerNorm(numbers(1, [7, 128]), [128]), 40, 4)]);
    expect(names(many)).toEqual(["layerNorm", "matmul"]);
  });

  it("stay by themselves where the product overwrites what they read", async () => {
    const launches = await launchesOf(() => {
      const x = numbers(1, [1, 128]);
      x.assign(layerNorm(x, [128]).matmul(numbers(4, [128, 128])));
      return [x];
    });
    expect(names(launches)).toEqual(["layerNorm", "matmul"]);
  });
});
