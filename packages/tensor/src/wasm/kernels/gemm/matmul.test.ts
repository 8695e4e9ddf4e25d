import { describe, expect, it } from "vitest";
import type { Node } from "../../../graph/node.js";
import { floatsFromHalfs, halfsFromFloats } from "../../../tensor/half.js";
import type { NativeStep, Operand } from "../../../plan/schedule.js";
import {
  f32,
  i32,
  kernelSignature,
  ModuleBuilder,
  supportsRelaxedSimd,
} from "../../assembler/index.js";
import type { KernelCode, Launch } from "../../launch.js";
import type { LoweringContext } from "../../native.js";
import type { Epilogue } from "./epilogue.js";
import { lowerMatmul, matmulKernel } from "./matmul.js";

const guard = 64;
const guardValue = -12345.5;

// A device of one thread: buffers in a memory, each between guards.
class Bench {
  private readonly memory = new WebAssembly.Memory({ initial: 64 });
  private top = 1024;
  private readonly buffers: { at: number; floats: number }[] = [];

  private allocate(floats: number): number {
    const at = this.top + guard;
    this.top = (at + floats * 4 + guard + 63) & ~63;
    const missing = this.top - this.memory.buffer.byteLength;
    if (missing > 0) this.memory.grow(Math.ceil(missing / 65536));
    new Float32Array(this.memory.buffer, at - guard, (this.top - at + guard) / 4).fill(guardValue);
    return at;
  }

  // With `atEnd`, memory ends right behind the buffer: whoever reads on is stopped by the engine.
  buffer(contents: number | Float32Array | Uint16Array | Int8Array, atEnd = false): number {
    const floats = typeof contents === "number" ? contents : Math.ceil(contents.byteLength / 4);
    const at = atEnd ? this.memory.buffer.byteLength - floats * 4 : this.allocate(floats);
    this.buffers.push({ at, floats });
    if (atEnd) new Float32Array(this.memory.buffer, at - guard, guard / 4).fill(guardValue);
    if (typeof contents !== "number") {
      const bytes = new Uint8Array(contents.buffer, contents.byteOffset, contents.byteLength);
      new Uint8Array(this.memory.buffer, at, contents.byteLength).set(bytes);
    }
    return this.buffers.length - 1;
  }

  read(buffer: number): Float32Array {
    const { at, floats } = this.buffers[buffer]!;
    return new Float32Array(this.memory.buffer, at, floats);
  }

  get bytes(): number {
    return this.memory.buffer.byteLength;
  }

  guardsIntact(): boolean {
    return this.buffers.every(({ at, floats }) => {
      const before = new Float32Array(this.memory.buffer, at - guard, guard / 4);
      const end = at + floats * 4;
      const after = new Float32Array(
        this.memory.buffer,
        end,
        end === this.memory.buffer.byteLength ? 0 : guard / 4,
      );
      return [...before, ...after].every((value) => value === guardValue);
    });
  }

  address(buffer: number): number {
    return this.buffers[buffer]!.at;
  }

  // Runs launches, items `grain` at a time, from the last to the first or the other way round.
  run(launches: readonly Launch[], relaxed: boolean, grain: number, backward = false): void {
    const module = new ModuleBuilder({ relaxed });
    for (const { code } of launches) if (!module.has(code.key)) code.emit(module);
    const prepared = launches.map((launch) => {
      const scratch = this.buffer(launch.scratchBytes / 4);
      this.read(scratch).fill(NaN);
      return { launch, scratch, args: this.allocate(launch.arguments.length) };
    });
    const compiled = new WebAssembly.Module(module.toBytes());
    // The test knows what it exports.
    const exports = new WebAssembly.Instance(compiled, { env: { memory: this.memory } })
      .exports as unknown as Record<string, (...args: number[]) => void>;
    for (const { launch, scratch, args } of prepared) {
      const words = new DataView(this.memory.buffer, args);
      launch.arguments.forEach((word, i) => {
        if (word.kind === "buffer") {
          words.setInt32(i * 4, this.address(word.buffer) + (word.offset ?? 0), true);
        } else if (word.kind === "int") words.setInt32(i * 4, word.value, true);
        else throw new Error("not used by these kernels");
      });
      const starts = Array.from({ length: Math.ceil(launch.items / grain) }, (_, i) => i * grain);
      for (const begin of backward ? starts.reverse() : starts) {
        const end = Math.min(launch.items, begin + grain);
        exports[launch.code.key]!(args, begin, end, this.address(scratch));
      }
    }
  }
}

