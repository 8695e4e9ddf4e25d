/** A compiled graph on the GPU: pipelines, bind groups, and what to write before a run. */

import type { DType } from "@x/tensor";
import type { Bindings, Executable, Graph, PlanBuffer, ProfileSink } from "@x/tensor/device";
import { compiled } from "#gpu";
import { bufferUsage } from "../adapter/constants.js";
import type { Launch } from "../launch.js";
import { alignedBytes, type Range } from "./buffers.js";
import { invalid } from "./faults.js";
import { Places } from "./places.js";
import type { GpuRuntime } from "./runtime.js";
import { runTimed } from "./timing.js";

/** Bind groups kept for a launch whose buffers change from run to run. */
const mostBindGroups = 8;

/**
 * A plan is submitted in slices, so that the GPU begins while the rest is recorded, other users of it
 * (the page itself) come in between, and no slice runs for the seconds after which systems reset a
 * GPU: launches, and bytes that they are bound to, of a slice. Even matrix products of that many
 * bytes take a small GPU a fraction of a second.
 */
export const slice: { readonly launches: number; readonly bytes: number } = {
  launches: 64,
  bytes: 256 * 2 ** 20,
};

/** A launch made ready. */
interface Prepared extends Launch {
  readonly pipeline: GPUComputePipeline;
  /** Byte offset of its scalars in the plan's uniform buffer. */
  readonly scalarOffset: number;
  /** Bytes that it may read and write, from the sizes of its buffers. */
  readonly bytes: number;
  /** By where its buffers lie. */
  readonly bindGroups: Map<string, GPUBindGroup>;
  /** Of the buffers where they lie now. */
  bindGroup: GPUBindGroup | null;
}

/** The runtime scalars of a plan: launches with the same scalars share a place. */
interface Scalars {
  readonly buffer: GPUBuffer;
  readonly words: Uint32Array<ArrayBuffer>;
  readonly floats: Float32Array;
  /** Which scalar belongs to which word. */
  readonly places: readonly { readonly word: number; readonly scalar: number }[];
}

/** What `preparePlan` needs. */
export interface PlanParts {
  readonly graph: Pick<Graph, "outputs" | "scalars" | "updates">;
  readonly buffers: readonly PlanBuffer[];
  readonly launches: readonly Launch[];
}

/** Compiles all shaders of a plan, at the same time, and lays out its memory. */
export async function preparePlan(runtime: GpuRuntime, parts: PlanParts): Promise<Executable> {
  runtime.faults.check();
  const places = new Places(runtime, parts);
  const pipelines = await compiled(
    Promise.all(parts.launches.map((launch) => runtime.pipeline(launch))),
  );
  const offsets = new Map<string, number>();
  const words: { word: number; scalar: number }[] = [];
  let scalarBytes = 0;
  const prepared = parts.launches.map((launch, i): Prepared => {
    const { buffers, scalars } = launch;
    const key = scalars.join(" ");
    const scalarOffset = offsets.get(key) ?? scalarBytes;
    if (scalars.length > 0 && !offsets.has(key)) {
      offsets.set(key, scalarOffset);
      words.push(...scalars.map((scalar, s) => ({ word: scalarOffset / 4 + s, scalar })));
      scalarBytes += alignedBytes(scalars.length * 4);
    }
    const bytes = buffers.reduce((sum, buffer) => sum + parts.buffers[buffer]!.bytes, 0);
    const bindGroups = new Map<string, GPUBindGroup>();
    const pipeline = pipelines[i]!;
    return { ...launch, pipeline, scalarOffset, bytes, bindGroups, bindGroup: null };
  });
  const scalars = scalarBytes === 0 ? null : makeScalars(runtime.device, scalarBytes, words);
  return new GpuPlan(runtime, parts, places, prepared, scalars);
}

function makeScalars(device: GPUDevice, bytes: number, places: Scalars["places"]): Scalars {
  const usage = bufferUsage.UNIFORM | bufferUsage.COPY_DST;
  const words = new Uint32Array(bytes / 4);
  const floats = new Float32Array(words.buffer);
  return { buffer: device.createBuffer({ size: bytes, usage }), words, floats, places };
}

