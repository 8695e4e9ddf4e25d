import { spawn } from "node:child_process";
import { describe, expect, it } from "vitest";
import { f32, i32, kernelSignature } from "../assembler/index.js";
import type { KernelCode } from "../launch.js";
import { launchBytes } from "./driver.js";
import { LinearMemory } from "./memory.js";
import { WasmRuntime } from "./runtime.js";

/** out[i] = in[n − 1 − i] + 1. */
const reverse: KernelCode = {
  key: "reverse",
  emit: (module) => {
    module.function("reverse", kernelSignature, (f, args, begin, end) => {
      const from = f.let(i32.load(args));
      const to = f.let(i32.load(args, 4));
      const n = f.let(i32.load(args, 8));
      const i = f.local(i32);
      f.for(i, begin, end, 1, () => {
        const source = from.add(n.subtract(1).subtract(i).shiftLeft(2));
        f.storeF32(to.add(i.shiftLeft(2)), f32.load(source).add(f32.const(1)));
      });
    });
  },
};

/** out[i] = number, after a while that is longer the larger i is. */
const slow = (number: number): KernelCode => ({
  key: `slow${number}`,
  emit: (module) => {
    module.function(`slow${number}`, kernelSignature, (f, args, begin, end) => {
      const i = f.local(i32);
      const turn = f.local(i32);
      const to = f.let(i32.load(args));
      f.for(i, begin, end, 1, () => {
        f.for(turn, i32.const(0), i.multiply(200_000), 1, () => {
          f.storeI32(to.add(i.shiftLeft(2)), turn);
        });
        f.storeI32(to.add(i.shiftLeft(2)), i32.const(number));
      });
    });
  },
});

async function reverseOften(threads: number, n: number, times: number): Promise<Float32Array> {
  const runtime = new WasmRuntime({ threads, revectorized: false });
  await runtime.code.load([reverse]);
  const { memory } = runtime;
  const buffers = [memory.allocate(n * 4), memory.allocate(n * 4)];
  const args = memory.allocate(64 * times);
  const launches = memory.allocate(launchBytes * times);
  runtime.ensureScratch(64);
  memory.floats.fill(0, buffers[0]! >> 2, (buffers[0]! >> 2) + n);
  for (let k = 0; k < times; k++) {
    memory.words.set([buffers[k % 2]!, buffers[(k + 1) % 2]!, n], (args + 64 * k) >> 2);
    const record = [runtime.code.number(reverse), args + 64 * k, n, k % 7 === 3 ? n : 16];
    memory.words.set(record, (launches + launchBytes * k) >> 2);
  }
  for (let round = 0; round < 20; round++) runtime.run(launches, times);
  runtime.setThreads(1);
  return memory.floats.slice(buffers[0]! >> 2, (buffers[0]! >> 2) + n);
}

describe("the driver", () => {
  it("runs every item of every launch exactly once, in order, on any number of threads", async () => {
    for (const threads of [1, 2, 4]) {
      const result = await reverseOften(threads, 3001, 200);
      expect(result.every((value) => value === 4000)).toBe(true);
    }
  });

  it("waits for a thread that takes long over its item, asleep after a while", async () => {
    const runtime = new WasmRuntime({ threads: 2, revectorized: false });
    const { memory } = runtime;
    const items = 6;
    const [to, args, launch] = [items * 4, 16, launchBytes].map((bytes) => memory.allocate(bytes));
    memory.words[args! >> 2] = to!;
    // More modules than the first list of them has room for.
    for (let number = 1; number <= 200; number++) {
      const code = slow(number);
      await runtime.code.load([code]);
      memory.words.set([runtime.code.number(code), args!, items, 1], launch! >> 2);
      runtime.run(launch!, 1);
      const result = memory.words.slice(to! >> 2, (to! >> 2) + items);
      expect(result).toEqual(new Int32Array(items).fill(number));
    }
    runtime.setThreads(1);
  });

  it("lets the process end by itself", async () => {
    const source = `
      import { WasmRuntime } from ${JSON.stringify(new URL("./runtime.ts", import.meta.url).href)};
      new WasmRuntime({ threads: 3, revectorized: false });
    `;
    const child = spawn(process.execPath, ["--import", "tsx", "--input-type=module", "-e", source]);
    const code = await new Promise((resolve) => child.on("exit", resolve));
    expect(code).toBe(0);
  });
});

describe("linear memory", () => {
  it("reuses what was given back and joins neighbours", () => {
    const memory = new LinearMemory(false);
    const before = memory.live;
    const blocks = Array.from({ length: 10 }, () => memory.allocate(1000));
    expect(new Set(blocks).size).toBe(10);
    for (const block of [3, 5, 4]) memory.release(blocks[block]!);
    expect(memory.allocate(3 * 1024)).toBe(blocks[3]);
    memory.release(blocks[3]!);
    for (const block of [0, 9, 1, 8, 2, 7, 6]) memory.release(blocks[block]!);
    expect(memory.live).toBe(before);
    expect(memory.allocate(10 * 1024)).toBe(blocks[0]);
  });

  it("refuses what does not fit in 4 GiB with a sentence", () => {
    const memory = new LinearMemory(true);
    expect(() => memory.allocate(5 * 2 ** 30)).toThrow(/at most 4 GiB, got a request/);
    expect(memory.allocate(64)).toBeGreaterThan(0);
  });
});