function context(bench: Bench, engine: Engine, threads = 2): LoweringContext {
  return {
    threads,
    relaxed: engine !== "plain",
    revectorized: engine === "revectorized",
    workspace: (bytes) => bench.buffer(bytes / 4),
  };
}

type Engine = "plain" | "relaxed" | "revectorized";
const engines: Engine[] = supportsRelaxedSimd() ? ["plain", "relaxed", "revectorized"] : ["plain"];

// Deterministic random numbers.
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

interface Layout {
  // Order of the axes in memory, slowest first; default as they are.
  order?: number[];
  // Elements between numbers of the fastest axis.
  step?: number;
  reversed?: boolean;
  broadcast?: number[];
  // Elements skipped before the first.
  skip?: number;
}

function makeOperand(
  bench: Bench,
  shape: number[],
  layout: Layout,
  random: () => number,
  atEnd: boolean,
  dtype: NonNullable<Case["rightType"]> = "float32",
): { view: Operand; at: (index: readonly number[]) => number } {
  const { order = shape.map((_, i) => i), step = 1, broadcast = [], skip = 0 } = layout;
  const strides = shape.map(() => 0);
  let size = step;
  for (const axis of [...order].reverse()) {
    if (broadcast.includes(axis)) continue;
    strides[axis] = size;
    size *= shape[axis]!;
  }
  const numbers = Float32Array.from({ length: size + skip }, () => random() * 2 - 1);
  let offset = skip;
  if (layout.reversed === true) {
    strides.forEach((stride, axis) => {
      offset += stride * Math.max(0, shape[axis]! - 1);
      strides[axis] = -stride;
    });
  }
  if (dtype === "int8") numbers.forEach((x, i) => (numbers[i] = Math.round(x * 127)));
  const halves = dtype === "float16" ? halfsFromFloats(numbers) : null;
  if (halves !== null) numbers.set(floatsFromHalfs(halves));
  const stored = dtype === "int8" ? Int8Array.from(numbers) : (halves ?? numbers);
  const buffer = bench.buffer(stored, atEnd);
  const view: Operand = { buffer, dtype, shape, strides, offset };
  return {
    view,
    at: (index) => numbers[offset + index.reduce((sum, x, i) => sum + x * strides[i]!, 0)]!,
  };
}

interface Case {
  batch?: number[];
  m: number;
  n: number;
  k: number;
  left?: Layout;
  right?: Layout;
  // What the right matrix is kept as.
  rightType?: "float32" | "float16" | "int8";
  // The operand behind which memory ends.
  atEnd?: "left" | "right";
}