let nextBuffer = 0;
const numbers = new WeakMap<GPUBuffer, number>();

/** A name for a range, so that bind groups can be found by what they bind. */
function nameOf({ buffer, offset }: Range): string {
  let number = numbers.get(buffer);
  if (number === undefined) numbers.set(buffer, (number = nextBuffer++));
  return `${number}+${offset}`;
}

class GpuPlan implements Executable {
  readonly #runtime: GpuRuntime;
  readonly #parts: PlanParts;
  readonly #places: Places;
  readonly #prepared: readonly Prepared[];
  readonly #scalars: Scalars | null;
  readonly #scalarTypes: readonly DType[];
  /** The launches that use each plan buffer. */
  readonly #users: readonly Prepared[][];

  constructor(
    runtime: GpuRuntime,
    parts: PlanParts,
    places: Places,
    prepared: readonly Prepared[],
    scalars: Scalars | null,
  ) {
    this.#runtime = runtime;
    this.#parts = parts;
    this.#places = places;
    this.#prepared = prepared;
    this.#scalars = scalars;
    this.#scalarTypes = parts.graph.scalars.map((node) => node.outputs[0]!.dtype);
    this.#users = parts.buffers.map(() => []);
    for (const launch of prepared) {
      for (const buffer of launch.buffers) this.#users[buffer]!.push(launch);
    }
    runtime.planBytes += scalars?.buffer.size ?? 0;
  }

