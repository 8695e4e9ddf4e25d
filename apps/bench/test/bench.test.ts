/** How the benches judge: errors, medians, claims. */

import { afterAll, beforeAll, expect, test } from "vitest";
import {
  cumulativeLinearAttention,
  fromData,
  getDevice,
  reference,
  scaledDotProductAttention,
  setDevice,
  type Device,
  type Tensor,
} from "@x/tensor";
import { measure, summarize } from "../src/bench/measure.js";
import { inputsOf } from "../src/bench/peers/inputs.js";
import type { AttentionTask } from "../src/bench/peers/peer.js";
import { formatSuite, type Claim } from "../src/bench/report.js";
import { attentionError } from "../src/bench/suites/attention-reference.js";

let device: Device;
beforeAll(() => {
  device = getDevice();
  setDevice(reference());
});
afterAll(() => setDevice(device));

async function attend(task: AttentionTask, inputs: readonly Float32Array[]): Promise<Float32Array> {
  const shape = [1, task.heads, task.length, task.dim];
  const requiresGrad = task.backward;
  const [q, k, v] = inputs.map((data) => fromData(data, shape, { requiresGrad })) as [
    Tensor,
    Tensor,
    Tensor,
  ];
  const options = { causal: true, scale: 1 / Math.sqrt(task.dim) };
  const output =
    task.kind === "exact"
      ? scaledDotProductAttention(q, k, v, { isCausal: true })
      : cumulativeLinearAttention(q, k, v, options).output;
  if (!task.backward) return (await output.data()) as Float32Array;
  output.sum().backward();
  return (await q.grad!.data()) as Float32Array;
}

test.each([
  ["exact", false],
  ["exact", true],
  ["trim", false],
  ["trim", true],
] as const)("the error of %s attention, gradients: %s", async (kind, backward) => {
  const task = { op: "attention", kind, backward, heads: 2, length: 40, dim: 8 } as const;
  const inputs = inputsOf(task);
  const result = await attend(task, inputs);
  expect(attentionError(task, inputs, result)).toBeLessThan(1e-6);
  const last = result.length - 1;
  const wrong = result.with(last, result[last]! + 1);
  expect(attentionError(task, inputs, wrong)).toBeGreaterThan(0.05);
  expect(attentionError(task, inputs, result.with(last - task.length * task.dim, NaN))).toBeNaN();
});

test("everybody has a turn in every round", async () => {
  const turns: string[] = [];
  const competitor = (name: string, each: number) => ({
    name,
    turn: (runs: number) => {
      turns.push(`${name}${runs}`);
      return Promise.resolve(runs * each);
    },
  });
  const effort = { rounds: 2, turnMilliseconds: 10 };
  const samples = await measure([competitor("a", 5), competitor("b", 2)], effort);
  // Warm-ups of one run up to twice the length of a turn, then turns of that length.
  const warmUp = [...Array<string>(4).fill("a1"), ...Array<string>(10).fill("b1")];
  expect(turns).toEqual([...warmUp, "a2", "b5", "a2", "b5"]);
  expect(samples.get("b")).toEqual({ median: 2, fastest: 2, slowest: 2 });
});

test("medians and extremes", () => {
  expect(summarize([3, 1, 2, 10, 4])).toEqual({ median: 3, fastest: 1, slowest: 10 });
});

test("claims are judged in their direction, and only where they were measured", () => {
  const claims: Claim[] = [
    { claim: "fast", measured: 3, must: 2, aim: 4 },
    { claim: "slow", measured: 1, must: 2, aim: 4 },
    { claim: "short", measured: 0.5, must: 3, aim: 1, unit: " ms", atMost: true },
    { claim: "long", measured: 4, must: 3, aim: 1, unit: " ms", atMost: true },
    { claim: "unknown", measured: NaN, must: 3, aim: 1 },
  ];
  const entries = [
    { name: "ours", sample: { median: 2, fastest: 1, slowest: 3 } },
    { name: "theirs", sample: null },
  ];
  const text = formatSuite({ suite: "Suite", rows: [{ what: "row", entries }], claims, notes: [] });
  const line = (name: string): string | undefined =>
    text.split("\n").find((other) => other.includes(` ${name} `) && !other.includes("library"));
  expect(line("fast")).toMatch(/3x.*2x.*4x.* reached/);
  expect(line("slow")).toMatch(/NOT reached/);
  expect(line("short")).toMatch(/0\.5 ms.*≤ 3 ms.*≤ 1 ms.*aim reached/);
  expect(line("long")).toMatch(/NOT reached/);
  expect(line("ours")).toMatch(/2 .*-50 … \+50 %/);
  expect(line("theirs")).toMatch(/–/);
  expect(text).not.toContain("unknown");
});
