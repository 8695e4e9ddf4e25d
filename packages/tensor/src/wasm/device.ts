/** The CPU device: WebAssembly with SIMD, on several threads where the runtime allows. */

import { check, XError } from "../error.js";
import type { Device, DeviceBuffer, Executable, MemoryUse } from "../device/device.js";
import type { Graph } from "../graph/graph.js";
import type { Node } from "../graph/node.js";
import { isDense, type LoopStep, type NativeStep, type Operand } from "../plan/schedule.js";
import { schedule } from "../plan/scheduler.js";
import type { DataOf, DType } from "../tensor/dtype.js";
import { supportsSimd } from "./assembler/index.js";
import { nativeKernels } from "./kernels/index.js";
import type { Launch } from "./launch.js";
import { lowerLoop } from "./loop/index.js";
import type { LoweringContext } from "./native.js";
import { WasmPlan } from "./runtime/plan.js";
import { hardwareThreads } from "./runtime/pool.js";
import { WasmRuntime, type WasmBuffer } from "./runtime/runtime.js";

/** Options of the CPU device. */
export interface WasmOptions {
  /** Threads that work, the calling one included. Default: as many as the machine runs at once. */
  readonly threads?: number;
}

const support = {
  has: (node: Node): boolean => nativeKernels.find(node) !== undefined,
  acceptsView: (node: Node, input: number, view: Operand): boolean =>
    isDense(view) || nativeKernels.find(node)?.acceptsView?.(node, input, view) === true,
  widens: (node: Node, input: number, stored: DType): boolean =>
    nativeKernels.find(node)?.widens?.(node, input, stored) === true,
  acceptsEpilogue: (node: Node): boolean => nativeKernels.find(node)?.takesEpilogue === true,
};

/** The built-in device. */
class WasmDevice implements Device {
  readonly name = "wasm";
  readonly smallResultBytes = 256;
  readonly #runtime: WasmRuntime;

  constructor(options: WasmOptions & { readonly revectorized?: boolean } = {}) {
    if (!supportsSimd()) {
      throw new XError(
        "unsupported",
        "wasm: the runtime must have WebAssembly with SIMD, got one without. Use Node 20.19 or newer, or a browser from 2023 or later.",
      );
    }
    this.#runtime = new WasmRuntime({
      threads: options.threads ?? hardwareThreads(),
      revectorized: options.revectorized ?? false,
    });
  }

  get info(): Readonly<Record<string, string | number | boolean>> {
    return {
      threads: this.#runtime.threads,
      relaxedSimd: this.#runtime.relaxed,
      revectorized: this.#runtime.revectorized,
      sharedMemory: this.#runtime.memory.shared,
    };
  }

  /** Changes the number of threads; gives the number there are. */
  setThreads(threads: number): number {
    check(
      Number.isInteger(threads) && threads >= 1,
      "argument",
      () =>
        `setThreads: the number of threads must be a whole number of at least 1, got ${threads}. Pass 1 for a single thread.`,
    );
    return this.#runtime.setThreads(threads);
  }

  allocate(byteLength: number): DeviceBuffer {
    return this.#runtime.allocate(byteLength);
  }

  write(buffer: DeviceBuffer, data: DataOf): void {
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    this.#runtime.memory.bytes.set(bytes, (buffer as WasmBuffer).address);
  }

  read(buffer: DeviceBuffer, byteLength: number): Promise<ArrayBuffer> {
    const { address } = buffer as WasmBuffer;
    const result = new ArrayBuffer(byteLength);
    new Uint8Array(result).set(this.#runtime.memory.bytes.subarray(address, address + byteLength));
    return Promise.resolve(result);
  }

  memory(): MemoryUse {
    const { tensorBytes, planBytes } = this.#runtime;
    return { tensors: tensorBytes, plans: planBytes, total: tensorBytes + planBytes };
  }

  async compile(recorded: Graph): Promise<Executable> {
    const graph = await nativeKernels.expand(recorded);
    const { buffers, steps } = schedule(graph, support);
    const allBuffers = [...buffers];
    const context: LoweringContext = {
      threads: this.#runtime.threads,
      relaxed: this.#runtime.relaxed,
      revectorized: this.#runtime.revectorized,
      workspace: (bytes) => allBuffers.push({ kind: "temporary", bytes }) - 1,
    };
    const launches = steps.flatMap((step) =>
      step.kind === "loop" ? lowerFused(step, context) : lowerNative(step, context),
    );
    await this.#runtime.code.load(launches.map((launch) => launch.code));
    return new WasmPlan(this.#runtime, { graph, buffers: allBuffers, launches });
  }
}

let shared: WasmDevice | null = null;
let revectorized = false;

/**
 * The built-in CPU device. There is one; it is made when it is first needed.
 *
 * @example
 * ```ts
 * import { setDevice, tensor, wasm } from "@x/tensor";
 *
 * setDevice(wasm());
 * console.log(await tensor([1, 2, 3]).sum().item()); // → 6
 * ```
 */
export function wasm(): Device {
  return builtIn();
}

function builtIn(): WasmDevice {
  return (shared ??= new WasmDevice({ revectorized }));
}

/**
 * Sets how many threads the CPU device works on, the calling one included, and gives the number
 * there are: 1 where the runtime has no shared memory (a page that is not cross-origin isolated).
 * Results do not depend on it.
 *
 * @example
 * ```ts
 * import { setThreads } from "@x/tensor";
 *
 * console.log(setThreads(1)); // → 1
 * ```
 */
export function setThreads(threads: number): number {
  return builtIn().setThreads(threads);
}

interface V8 {
  setFlagsFromString(flag: string): void;
}

/**
 * Lets V8 join pairs of 128-bit operations into 256-bit ones, for nearly twice the speed of matrix
 * products on processors with AVX2. Experimental in V8, so it has to be asked for; Node 24 or newer,
 * before the CPU device is first used.
 *
 * @throws XError `unsupported` elsewhere, or when the device is in use already
 */
export function enableRevectorization(): void {
  const { process } = globalThis as {
    process?: { getBuiltinModule?(name: string): unknown; versions?: { node?: string } };
  };
  const version = process?.versions?.node;
  if (version === undefined || Number(version.split(".")[0]) < 24) {
    throw new XError(
      "unsupported",
      `enableRevectorization: the runtime must be Node 24 or newer, got ${version === undefined ? "another runtime" : `Node ${version}`}. Leave the call out; everything works without.`,
    );
  }
  check(
    shared === null,
    "unsupported",
    () =>
      "enableRevectorization: the call must come before the first use of the CPU device, got a device in use. Call it at the start of the program.",
  );
  const v8 = process!.getBuiltinModule!("node:v8") as V8;
  v8.setFlagsFromString("--experimental-wasm-revectorize");
  revectorized = true;
}

function lowerNative(step: NativeStep, context: LoweringContext): readonly Launch[] {
  const kernel = nativeKernels.find(step.node);
  if (kernel === undefined) {
    throw new XError(
      "internal",
      `wasm: every core operation must have a kernel, got ${step.node.op.name}. Please report this.`,
    );
  }
  return kernel.lower(step, context);
}

function lowerFused(step: LoopStep, context: LoweringContext): readonly Launch[] {
  return lowerLoop(step, context);
}
