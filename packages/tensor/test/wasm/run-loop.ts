/** For tests: runs a loop kernel as WebAssembly, with everything around its buffers watched. */

import type { LoopKernel } from "../../src/plan/loop.js";
import { bytesPerElement, type DType } from "../../src/tensor/dtype.js";
import { floatsFromHalfs, halfsFromFloats } from "../../src/tensor/half.js";
import { ModuleBuilder } from "../../src/wasm/assembler/index.js";
import type { Launch } from "../../src/wasm/launch.js";
import { lowerLoop } from "../../src/wasm/loop/index.js";
import type { Limits } from "../../src/wasm/loop/strategy.js";
import type { Slots } from "./interpret-loop.js";

/** How to run. */
export interface RunOptions {
  readonly relaxed?: boolean;
  readonly limits?: Limits;
  /** The slot that lies at the very end of memory, where reading on is an error. */
  readonly atEnd?: number;
  /** The order of work items: gives a number to sort by. */
  readonly shuffle?: (item: number) => number;
}

const canary = 0xa5;
const gap = 64;

function bytesOf(numbers: readonly number[], dtype: DType): Uint8Array {
  const array = {
    float32: () => Float32Array.from(numbers),
    float16: () => halfsFromFloats(Float32Array.from(numbers)),
    int32: () => Int32Array.from(numbers),
    uint32: () => Uint32Array.from(numbers),
    int8: () => Int8Array.from(numbers),
    bool: () => Uint8Array.from(numbers),
  }[dtype]();
  return new Uint8Array(array.buffer, 0, array.byteLength);
}

function numbersOf(bytes: Uint8Array, dtype: DType): number[] {
  const { buffer } = bytes.slice();
  switch (dtype) {
    case "float32":
      return [...new Float32Array(buffer)];
    case "float16":
      return [...floatsFromHalfs(new Uint16Array(buffer))];
    case "int32":
      return [...new Int32Array(buffer)];
    case "uint32":
      return [...new Uint32Array(buffer)];
    case "int8":
      return [...new Int8Array(buffer)];
    case "bool":
      return [...new Uint8Array(buffer)];
  }
}

/** The type of each slot of a kernel. */
function slotTypes(kernel: LoopKernel): DType[] {
  const types = new Array<DType>(kernel.slots).fill("float32");
  for (const e of [...kernel.body, ...kernel.epilogue])
    if (e.kind === "load") types[e.slot] = e.stored;
  for (const store of kernel.stores) types[store.slot] = store.stored;
  return types;
}

/** Lowers a kernel as the device does. */
export function launchesOf(
  kernel: LoopKernel,
  limits?: Limits,
): { launches: readonly Launch[]; workspaces: number[] } {
  const workspaces: number[] = [];
  const step = {
    name: "test",
    kernel,
    buffers: Array.from({ length: kernel.slots }, (_, i) => i),
    scalars: kernel.scalars.map((_, i) => i),
  };
  const workspace = (bytes: number): number => kernel.slots + workspaces.push(bytes) - 1;
  return { launches: lowerLoop(step, { workspace }, limits), workspaces };
}

/** Runs a kernel and gives what is in the slots then. Throws if anything else was touched. */
export function runLoop(
  kernel: LoopKernel,
  slots: Slots,
  scalars: readonly number[],
  options: RunOptions = {},
): Slots {
  const { relaxed = false, limits, atEnd, shuffle } = options;
  const { launches, workspaces } = launchesOf(kernel, limits);
  const types = slotTypes(kernel);
  const contents = slots.map((numbers, i) => bytesOf(numbers, types[i]!));
  const sizes = [...contents.map((bytes) => bytes.length), ...workspaces];
  const align = (bytes: number): number => Math.ceil(bytes / 16) * 16;
  const total = sizes.reduce((sum, bytes) => sum + align(bytes) + gap, 4096);
  const memory = new WebAssembly.Memory({ initial: Math.ceil(total / 65536) });
  const all = new Uint8Array(memory.buffer).fill(canary);
  const addresses: number[] = [];
  let next = 4096;
  sizes.forEach((bytes, i) => {
    if (i === atEnd) {
      const size = bytesPerElement(types[i]!);
      addresses[i] = Math.floor((all.length - bytes) / size) * size;
    } else {
      addresses[i] = next;
      next += align(bytes) + gap;
    }
    all.set(contents[i] ?? new Uint8Array(bytes).fill(canary), addresses[i]);
  });
  for (const launch of launches) {
    launch.arguments.forEach((argument, word) => {
      const words = new DataView(memory.buffer);
      if (argument.kind === "buffer") words.setUint32(word * 4, addresses[argument.buffer]!, true);
      else if (argument.kind === "scalar") {
        const value = scalars[argument.scalar]!;
        if (kernel.scalars[argument.scalar] === "float32") words.setFloat32(word * 4, value, true);
        else words.setUint32(word * 4, value, true);
      }
    });
    const module = new ModuleBuilder({ relaxed });
    launch.code.emit(module);
    const instance = new WebAssembly.Instance(new WebAssembly.Module(module.toBytes()), {
      env: { memory },
    });
    const run = instance.exports[launch.code.key] as (...args: number[]) => void;
    const items = Array.from({ length: launch.items }, (_, i) => i);
    if (shuffle) {
      items.sort((a, b) => shuffle(a) - shuffle(b));
      for (const item of items) run(0, item, item + 1, 2048);
    } else {
      run(0, 0, launch.items, 2048);
    }
  }
  const results = slots.map((_, i) => {
    const bytes = all.slice(addresses[i], addresses[i]! + sizes[i]!);
    return numbersOf(bytes, types[i]!);
  });
  // Whatever is not a slot, a workspace or an argument must be as it was.
  sizes.forEach((bytes, i) => all.fill(canary, addresses[i], addresses[i]! + bytes));
  const touched = all.findIndex((byte, i) => i >= 1024 && byte !== canary);
  if (touched >= 0) throw new Error(`byte ${touched} outside of all buffers was written`);
  return results;
}
