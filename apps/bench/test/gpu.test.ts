/** The GPU bench: its naive kernels, what it counts, and that it runs. */

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  cumulativeLinearAttention,
  fromData,
  getDevice,
  reference,
  setDevice,
  type Tensor,
} from "@x/tensor";
import { runGpuBench } from "../src/bench/gpu/command.js";
import { reportLaunches } from "../src/bench/gpu/launches.js";
import { naiveLinearAttention, naiveMatmul, NaiveProgram } from "../src/bench/gpu/naive.js";
import { openGpu, type OpenedGpu } from "../src/bench/gpu/open.js";
import { numbers } from "../src/bench/peers/inputs.js";
import { runSelfTest } from "../src/bench/self-test.js";
import { largestDifference } from "../src/bench/suites/tasks.js";

describe("naive kernels", () => {
  const onReference = { device: reference() };
  let opened: OpenedGpu;
  beforeAll(async () => {
    opened = await openGpu();
  });
  afterAll(() => opened.gpu.destroy());

  test("multiply matrices", async () => {
    const [m, n, k] = [17, 33, 9];
    const [a, b] = [numbers(m * k, 1), numbers(k * n, 2)];
    const launches = [naiveMatmul(m, n, k)];
    const program = new NaiveProgram(opened.gpu, "naive", [a, b], [m * n], launches);
    await program.turn(2);
    const expected = fromData(a, [m, k], onReference).matmul(fromData(b, [k, n], onReference));
    const difference = largestDifference(
      await program.read(2),
      (await expected.data()) as Float32Array,
    );
    expect(difference).toBeLessThan(1e-6);
  });

  test("compute linear attention token by token, forwards and backwards", async () => {
    const sizes = { heads: 2, length: 11, dim: 8, scale: 0.25 };
    const shape = [1, sizes.heads, sizes.length, sizes.dim];
    const size = shape.reduce((x, y) => x * y);
    const data = [1, 2, 3, 4].map((seed) => numbers(size, seed));
    const [q, k, v, weights] = data.map((part) => fromData(part, shape, onReference)) as [
      Tensor,
      Tensor,
      Tensor,
      Tensor,
    ];
    const inputs = [q, k, v].map((tensor) => tensor.setRequiresGrad());
    const options = { causal: true, scale: sizes.scale };
    const { output } = cumulativeLinearAttention(q, k, v, options);
    output.mul(weights).sum().backward();
    const program = new NaiveProgram(
      opened.gpu,
      "naive",
      data,
      [size, size, size, size],
      [
        naiveLinearAttention(sizes, [0, 1, 2, 4]),
        naiveLinearAttention(sizes, [3, 2, 1, 5]),
        naiveLinearAttention(sizes, [2, 3, 0, 6], true),
        naiveLinearAttention(sizes, [1, 0, 3, 7], true),
      ],
    );
    await program.turn(1);
    const results = [output, ...inputs.map(({ grad }) => grad!)];
    for (const [i, result] of results.entries()) {
      const expected = (await result.data()) as Float32Array;
      expect(largestDifference(await program.read(4 + i), expected), `result ${i}`).toBeLessThan(
        1e-5,
      );
    }
  });
});

test("loads and stores of every launch are counted", { timeout: 120_000 }, async () => {
  const lines: string[] = [];
  const [chain] = await reportLaunches("chain", (line) => lines.push(line));
  expect(chain).toMatchObject({
    launches: [{ workgroups: 1024, loaded: 2 * 4 * 65536, stored: 4 * 65536 }],
    minimum: { bytes: 3 * 4 * 65536 },
  });
  expect(lines.at(-1)).toContain("| chain of 65536 | 1 | 786 | 786 | 1.0 | 0.3 |");
  expect(lines.at(-2)).toContain("1 launches; 786 kB moved, 1.0 times the least of 786 kB");
  const [product] = await reportLaunches("matmul 1×", () => undefined);
  expect(product!.minimum).toEqual({ flops: 2 * 1024 ** 2, bytes: 4 * (1024 ** 2 + 2048) });
  const loaded = product!.launches.reduce((sum, launch) => sum + launch.loaded, 0);
  expect(loaded).toBeGreaterThanOrEqual(4 * (1024 ** 2 + 1024));
});

test("the bench runs, and leaves the device as it was", { timeout: 240_000 }, async () => {
  const before = getDevice();
  const lines: string[] = [];
  await runGpuBench("gemm", { quick: true, peakTflops: 1 }, (line) => lines.push(line));
  expect(getDevice()).toBe(before);
  expect(lines[1]).toMatch(/ 64×64×64 .* ours .*\n.* naive kernel /);
  expect(lines[1]).toMatch(/128×128×128, share of the peak/);
});

test("mechanisms are measured beside exact attention", { timeout: 240_000 }, async () => {
  const before = getDevice();
  const lines: string[] = [];
  const options = { quick: true, only: "trim" };
  await runGpuBench("families", options, (line) => lines.push(line));
  expect(getDevice()).toBe(before);
  for (const what of ["N=128", "N=128 with gradients", ", a token at position 16"]) {
    expect(lines[1]).toMatch(new RegExp(` trim ?${what} .* ours .*\\n.* exact `));
  }
  expect(lines[1]).not.toContain("left out");
});

test("the self-test prints its table and counts what failed", async () => {
  const before = getDevice();
  const lines: string[] = [];
  const options = { device: "wasm", only: "cumsum", seed: 1 };
  expect(await runSelfTest(options, (line) => lines.push(line))).toBe(0);
  expect(lines.join("\n")).toMatch(/✓ +scan +cumsum[^]*\n3 passed, 0 failed$/);
  setDevice(before);
});
