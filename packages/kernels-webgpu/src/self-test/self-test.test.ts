import { describe, expect, test } from "vitest";
import { wasm, type Device } from "@x/tensor";
import { webgpu } from "../index.js";
import { formatSelfTest, formatSelfTestCase, selfTest } from "./index.js";

/** The CPU device, whose reads come back changed. */
function deviceThatReads(change: (data: ArrayBuffer) => ArrayBuffer): Device {
  const device = wasm();
  return new Proxy(device, {
    get: (target, name) => {
      if (name === "smallResultBytes") return 0;
      if (name === "read") {
        return async (...read: Parameters<Device["read"]>) => change(await target.read(...read));
      }
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === "function" ? (value.bind(target) as unknown) : value;
    },
  });
}

describe("selfTest", () => {
  test("the GPU of the tests computes what it should", { timeout: 300_000 }, async () => {
    // Every kernel has tests of its own: the rest is for when there is time.
    const isThorough = process.env.X_THOROUGH !== undefined;
    const result = await selfTest(await webgpu(), isThorough ? {} : { only: "matmul" });
    const wrong = result.cases.filter(({ passed }) => !passed).map(formatSelfTestCase);
    expect(wrong).toEqual([]);
    expect(result).toMatchObject({ device: "webgpu", failed: 0, passed: result.cases.length });
    expect(result.launches).toContain("matmul 64x64x64");
  });

  test("so does the CPU, with any seed", { timeout: 120_000 }, async () => {
    const { failed, cases } = await selfTest(wasm(), { seed: 7 });
    expect(failed).toBe(0);
    expect(cases.length).toBeGreaterThan(100);
  });

  test("a device that computes something else is found out", async () => {
    const device = deviceThatReads((data) => {
      const numbers = new Float32Array(data);
      numbers[numbers.length - 1]! += 0.01;
      return data;
    });
    const { cases, failed } = await selfTest(device, { only: "softmax 50 × 7" });
    expect(failed).toBe(1);
    expect(cases[0]!.error).toBeGreaterThan(cases[0]!.tolerance);
  });

  test("NaN is found out", async () => {
    const device = deviceThatReads(
      (data) => new Float32Array(data.byteLength / 4).fill(NaN).buffer,
    );
    const { cases } = await selfTest(device, { only: "matmul 4 × 4" });
    expect(cases).toMatchObject([{ error: Infinity, passed: false, failure: null }]);
  });

  test("what cannot be computed fails with the reason, and the others go on", async () => {
    let reads = 0;
    const device = deviceThatReads((data) => {
      if (reads++ === 0) throw new Error("the device is on fire");
      return data;
    });
    const result = await selfTest(device, { only: "cumsum" });
    expect(result.cases[0]).toMatchObject({ passed: false, failure: "the device is on fire" });
    expect(result).toMatchObject({ failed: 1, passed: result.cases.length - 1 });
    expect(formatSelfTestCase(result.cases[0]!)).toMatch(
      /^✗ scan, cumsum .*: the device is on fire$/,
    );
  });

  test("tells its progress", async () => {
    const told: string[] = [];
    const onProgress = (_: unknown, done: number, total: number): void => {
      told.push(`${done}/${total}`);
    };
    await selfTest(wasm(), { only: "cumsum", onProgress });
    expect(told).toEqual(["1/3", "2/3", "3/3"]);
  });
});

test("formatSelfTest prints a table, the facts of the device and the kernels", async () => {
  const text = formatSelfTest(await selfTest(wasm(), { only: "matmul 4 × 4" }));
  const [facts, , head, row] = text.split("\n");
  expect(facts).toMatch(/^wasm: threads \d+, /);
  expect(head).toMatch(/^ +kernel +case +error +tolerance +ms$/);
  expect(row).toMatch(/^✓ +matmul +4 × 4 × 4 +\d\.\de-\d +1e-5 +\d+\.\d\d$/);
  expect(text).toMatch(/\nKernels: gemm\n1 passed, 0 failed$/);
});
