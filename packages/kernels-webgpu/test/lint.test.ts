/** Every shader that the self-test makes is valid with all optional features as well. */

import { afterEach, expect, test, vi } from "vitest";
import { webgpu } from "../src/index.js";
import { nativeKernels } from "../src/kernels/index.js";
import { selfTest } from "../src/self-test/index.js";
import { nullDevice } from "./null-backend.js";

afterEach(() => {
  vi.restoreAllMocks();
});

/** Why cases could not be computed: numbers of a device that computes nothing do not matter. */
async function failures(only: string): Promise<string[]> {
  const device = await webgpu({ device: await nullDevice() });
  const { cases } = await selfTest(device, { only });
  return cases.flatMap(({ failure }) => failure ?? []);
}

test("the self-test makes valid shaders of every native kernel", { timeout: 120_000 }, async () => {
  const lowered = [...(await nativeKernels.all())].map(([op, kernel]) => ({
    op,
    lower: vi.spyOn(kernel, "lower"),
  }));
  const modules = vi.spyOn(await nullDevice(), "createShaderModule");
  expect(await failures("")).toEqual([]);
  const forgotten = lowered.filter(({ lower }) => lower.mock.calls.length === 0);
  expect(forgotten.map(({ op }) => op)).toEqual([]);
  const shaders = modules.mock.calls.map(([{ code }]) => code);
  expect(shaders.filter((code) => code.includes("enable f16;")).length).toBeGreaterThan(5);
});

test("an invalid shader is found", async () => {
  const matmul = (await nativeKernels.all()).get("matmul")!;
  const { lower } = matmul;
  vi.spyOn(matmul, "lower").mockImplementation((...step) =>
    lower(...step).map((launch) => ({
      ...launch,
      shader: `${launch.shader}
fn broken( {`,
    })),
  );
  expect(await failures("matmul 4 × 4")).toEqual([
    expect.stringMatching(/^webgpu: the kernel "matmul 4x4x4" must compile, got: \d+:\d+ /),
  ]);
});