function prepare(
  bench: Bench,
  { batch = [], m, n, k, left = {}, right = {}, rightType, atEnd }: Case,
  seed = 1,
): { step: NativeStep; output: number; expected: Float64Array } {
  const random = generator(seed);
  const a = makeOperand(bench, [...batch, m, k], left, random, atEnd === "left");
  const b = makeOperand(bench, [...batch, k, n], right, random, atEnd === "right", rightType);
  const count = batch.reduce((x, y) => x * y, 1);
  const output = bench.buffer(count * m * n);
  const node = {} as Node;
  const inputs = [a.view, b.view];
  const step: NativeStep = {
    kind: "native",
    name: "matmul",
    node,
    inputs,
    outputs: [output],
    epilogue: null,
  };
  const expected = new Float64Array(count * m * n);
  const rows = new Float64Array(m * k);
  const columns = new Float64Array(n * k);
  for (let index = 0; index < count; index++) {
    const leading: number[] = [];
    for (let rest = index, i = batch.length - 1; i >= 0; i--) {
      leading.unshift(rest % batch[i]!);
      rest = Math.floor(rest / batch[i]!);
    }
    for (let l = 0; l < k; l++) {
      for (let i = 0; i < m; i++) rows[i * k + l] = a.at([...leading, i, l]);
      for (let j = 0; j < n; j++) columns[j * k + l] = b.at([...leading, l, j]);
    }
    for (let i = 0; i < m; i++) {
      for (let j = 0; j < n; j++) {
        let sum = 0;
        for (let l = 0; l < k; l++) sum += rows[i * k + l]! * columns[j * k + l]!;
        expected[(index * m + i) * n + j] = sum;
      }
    }
  }
  return { step, output, expected };
}

function check(test: Case, engine: Engine, seed = 1): void {
  const bench = new Bench();
  const { step, output, expected } = prepare(bench, test, seed);
  const launches = matmulKernel.lower(step, context(bench, engine));
  const grain = 1 + (seed % 3);
  const { bytes } = bench;
  bench.run(launches, engine !== "plain", grain);
  if (test.atEnd) expect(bench.bytes).toBe(bytes);
  const actual = bench.read(output);
  const largest = test.rightType === "int8" ? 256 : 1;
  const tolerance = 1e-6 * (1 + Math.sqrt(test.k) * 2) * largest;
  for (let i = 0; i < expected.length; i++) {
    if (!(Math.abs(actual[i]! - expected[i]!) <= tolerance)) {
      const names = launches.map((launch) => launch.code.key).join("; ");
      const where = `${JSON.stringify(test)} (${engine}: ${names})`;
      throw new Error(`${where} at ${i}: ${actual[i]} instead of ${expected[i]}`);
    }
  }
  expect(bench.guardsIntact()).toBe(true);
}