  async run(bindings: Bindings): Promise<readonly (ArrayBuffer | null)[]> {
    const runtime = this.#runtime;
    const { device, faults } = runtime;
    // Whether there was room for what was allocated is known before any work.
    await faults.settle();
    const { moved } = this.#places;
    this.#places.place(bindings);
    this.#writeScalars(bindings.scalars);
    const isNew = moved.size > 0;
    for (const buffer of moved) for (const launch of this.#users[buffer]!) launch.bindGroup = null;
    moved.clear();
    // Commands like those of the run before are as valid as those were.
    if (isNew) device.pushErrorScope("validation");
    let scope: Promise<GPUError | null> | null = null;
    try {
      if (bindings.profile === null) this.#submit();
      else await this.#runTimed(bindings.profile);
    } finally {
      if (isNew) scope = device.popErrorScope().catch(() => null);
    }
    if (scope !== null) await this.#checkValid(scope);
    await runtime.keepUp();
    const { outputs } = this.#parts.graph;
    const wanted = outputs.flatMap((_, i) =>
      bindings.outputs[i] === null ? [this.#placeOfOutput(i)] : [],
    );
    const results = wanted.length === 0 ? [] : await runtime.read(wanted);
    return outputs.map((_, i) => (bindings.outputs[i] === null ? results.shift()! : null));
  }

  #placeOfOutput(output: number): { range: Range; bytes: number } {
    const { buffers } = this.#parts;
    const at = buffers.findIndex((b) => b.kind === "output" && b.output === output);
    return { range: this.#places.ranges[at]!, bytes: buffers[at]!.bytes };
  }

  #writeScalars(values: readonly number[]): void {
    if (this.#scalars === null) return;
    const { buffer, words, floats, places } = this.#scalars;
    for (const { word, scalar } of places) {
      if (this.#scalarTypes[scalar] === "float32") floats[word] = values[scalar]!;
      else words[word] = values[scalar]!;
    }
    this.#runtime.device.queue.writeBuffer(buffer, 0, words);
  }

  /** Records everything and hands it to the GPU, slice by slice. */
  #submit(): void {
    const { device } = this.#runtime;
    let encoder = this.#begin();
    let pass = encoder.beginComputePass();
    let [launches, bytes] = [0, 0];
    for (const launch of this.#prepared) {
      if (launches === slice.launches || (launches > 0 && bytes + launch.bytes > slice.bytes)) {
        pass.end();
        device.queue.submit([encoder.finish()]);
        encoder = device.createCommandEncoder();
        pass = encoder.beginComputePass();
        [launches, bytes] = [0, 0];
      }
      this.#dispatch(pass, launch);
      launches++;
      bytes += launch.bytes;
    }
    pass.end();
    this.#end(encoder);
  }

  async #runTimed(profile: ProfileSink): Promise<void> {
    const { device } = this.#runtime;
    device.queue.submit([this.#begin().finish()]);
    const launches = this.#prepared.map((launch) => {
      const dispatch = (pass: GPUComputePassEncoder): void => this.#dispatch(pass, launch);
      return { name: launch.name, bytes: launch.bytes, dispatch };
    });
    await runTimed(this.#runtime, launches, profile);
    this.#end(device.createCommandEncoder());
  }

  #begin(): GPUCommandEncoder {
    const encoder = this.#runtime.device.createCommandEncoder();
    for (const { from, to } of this.#places.copiesIn) copy(encoder, from, to);
    return encoder;
  }

  #end(encoder: GPUCommandEncoder): void {
    for (const { from, to } of this.#places.copiesOut) copy(encoder, from, to);
    this.#runtime.device.queue.submit([encoder.finish()]);
  }

  #dispatch(pass: GPUComputePassEncoder, launch: Prepared): void {
    pass.setPipeline(launch.pipeline);
    pass.setBindGroup(0, (launch.bindGroup ??= this.#findBindGroup(launch)));
    pass.dispatchWorkgroups(launch.workgroups[0], launch.workgroups[1]);
  }

  #findBindGroup(launch: Prepared): GPUBindGroup {
    const { name, buffers, scalars, scalarOffset, bindGroups } = launch;
    const ranges = buffers.map((buffer) => this.#places.ranges[buffer]!);
    const key = ranges.map(nameOf).join(" ");
    let group = bindGroups.get(key);
    if (group === undefined) {
      const resources: GPUBufferBinding[] = ranges.map(({ buffer, offset, size }) => {
        return { buffer, offset, size };
      });
      if (scalars.length > 0) {
        const size = Math.ceil(scalars.length / 4) * 16;
        resources.push({ buffer: this.#scalars!.buffer, offset: scalarOffset, size });
      }
      group = this.#runtime.device.createBindGroup({
        label: name,
        layout: this.#runtime.layout(launch).group,
        entries: resources.map((resource, binding) => ({ binding, resource })),
      });
      this.#runtime.bindGroupCount++;
      if (bindGroups.size >= mostBindGroups) bindGroups.delete(bindGroups.keys().next().value!);
      bindGroups.set(key, group);
    }
    return group;
  }

  /** Throws where the commands of a run were not valid, with the name of the kernel. */
  async #checkValid(scope: Promise<GPUError | null>): Promise<void> {
    const error = await scope;
    if (error !== null) {
      // The next run makes, and checks, everything anew.
      for (const { bindGroups } of this.#prepared) bindGroups.clear();
      this.#parts.buffers.forEach((_, at) => this.#places.moved.add(at));
    }
    // Room that was missing, or a lost device, is the reason rather than what follows from it.
    await this.#runtime.faults.settle();
    if (error === null) return;
    for (const launch of this.#prepared) {
      if (await this.#isValid(launch)) continue;
      throw invalid(`the kernel "${launch.name}"`, error);
    }
    throw invalid("every command", error);
  }

  /** Whether a launch can be recorded; it is not run. */
  async #isValid(launch: Prepared): Promise<boolean> {
    const { device } = this.#runtime;
    device.pushErrorScope("validation");
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    this.#dispatch(pass, launch);
    pass.end();
    encoder.finish();
    return (await device.popErrorScope()) === null;
  }

  release(): void {
    this.#places.release();
    this.#scalars?.buffer.destroy();
    this.#runtime.planBytes -= this.#scalars?.buffer.size ?? 0;
  }
}

function copy(encoder: GPUCommandEncoder, from: Range, to: Range): void {
  const bytes = Math.min(from.size, to.size);
  encoder.copyBufferToBuffer(from.buffer, from.offset, to.buffer, to.offset, bytes);
}
