/** A compiled graph on the GPU: pipelines, bind groups, and what to write before a run. */

import {
  layOut,
  type Bindings,
  type Executable,
  type Graph,
  type Life,
  type PlanBuffer,
} from "@x/tensor/device";
import type { DType } from "@x/tensor";
import { bufferUsage } from "../adapter/constants.js";
import type { Launch } from "../launch.js";
import { GpuTensorBuffer, paddedBytes } from "./buffers.js";
import type { GpuRuntime } from "./runtime.js";

/** Offsets of bindings are multiples of this in every implementation. */
const bindingAlignment = 256;
/** Bind groups kept for a launch whose buffers change from run to run. */
const mostBindGroups = 8;

/** A launch made ready. */
interface Prepared {
  readonly launch: Launch;
  readonly pipeline: GPUComputePipeline;
  /** Byte offset of its scalars in the plan's uniform buffer. */
  readonly scalarOffset: number;
  /** Bytes that it may read and write, from the sizes of its buffers. */
  readonly bytes: number;
  readonly bindGroups: Map<string, GPUBindGroup>;
}

/** Bytes of a memory range that a launch is bound to. */
interface Range {
  readonly buffer: GPUBuffer;
  readonly offset: number;
  readonly size: number;
  /** Tells ranges apart. */
  readonly id: string;
}

/** What `preparePlan` needs. */
export interface PlanParts {
  readonly graph: Graph;
  readonly buffers: readonly PlanBuffer[];
  readonly launches: readonly Launch[];
}

/** Compiles all shaders of a plan, at the same time, and lays out its memory. */
export async function preparePlan(runtime: GpuRuntime, parts: PlanParts): Promise<Executable> {
  const { launches, buffers } = parts;
  const pipelines = await Promise.all(
    launches.map(({ name, shader }) => runtime.pipeline(name, shader)),
  );
  let scalarBytes = 0;
  const prepared = launches.map((launch, i): Prepared => {
    const scalarOffset = scalarBytes;
    if (launch.scalars.length > 0) {
      scalarBytes += Math.ceil((launch.scalars.length * 4) / bindingAlignment) * bindingAlignment;
    }
    const bytes = launch.buffers.reduce((sum, buffer) => sum + buffers[buffer]!.bytes, 0);
    const bindGroups = new Map<string, GPUBindGroup>();
    return { launch, pipeline: pipelines[i]!, scalarOffset, bytes, bindGroups };
  });
  return new GpuPlan(runtime, parts, prepared, scalarBytes);
}

let nextBuffer = 0;
const numbers = new WeakMap<GPUBuffer, number>();

/** A number for a buffer, so that bind groups can be found by what they bind. */
function numberOf(buffer: GPUBuffer): number {
  let number = numbers.get(buffer);
  if (number === undefined) numbers.set(buffer, (number = nextBuffer++));
  return number;
}

