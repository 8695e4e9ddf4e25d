/** The GPU device. */

import { XError, type Device, type DeviceBuffer, type MemoryUse } from "@x/tensor";
import {
  bytesPerElement,
  expandPrimitives,
  isDense,
  schedule,
  type Executable,
  type Graph,
  type NativeSupport,
  type PlanBuffer,
} from "@x/tensor/device";
import { loadChoices, saveChoices } from "#choices";
import { requestGpu, type Gpu, type GpuOptions } from "./adapter/request.js";
import { joinLaunches } from "./join-launches.js";
import { kernelFor } from "./kernels/index.js";
import type { Launch } from "./launch.js";
import { lowerLoop } from "./loop/index.js";
import type { KernelStep, LoweringContext, PrologueContext } from "./native.js";
import { joinPrologues, type DeviceStep } from "./prologues.js";
import type { GpuTensorBuffer } from "./runtime/buffers.js";
import { preparePlan, type PlanParts } from "./runtime/plan.js";
import { GpuRuntime } from "./runtime/runtime.js";
import { timeOfLaunches } from "./runtime/trial.js";
import { Tuner } from "./runtime/tuner.js";
import { checkElements } from "./sizes.js";
import { ShaderBuilder } from "./wgsl/shader.js";

type Choose = LoweringContext["choose"];
type Data = Parameters<Device["write"]>[1];

/** What the scheduler may ask; `mostBuffers` is what a shader of the device can bind. */
const supportWith = (mostBuffers: number): NativeSupport => ({
  mostBuffers,
  has: (node) => kernelFor(node) !== undefined,
  acceptsView: (node, input, view) =>
    isDense(view) || kernelFor(node)?.acceptsView?.(node, input, view) === true,
  widens: (node, input, stored) => kernelFor(node)?.widens?.(node, input, stored) === true,
  acceptsEpilogue: (node) => kernelFor(node)?.takesEpilogue === true,
});

/** A device that computes with WebGPU. */
class WebGpuDevice implements Device {
  readonly name = "webgpu";
  // Reading waits for everything before it, so that results stay on the device until they are asked for.
  readonly smallResultBytes = 0;
  readonly #facts: Device["info"];
  readonly #runtime: GpuRuntime;
  readonly #tuner: Tuner | null;

  constructor({ device, info }: Gpu, tuner: Tuner | null) {
    this.#tuner = tuner;
    this.#runtime = new GpuRuntime(device);
    this.#facts = info;
  }

  /** The adapter, its limits and features, and how many pipelines and bind groups were made. */
  get info(): Device["info"] {
    const { pipelineCount, bindGroupCount } = this.#runtime;
    return { ...this.#facts, pipelines: pipelineCount, bindGroups: bindGroupCount };
  }

  allocate(byteLength: number): DeviceBuffer {
    return this.#runtime.pool.allocate(byteLength);
  }

  write(buffer: DeviceBuffer, data: Data): void {
    this.#runtime.write(buffer as GpuTensorBuffer, data);
  }

  async read(buffer: DeviceBuffer, byteLength: number): Promise<ArrayBuffer> {
    const range = buffer as GpuTensorBuffer;
    return (await this.#runtime.read([{ range, bytes: byteLength }]))[0]!;
  }

  memory(): MemoryUse {
    const tensors = this.#runtime.pool.liveBytes;
    const plans = this.#runtime.planBytes + this.#runtime.arenas.bytes;
    return { tensors, plans, total: tensors + plans };
  }

  async compile(recorded: Graph): Promise<Executable> {
    const { limits } = this.#runtime.device;
    for (const { shape } of recorded.inputs) {
      checkElements(
        "one tensor",
        shape.reduce((a, b) => a * b, 1),
      );
    }
    const support = supportWith(limits.maxStorageBuffersPerShaderStage);
    const graph = expandPrimitives(recorded, (node) => support.has(node));
    const { buffers, steps: scheduled } = schedule(graph, support);
    const steps = joinPrologues(scheduled, buffers, this.#limits);
    const lower = (some: readonly DeviceStep[], choose: Choose): PlanParts =>
      this.#lower(graph, buffers, some, choose);
    for (const step of this.#tuner === null ? [] : steps) {
      await this.#tuner!.tune(
        (choose) => lower([step], choose),
        (parts) => timeOfLaunches(this.#runtime, parts),
      );
    }
    const parts = lower(
      steps,
      (key, candidates) => this.#tuner?.find(key, candidates) ?? candidates[0],
    );
    return preparePlan(this.#runtime, parts);
  }

  get #limits(): PrologueContext {
    const { limits } = this.#runtime.device;
    return {
      workgroupBytes: limits.maxComputeWorkgroupStorageSize,
      workgroupSize: limits.maxComputeInvocationsPerWorkgroup,
      mostBuffers: limits.maxStorageBuffersPerShaderStage,
    };
  }

  #lower(
    graph: Graph,
    buffers: readonly PlanBuffer[],
    steps: readonly DeviceStep[],
    choose: Choose,
  ): PlanParts {
    const { features } = this.#runtime.device;
    const allBuffers = [...buffers];
    const context: LoweringContext = {
      features,
      ...this.#limits,
      shader: () => new ShaderBuilder(features),
      workspace: (bytes) => allBuffers.push({ kind: "temporary", bytes }) - 1,
      choose,
    };
    const launches = steps.flatMap((step) =>
      step.kind === "loop" ? lowerLoop(step, context) : lowerNative(step, context),
    );
    return { graph, buffers: allBuffers, launches: joinLaunches(launches, context.mostBuffers) };
  }
}

function lowerNative(step: KernelStep, context: LoweringContext): readonly Launch[] {
  const kernel = kernelFor(step.node);
  if (kernel === undefined) {
    throw new XError(
      "internal",
      `webgpu: every core operation must have a kernel, got ${step.node.op.name}. Please report this.`,
    );
  }
  if (kernel.omitsOutputs === true || !step.outputs.includes(null))
    return kernel.lower(step, context);
  const outputs = step.outputs.map((buffer, i) => {
    const { dtype, shape } = step.node.outputs[i]!;
    const size = shape.reduce((a, b) => a * b, bytesPerElement(dtype));
    return buffer ?? context.workspace(size);
  });
  return kernel.lower({ ...step, outputs }, context);
}

/**
 * A device that computes on a GPU, in browsers, workers and Deno, and in Node with the package
 * `webgpu`.
 *
 * Its numbers are those of the CPU device up to rounding; random numbers are the same to the last bit.
 *
 * @example
 * ```ts
 * import { setDevice, tensor } from "@x/tensor";
 * import { webgpu } from "@x/kernels-webgpu";
 *
 * setDevice(await webgpu());
 * console.log(await tensor([1, 2, 3]).mul(2).toArray()); // → [ 2, 4, 6 ]
 * ```
 *
 * @throws XError `unsupported` where there is no WebGPU, `device` where there is no adapter
 */
export async function webgpu(options: GpuOptions = {}): Promise<Device> {
  const gpu = await requestGpu(options);
  return deviceOf(gpu, options.tune === true ? tunerOf(gpu) : null);
}

/** The device that computes with a GPU; without a tuner it takes the usual way for everything. */
export function deviceOf(gpu: Gpu, tuner: Tuner | null): Device {
  return new WebGpuDevice(gpu, tuner);
}

function tunerOf({ info }: Gpu): Tuner {
  const { vendor, architecture, adapter, description, features } = info;
  const name = [vendor, architecture, adapter, description, features].join(" / ");
  return new Tuner(name, { load: loadChoices, save: saveChoices });
}