describe.each(engines)("matmul, %s", (engine) => {
  const transposed: Layout = { order: [1, 0] };

  it("agrees with a triple loop on every small size", () => {
    for (const n of [1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 31]) {
      for (const m of [1, 2, 3, 4, 5, 6, 7, 8, 11, 13]) {
        for (const k of [1, 2, 3, 4, 5, 8, 13]) check({ m, n, k }, engine, m + n + k);
      }
    }
  });

  it("agrees on random sizes and layouts", () => {
    const random = generator(7);
    const size = (): number => 1 + Math.floor(random() ** 2 * 70);
    const layouts: Layout[] = [
      {},
      transposed,
      { step: 3 },
      { order: [1, 0], step: 2 },
      { reversed: true },
      { skip: 5 },
      { broadcast: [0] },
      { broadcast: [1] },
    ];
    for (let i = 0; i < 300; i++) {
      const pick = (): Layout => layouts[Math.floor(random() * layouts.length)]!;
      check({ m: size(), n: size(), k: size(), left: pick(), right: pick() }, engine, i);
    }
  });

  it("agrees on batches, with any order of axes and broadcast ones", () => {
    const random = generator(9);
    const size = (): number => 1 + Math.floor(random() ** 2 * 40);
    const layouts: Layout[] = [
      {},
      { order: [0, 2, 1, 3] },
      { order: [0, 1, 3, 2] },
      { order: [1, 3, 0, 2] },
      { broadcast: [0] },
      { broadcast: [1] },
      { broadcast: [0, 1] },
      { order: [0, 3, 1, 2], step: 2 },
      { reversed: true },
    ];
    for (let i = 0; i < 120; i++) {
      const pick = (): Layout => layouts[Math.floor(random() * layouts.length)]!;
      const batch = [1 + (i % 3), 1 + (i % 4)];
      check({ batch, m: size(), n: size(), k: size(), left: pick(), right: pick() }, engine, i);
    }
  });

  it("agrees on sizes that need several blocks", () => {
    check({ m: 203, n: 131, k: 517 }, engine);
    check({ m: 150, n: 203, k: 1201, left: transposed }, engine, 2);
    check({ m: 97, n: 300, k: 700, right: transposed }, engine, 3);
    check({ m: 300, n: 97, k: 400, left: transposed, right: transposed }, engine);
    check({ m: 12, n: 900, k: 333 }, engine, 2);
    check({ m: 900, n: 20, k: 133, left: { step: 2 }, right: { step: 2 } }, engine);
    check({ m: 1024, n: 8, k: 16 }, engine);
  });

  it("multiplies few rows and few columns", () => {
    for (const rows of [1, 2, 3, 4, 5, 8]) {
      for (const right of [{}, transposed]) {
        for (const left of [{}, transposed]) {
          check({ m: rows, n: 1031, k: 203, left, right }, engine, rows);
          check({ m: rows, n: 1024, k: 67, left, right }, engine, rows);
          check({ m: 1031, n: rows, k: 203, left, right }, engine, rows);
          check({ batch: [3], m: rows, n: 70, k: 66, left: { broadcast: [0] } }, engine, rows);
        }
      }
    }
  });

  it("reads nothing beyond its operands", () => {
    for (const [m, n, k] of [
      [7, 9, 5],
      [13, 70, 33],
      [66, 131, 77],
      [2, 77, 35],
      [77, 2, 35],
      [77, 1, 35],
    ] as const) {
      for (const layout of [{}, transposed]) {
        check({ m, n, k, left: layout, right: layout, atEnd: "left" }, engine);
        check({ m, n, k, left: layout, right: layout, atEnd: "right" }, engine);
      }
    }
  });

  it.each(["float16", "int8"] as const)("widens right matrices kept as %s", (rightType) => {
    const random = generator(11);
    const layouts: Layout[] = [
      {},
      transposed,
      { step: 3 },
      { order: [1, 0], step: 2 },
      { reversed: true },
      { skip: 3 },
      { broadcast: [0] },
    ];
    for (let i = 0; i < 100; i++) {
      const size = (): number => 1 + Math.floor(random() ** 2 * 60);
      const right = layouts[i % layouts.length]!;
      const left = i % 2 === 0 ? {} : transposed;
      check({ m: 1 + (i % 9), n: size(), k: size(), left, right, rightType }, engine, i);
      check({ batch: [1 + (i % 3)], m: size(), n: size(), k: size(), rightType }, engine, i);
    }
    for (const right of [{}, transposed]) {
      check({ m: 203, n: 131, k: 517, right, rightType }, engine, 2);
      check({ m: 130, n: 300, k: 901, right, rightType }, engine, 3);
      check({ m: 5, n: 1024, k: 256, right, rightType }, engine, 4);
      check({ m: 300, n: 2, k: 64, right, rightType }, engine, 5);
      for (const [m, n, k] of [
        [1, 70, 34],
        [7, 12, 5],
        [13, 70, 34],
        [66, 132, 77],
      ] as const) {
        check({ m, n, k, right, rightType, atEnd: "right" }, engine);
      }
    }
  });

  it("gives zeros for empty sums and nothing for empty results", () => {
    check({ m: 5, n: 7, k: 0 }, engine);
    check({ batch: [2, 3], m: 5, n: 7, k: 0 }, engine);
    for (const empty of [
      { m: 0, n: 3, k: 4 },
      { m: 3, n: 0, k: 4 },
      { batch: [0], m: 3, n: 3, k: 4 },
    ]) {
      const bench = new Bench();
      expect(lowerMatmul(prepare(bench, empty).step, context(bench, engine))).toEqual([]);
    }
  });

  it("passes NaN and infinities on, and only to their rows and columns", () => {
    for (const { m, n, k } of [
      { m: 9, n: 11, k: 5 },
      { m: 70, n: 130, k: 400 },
      { m: 2, n: 75, k: 33 },
      { m: 75, n: 1, k: 33 },
    ]) {
      for (const layout of [{}, transposed]) {
        const bench = new Bench();
        const { step, output, expected } = prepare(bench, { m, n, k, left: layout, right: layout });
        const [left, right] = step.inputs;
        const put = (view: Operand, row: number, column: number, value: number): void => {
          const at = view.offset + row * view.strides[0]! + column * view.strides[1]!;
          bench.read(view.buffer)[at] = value;
        };
        put(left!, m - 1, k - 1, NaN);
        put(right!, 0, n - 1, Infinity);
        bench.run(lowerMatmul(step, context(bench, engine)), engine !== "plain", 1);
        const actual = bench.read(output);
        for (let i = 0; i < m; i++) {
          for (let j = 0; j < n; j++) {
            const value = actual[i * n + j]!;
            if (i === m - 1) expect(value).toBeNaN();
            else if (j === n - 1) expect(Math.abs(value)).toBe(Infinity);
            else expect(value).toBeCloseTo(expected[i * n + j]!, 3);
          }
        }
      }
    }
  });

  it("gives the same bits however the items are shared out", () => {
    for (const test of [
      { m: 301, n: 203, k: 417 },
      { m: 1, n: 1000, k: 300, right: transposed },
      { m: 3, n: 1000, k: 300 },
      { m: 17, n: 1000, k: 300 },
      { batch: [5, 7], m: 33, n: 35, k: 31, right: { order: [0, 1, 3, 2] } },
    ]) {
      const results = [1, 2, 3, 8].map((threads) => {
        const bench = new Bench();
        const { step, output } = prepare(bench, test);
        const launches = lowerMatmul(step, context(bench, engine, threads));
        bench.run(launches, engine !== "plain", threads, threads > 2);
        return bench.read(output).slice();
      });
      for (const result of results) expect(result).toEqual(results[0]);
    }
  });

  it("applies an epilogue once to every row", () => {
    for (const test of [
      { m: 203, n: 131, k: 17 },
      { m: 203, n: 131, k: 517 },
      { m: 12, n: 900, k: 300 },
      { m: 2, n: 90, k: 30 },
      { m: 4, n: 9, k: 0 },
      { batch: [2, 3], m: 33, n: 35, k: 31, right: { order: [0, 1, 3, 2] } },
    ]) {
      const bench = new Bench();
      const { step, output, expected } = prepare(bench, test);
      const bias = bench.buffer(Float32Array.from({ length: test.n }, (_, i) => i));
      const epilogue = addBias(output, bias, test.n);
      bench.run(lowerMatmul(step, context(bench, engine), epilogue), engine !== "plain", 2);
      const actual = bench.read(output);
      expected.forEach((value, i) => {
        expect(actual[i]).toBeCloseTo(value + (i % test.n), 3);
      });
      expect(bench.guardsIntact()).toBe(true);
    }
  });
});

// Adds the bias to rows, marking in its scratch memory that it may write there.
function addBias(output: number, bias: number, columns: number): Epilogue {
  const code: KernelCode = {
    key: "test bias",
    emit: (module) => {
      module.function("test bias", kernelSignature, (f, args, begin, end, scratch) => {
        const [row, column] = [f.local(i32), f.local(i32)];
        const rowBytes = f.let(i32.load(args, 8).shiftLeft(2));
        f.storeI32(scratch, 7, 60);
        f.for(row, begin, end, 1, () => {
          f.for(column, 0, rowBytes, 4, () => {
            const at = f.let(i32.load(args).add(row.multiply(rowBytes)).add(column));
            f.storeF32(at, f32.load(at).add(f32.load(i32.load(args, 4).add(column))));
          });
        });
      });
    },
  };
  return {
    name: "test bias",
    code,
    arguments: [
      { kind: "buffer", buffer: output },
      { kind: "buffer", buffer: bias },
      { kind: "int", value: columns },
    ],
    scratchBytes: 64,
    reads: [bias],
    writes: [],
    work: 0,
  };
}
