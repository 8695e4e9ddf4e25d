/** For tests: runs native kernels on memory full of guards, beside the reference. */

import { expect } from "vitest";
import { topologicalOrder, type Graph } from "../../src/graph/graph.js";
import { Node, noAttributes, type Value } from "../../src/graph/node.js";
import { inputOp } from "../../src/ops/leaf.js";
import { expandPrimitives } from "../../src/plan/expand.js";
import type { NativeStep, Operand } from "../../src/plan/schedule.js";
import { elementsOf } from "../../src/reference/buffer.js";
import { interpret } from "../../src/reference/interpreter.js";
import { viewAs } from "../../src/tensor/data.js";
import { bytesPerElement, type DataOf, type DType } from "../../src/tensor/dtype.js";
import { halfsFromFloats } from "../../src/tensor/half.js";
import { sizeOf, stridesOf, type Shape } from "../../src/tensor/shape.js";
import { ModuleBuilder } from "../../src/wasm/assembler/index.js";
import type { Launch } from "../../src/wasm/launch.js";
import type { NativeKernel } from "../../src/wasm/native.js";
import { relaxedForms } from "./run-vector.js";

/** A generator of numbers in 0 … 1, the same for the same seed. */
export function generator(seed: number): () => number {
  let state = (seed * 2654435761) >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** Random choices, the same for the same seed. */
export interface Choices {
  readonly random: () => number;
  /** A whole number from 1 on. */
  readonly upTo: (limit: number) => number;
  readonly pick: <T>(...options: readonly T[]) => T;
}

/** Chooses the configurations of a test. */
export function choices(seed: number): Choices {
  const random = generator(seed);
  return {
    random,
    upTo: (limit) => 1 + Math.floor(random() * limit),
    pick: (...options) => options[Math.floor(random() * options.length)]!,
  };
}

/** An input of the graph that a test builds. */
export function leaf(shape: Shape, dtype: DType = "float32"): Value {
  return new Node(inputOp, [], noAttributes, [{ shape, dtype }], null, false, null).outputs[0]!;
}

/** Numbers for an input: floats around 0, small integers, bools. */
export function randomData(value: Pick<Value, "shape" | "dtype">, seed: number): DataOf {
  const random = generator(seed);
  const size = sizeOf(value.shape);
  const numbers = Float32Array.from({ length: size }, () => (random() - 0.5) * 4);
  switch (value.dtype) {
    case "float32":
      return numbers;
    case "float16":
      return halfsFromFloats(numbers);
    case "bool":
      return Uint8Array.from(numbers, (x) => (x > 0 ? 1 : 0));
    default: {
      const data = viewAs(value.dtype, new ArrayBuffer(size * bytesPerElement(value.dtype)));
      for (let i = 0; i < size; i++) data[i] = Math.round(numbers[i]! * 30);
      return data;
    }
  }
}

/** How an input lies in memory, where it is not dense. */
export interface View {
  readonly offset: number;
  readonly strides: readonly number[];
  /** The earlier input whose buffer it is; give that one's data for both. */
  readonly of?: number;
}

/** What a kernel is run with. */
export interface KernelRun {
  /** Elements of the inputs' buffers. */
  readonly data: readonly DataOf[];
  readonly views?: readonly (View | null)[];
  readonly relaxed?: boolean;
  readonly threads?: number;
  /**
   * Gives outputs the buffers of the inputs that they may overwrite; where the operation does not
   * say, the first output that of the first input.
   */
  readonly inPlace?: boolean;
  /** Outputs that nobody reads. */
  readonly unread?: readonly number[];
  readonly seed?: number;
}

const guardBytes = 64;
// NaN as a float: a result made from what nobody wrote shows.
const guard = 0xff;

interface Region {
  readonly address: number;
  readonly bytes: number;
  readonly writable: boolean;
}

/** Runs a kernel on one node; gives the outputs. Items run in random order, in random groups. */
export function runKernel(kernel: NativeKernel, node: Node, run: KernelRun): DataOf[] {
  const regions: Region[] = [];
  let end = 1024;
  const place = (bytes: number, writable: boolean): number => {
    const address = Math.ceil((end + guardBytes) / 64) * 64;
    end = address + bytes + guardBytes;
    return regions.push({ address, bytes, writable }) - 1;
  };
  const declared = node.op.inPlace?.(node.inputs.length, node.attributes) ?? [0];
  const overwritten = run.inPlace === true ? declared : [];
  const inputs: Operand[] = [];
  node.inputs.forEach((value, i) => {
    const view = run.views?.[i];
    const shared = view?.of === undefined ? null : inputs[view.of]!.buffer;
    const buffer = shared ?? place(run.data[i]!.byteLength, overwritten.includes(i));
    const { offset, strides } = view ?? { offset: 0, strides: stridesOf(value.shape) };
    inputs.push({ buffer, dtype: value.dtype, shape: value.shape, offset, strides });
  });
  const outputs = node.outputs.map((value, i) => {
    if (run.unread?.includes(i) === true) return null;
    const source = overwritten[i] ?? null;
    if (source !== null) return inputs[source]!.buffer;
    return place(sizeOf(value.shape) * bytesPerElement(value.dtype), true);
  });
  const step: NativeStep = {
    epilogue: null,
    kind: "native",
    name: node.op.name,
    node,
    inputs,
    outputs,
  };
  const launches = kernel.lower(step, {
    threads: run.threads ?? 2,
    relaxed: run.relaxed ?? false,
    revectorized: false,
    workspace: (bytes) => place(bytes, true),
  });
  const scratchBytes = Math.max(0, ...launches.map((launch) => launch.scratchBytes));
  const scratch = [place(scratchBytes, true), place(scratchBytes, true)];
  const argumentArea = place(4 * Math.max(0, ...launches.map((l) => l.arguments.length)), true);

  const memory = new WebAssembly.Memory({ initial: Math.ceil((end + 64) / 65536) });
  const bytes = new Uint8Array(memory.buffer);
  bytes.fill(guard);
  inputs.forEach(({ buffer }, i) => {
    const data = run.data[i]!;
    const source = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    bytes.set(source, regions[buffer]!.address);
  });
  const before = bytes.slice();

  const functions = compile(launches, memory, run.relaxed ?? false);
  const random = generator(run.seed ?? 1);
  for (const launch of launches) {
    checkLaunch(launch, regions.length);
    const area = regions[argumentArea]!.address;
    const words = new DataView(memory.buffer, area);
    launch.arguments.forEach((argument, i) => {
      if (argument.kind === "buffer") {
        const { address } = regions[argument.buffer]!;
        words.setInt32(4 * i, address + (argument.offset ?? 0), true);
      } else if (argument.kind === "float") words.setFloat32(4 * i, argument.value, true);
      else if (argument.kind === "int") words.setInt32(4 * i, argument.value, true);
      else throw new Error("run-kernel: scalars are not known here");
    });
    for (const [begin, stop] of randomRanges(launch.items, random)) {
      const region = regions[scratch[random() < 0.5 ? 0 : 1]!]!;
      bytes.fill(guard, region.address, region.address + region.bytes);
      functions.get(launch.code.key)!(area, begin, stop, region.address);
    }
  }

  for (const { address, bytes: length } of regions.filter((region) => region.writable)) {
    before.set(bytes.subarray(address, address + length), address);
  }
  expect(Buffer.compare(bytes, before), "memory that is not the kernel's was changed").toBe(0);
  return node.outputs.map((value, i) => {
    const buffer = outputs[i];
    if (buffer === null || buffer === undefined) return new Float32Array(0);
    const { address } = regions[buffer]!;
    const length = sizeOf(value.shape) * bytesPerElement(value.dtype);
    return viewAs(value.dtype, memory.buffer.slice(address, address + length));
  });
}

type KernelFunction = (address: number, begin: number, end: number, scratch: number) => void;

function compile(
  launches: readonly Launch[],
  memory: WebAssembly.Memory,
  relaxed: boolean,
): Map<string, KernelFunction> {
  const module = new ModuleBuilder({ relaxed });
  const codes = new Map(launches.map(({ code }) => [code.key, code]));
  for (const code of codes.values()) code.emit(module);
  const compiled = new WebAssembly.Module(module.toBytes());
  const { exports } = new WebAssembly.Instance(compiled, { env: { memory } });
  return new Map([...codes.keys()].map((key) => [key, exports[key] as KernelFunction]));
}

function checkLaunch(launch: Launch, buffers: number): void {
  expect(Number.isInteger(launch.items) && launch.items > 0, `items ${launch.items}`).toBe(true);
  expect(launch.grain >= 1 && Number.isInteger(launch.grain), `grain ${launch.grain}`).toBe(true);
  expect(Number.isFinite(launch.work) && launch.work >= 0).toBe(true);
  const known = new Set([...launch.reads, ...launch.writes]);
  for (const argument of launch.arguments) {
    if (argument.kind !== "buffer") continue;
    expect(argument.buffer).toBeLessThan(buffers);
    expect(known.has(argument.buffer), "a buffer is used but not listed").toBe(true);
  }
}

function randomRanges(items: number, random: () => number): [number, number][] {
  const ranges: [number, number][] = [];
  for (let begin = 0; begin < items;) {
    const end = Math.min(items, begin + 1 + Math.floor(random() * Math.max(3, items / 2)));
    ranges.push([begin, end]);
    begin = end;
  }
  for (let i = ranges.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [ranges[i], ranges[j]] = [ranges[j]!, ranges[i]!];
  }
  return ranges;
}

/** What the reference computes for a node, in float64. */
export function computeByReference(node: Node, data: readonly DataOf[]): readonly Float64Array[] {
  const graph: Graph = {
    nodes: topologicalOrder(node.outputs),
    inputs: node.inputs,
    scalars: [],
    outputs: node.outputs,
    updates: node.outputs.map(() => null),
  };
  const expanded = expandPrimitives(graph, () => false);
  return interpret(expanded, { inputs: data.map(elementsOf), scalars: [], profile: null });
}

/** The elements of a view of a buffer, as dense data. */
export function denseData(value: Value, data: DataOf, view: View): DataOf {
  const size = sizeOf(value.shape);
  const result = viewAs(value.dtype, new ArrayBuffer(size * bytesPerElement(value.dtype)));
  const dense = stridesOf(value.shape);
  for (let i = 0; i < size; i++) {
    const at = value.shape.map((n, d) => Math.floor(i / dense[d]!) % n);
    const from = at.reduce((sum, c, d) => sum + c * view.strides[d]!, view.offset);
    result[i] = data[from]!;
  }
  return result;
}

/** How close to the reference. */
export interface Tolerance {
  readonly relative?: number;
  readonly absolute?: number;
}

/**
 * Runs a kernel with one and with more threads, with and without relaxed SIMD, and compares with the
 * reference; exactly unless a tolerance is given. NaN and infinities must agree.
 */
export function expectLikeReference(
  kernel: NativeKernel,
  node: Node,
  run: KernelRun,
  { relative = 0, absolute = 0 }: Tolerance = {},
): void {
  expect(kernel.op).toBe(node.op.name);
  expect(kernel.supports?.(node) ?? true).toBe(true);
  const dense = run.data.map((data, i) => {
    const view = run.views?.[i];
    return view ? denseData(node.inputs[i]!, data, view) : data;
  });
  const expected = computeByReference(node, dense);
  for (const relaxed of relaxedForms) {
    const results = runKernel(kernel, node, { ...run, relaxed, threads: 1, seed: 1 });
    const shared = runKernel(kernel, node, { ...run, relaxed, threads: 5, seed: 2 });
    results.forEach((result, i) => {
      const differing = Buffer.compare(bits(shared[i]!), bits(result));
      expect(differing, "results must not depend on threads").toBe(0);
      if (run.unread?.includes(i) === true) return;
      const got = elementsOf(result);
      for (let j = 0; j < got.length; j++) {
        const [a, b] = [got[j]!, expected[i]![j]!];
        const fits =
          Object.is(a, b) ||
          a === b ||
          (Number.isFinite(b) && Math.abs(a - b) <= absolute + relative * Math.abs(b));
        if (!fits) {
          const where = `output ${i}, element ${j} of ${got.length}, relaxed ${relaxed}`;
          expect.fail(`${node.op.name}, ${where}: got ${a}, expected ${b}`);
        }
      }
    });
  }
}

function bits(data: DataOf): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}