class GpuPlan implements Executable {
  readonly #runtime: GpuRuntime;
  readonly #parts: PlanParts;
  readonly #prepared: readonly Prepared[];
  readonly #scalars: {
    readonly buffer: GPUBuffer;
    readonly words: Uint32Array<ArrayBuffer>;
  } | null;
  readonly #scalarTypes: readonly DType[];
  readonly #arenaOffsets: ReadonlyMap<number, number>;
  readonly #arenaBytes: number;
  /** Buffers of the plan's own, for inputs that come from and outputs that go to JavaScript. */
  readonly #own = new Map<number, GPUBuffer>();
  #ownBytes = 0;

  constructor(
    runtime: GpuRuntime,
    parts: PlanParts,
    prepared: readonly Prepared[],
    scalarBytes: number,
  ) {
    this.#runtime = runtime;
    this.#parts = parts;
    this.#prepared = prepared;
    this.#scalarTypes = parts.graph.scalars.map((node) => node.outputs[0]!.dtype);
    this.#scalars =
      scalarBytes === 0
        ? null
        : {
            buffer: runtime.device.createBuffer({
              size: scalarBytes,
              usage: bufferUsage.UNIFORM | bufferUsage.COPY_DST,
            }),
            words: new Uint32Array(scalarBytes / 4),
          };
    this.#count(scalarBytes);
    const lives = livesOf(parts);
    const { offsets, bytes } = layOut([...lives.values()]);
    this.#arenaOffsets = new Map([...lives.keys()].map((buffer, i) => [buffer, offsets[i]!]));
    this.#arenaBytes = bytes;
  }

  #count(bytes: number): void {
    this.#ownBytes += bytes;
    this.#runtime.planBytes += bytes;
  }

  async run(bindings: Bindings): Promise<readonly (ArrayBuffer | null)[]> {
    const runtime = this.#runtime;
    runtime.check();
    const ranges = this.#bind(bindings);
    this.#writeScalars(bindings.scalars);
    if (bindings.profile === null) {
      const encoder = runtime.device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      for (const prepared of this.#prepared) this.#dispatch(pass, prepared, ranges);
      pass.end();
      await runtime.submit([encoder.finish()]);
    } else {
      await this.#runOneByOne(ranges, bindings.profile);
    }
    const { outputs } = this.#parts.graph;
    const wanted = outputs.flatMap((_, i) =>
      bindings.outputs[i] === null ? [this.#rangeOfOutput(i, ranges)] : [],
    );
    const results = wanted.length === 0 ? [] : await runtime.read(wanted);
    return outputs.map((_, i) => (bindings.outputs[i] === null ? results.shift()! : null));
  }

  #rangeOfOutput(output: number, ranges: readonly Range[]): { buffer: GPUBuffer; bytes: number } {
    const { buffers } = this.#parts;
    const at = buffers.findIndex((b) => b.kind === "output" && b.output === output);
    return { buffer: ranges[at]!.buffer, bytes: buffers[at]!.bytes };
  }

  /** Where each plan buffer lies in this run. */
  #bind(bindings: Bindings): Range[] {
    const { arena } = this.#runtime;
    const arenaBuffer = this.#arenaBytes === 0 ? null : arena.ensure(this.#arenaBytes);
    return this.#parts.buffers.map((description, i): Range => {
      const size = paddedBytes(description.bytes);
      if (description.kind === "temporary") {
        const offset = this.#arenaOffsets.get(i) ?? 0;
        const id = `a${arena.generation}+${offset}`;
        return { buffer: arenaBuffer!, offset, size, id };
      }
      let buffer: GPUBuffer;
      if (description.kind === "output") {
        const output = bindings.outputs[description.output]!;
        buffer = output === null ? this.#ownBuffer(i, size) : (output as GpuTensorBuffer).buffer;
      } else {
        const input = bindings.inputs[description.input]!;
        if (input instanceof GpuTensorBuffer) ({ buffer } = input);
        else {
          buffer = this.#ownBuffer(i, size);
          this.#runtime.write(buffer, input as ArrayBufferView);
        }
      }
      return { buffer, offset: 0, size, id: String(numberOf(buffer)) };
    });
  }

  #ownBuffer(planBuffer: number, size: number): GPUBuffer {
    let buffer = this.#own.get(planBuffer);
    if (buffer === undefined) {
      const usage = bufferUsage.STORAGE | bufferUsage.COPY_SRC | bufferUsage.COPY_DST;
      buffer = this.#runtime.device.createBuffer({ size, usage });
      this.#own.set(planBuffer, buffer);
      this.#count(size);
    }
    return buffer;
  }

  #writeScalars(values: readonly number[]): void {
    if (this.#scalars === null) return;
    const { buffer, words } = this.#scalars;
    const floats = new Float32Array(words.buffer);
    for (const { launch, scalarOffset } of this.#prepared) {
      launch.scalars.forEach((scalar, i) => {
        const at = scalarOffset / 4 + i;
        if (this.#scalarTypes[scalar] === "float32") floats[at] = values[scalar]!;
        else words[at] = values[scalar]!;
      });
    }
    this.#runtime.device.queue.writeBuffer(buffer, 0, words);
  }

  #dispatch(pass: GPUComputePassEncoder, prepared: Prepared, ranges: readonly Range[]): void {
    pass.setPipeline(prepared.pipeline);
    pass.setBindGroup(0, this.#bindGroup(prepared, ranges));
    pass.dispatchWorkgroups(...prepared.launch.workgroups);
  }

  #bindGroup(
    { launch, pipeline, scalarOffset, bindGroups }: Prepared,
    ranges: readonly Range[],
  ): GPUBindGroup {
    const bound = launch.buffers.map((buffer) => ranges[buffer]!);
    const key = bound.map(({ id }) => id).join(" ");
    let group = bindGroups.get(key);
    if (group === undefined) {
      const entries: GPUBindGroupEntry[] = bound.map(({ buffer, offset, size }, binding) => ({
        binding,
        resource: { buffer, offset, size },
      }));
      if (launch.scalars.length > 0) {
        const { buffer } = this.#scalars!;
        const size = Math.ceil(launch.scalars.length / 4) * 16;
        entries.push({ binding: entries.length, resource: { buffer, offset: scalarOffset, size } });
      }
      group = this.#runtime.device.createBindGroup({
        label: launch.name,
        layout: pipeline.getBindGroupLayout(0),
        entries,
      });
      this.#runtime.bindGroupCount++;
      if (bindGroups.size >= mostBindGroups) bindGroups.delete(bindGroups.keys().next().value!);
      bindGroups.set(key, group);
    }
    return group;
  }

  /** For profiles: waits for every kernel. */
  async #runOneByOne(
    ranges: readonly Range[],
    profile: NonNullable<Bindings["profile"]>,
  ): Promise<void> {
    const { device } = this.#runtime;
    await device.queue.onSubmittedWorkDone();
    for (const prepared of this.#prepared) {
      const start = performance.now();
      const encoder = device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      this.#dispatch(pass, prepared, ranges);
      pass.end();
      device.queue.submit([encoder.finish()]);
      await device.queue.onSubmittedWorkDone();
      profile.kernel(prepared.launch.name, performance.now() - start, prepared.bytes);
    }
    this.#runtime.check();
  }

  release(): void {
    for (const buffer of this.#own.values()) buffer.destroy();
    this.#own.clear();
    this.#scalars?.buffer.destroy();
    this.#count(-this.#ownBytes);
  }
}

/** The lives of the intermediates, in launches. */
function livesOf({ buffers, launches }: PlanParts): Map<number, Life> {
  const lives = new Map<number, Life>();
  launches.forEach((launch, time) => {
    for (const buffer of launch.buffers) {
      const description = buffers[buffer]!;
      if (description.kind !== "temporary") continue;
      const life = lives.get(buffer);
      // Also what is empty is bound, at a place of its own.
      const bytes = Math.ceil(Math.max(description.bytes, 1) / bindingAlignment) * bindingAlignment;
      if (life === undefined) lives.set(buffer, { bytes, first: time, last: time });
      else life.last = time;
    }
  });
  return lives;
}
