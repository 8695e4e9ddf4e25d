/** What all plans of a GPU device share: buffers, pipelines, arenas, the queue and its errors. */

import { XError } from "@x/tensor";
import { bufferUsage, mapMode, shaderStage } from "../adapter/constants.js";
import type { Launch } from "../launch.js";
import { Arenas } from "./arenas.js";
import { BufferPool, paddedBytes, type Range } from "./buffers.js";
import { Faults } from "./faults.js";

/** Plans that may be on their way to the GPU before the next has to wait. */
const mostInFlight = 4;
/** Bytes up to which a buffer for reading is kept for the next time. */
const mostStaging = 2 ** 16;

/** How the buffers and scalars of a kernel are bound. */
interface Layout {
  readonly group: GPUBindGroupLayout;
  readonly pipeline: GPUPipelineLayout;
}

/** The shared parts of the device. */
export class GpuRuntime {
  readonly device: GPUDevice;
  readonly faults: Faults;
  readonly pool: BufferPool;
  readonly arenas: Arenas;
  readonly #pipelines = new Map<string, Promise<GPUComputePipeline>>();
  readonly #layouts = new Map<string, Layout>();
  readonly #inFlight: Promise<unknown>[] = [];
  /** A buffer for reading that waits for its next use. */
  #staging: GPUBuffer | null = null;
  /** Bytes of plans besides the arenas. */
  planBytes = 0;
  /** Pipelines made so far. */
  pipelineCount = 0;
  /** Bind groups made so far. */
  bindGroupCount = 0;

  constructor(device: GPUDevice) {
    this.device = device;
    this.faults = new Faults(device, () => this.pool.dropIdle());
    this.pool = new BufferPool(device, this.faults);
    this.arenas = new Arenas(this.faults);
  }

  /** How kernels are bound that use this many buffers, and perhaps scalars: all of them alike. */
  layout({ buffers, scalars }: Pick<Launch, "buffers" | "scalars">): Layout {
    const key = `${buffers.length} ${scalars.length > 0}`;
    let layout = this.#layouts.get(key);
    if (layout === undefined) {
      const types: GPUBufferBindingType[] = buffers.map(() => "storage");
      if (scalars.length > 0) types.push("uniform");
      const entries = types.map((type, binding): GPUBindGroupLayoutEntry => {
        return { binding, visibility: shaderStage.COMPUTE, buffer: { type } };
      });
      const group = this.device.createBindGroupLayout({ entries });
      const pipeline = this.device.createPipelineLayout({ bindGroupLayouts: [group] });
      this.#layouts.set(key, (layout = { group, pipeline }));
    }
    return layout;
  }

  /** The pipeline of a launch; equal texts are compiled once. */
  pipeline(launch: Launch): Promise<GPUComputePipeline> {
    let pipeline = this.#pipelines.get(launch.shader);
    if (pipeline === undefined) {
      this.pipelineCount++;
      pipeline = this.#compile(launch);
      this.#pipelines.set(launch.shader, pipeline);
    }
    return pipeline;
  }

  async #compile(launch: Launch): Promise<GPUComputePipeline> {
    const { name, shader } = launch;
    this.device.pushErrorScope("validation");
    const module = this.device.createShaderModule({ code: shader, label: name });
    const compiled = this.device.createComputePipelineAsync({
      label: name,
      layout: this.layout(launch).pipeline,
      compute: { module, entryPoint: "main" },
    });
    // A compilation tells of its errors itself; the scope keeps them from being told twice.
    const scope = this.device.popErrorScope().catch(() => null);
    try {
      const pipeline = await compiled;
      await scope;
      return pipeline;
    } catch (error) {
      const info = await Promise.race([module.getCompilationInfo(), this.device.lost]);
      this.faults.check();
      const messages = "messages" in info ? info.messages : [];
      const details = messages.map((m) => `${m.lineNum}:${m.linePos} ${m.message}`).join("; ");
      throw new XError(
        "internal",
        `webgpu: the kernel "${name}" must compile, got: ${details || String(error)}. Please report this.`,
        { cause: error },
      );
    }
  }

  /** Waits while the GPU is too far behind what was submitted. */
  async keepUp(): Promise<void> {
    this.#inFlight.push(this.device.queue.onSubmittedWorkDone().catch(() => null));
    if (this.#inFlight.length > mostInFlight) await this.#inFlight.shift();
    this.faults.check();
  }

  /** Writes numbers to a range; sizes are padded to whole words. */
  write({ buffer, offset }: Range, data: ArrayBufferView): void {
    let bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    const rest = bytes.byteLength & 3;
    if (rest > 0) {
      const padded = new Uint8Array(bytes.byteLength + 4 - rest);
      padded.set(bytes);
      bytes = padded;
    }
    if (bytes.byteLength === 0) return;
    this.faults.whileUnsure(() => this.device.queue.writeBuffer(buffer, offset, bytes));
  }

  /** Copies the first `bytes` of ranges to JavaScript. */
  async read(sources: readonly { range: Range; bytes: number }[]): Promise<ArrayBuffer[]> {
    const places: number[] = [];
    let size = 0;
    for (const { bytes } of sources) {
      places.push(size);
      size += paddedBytes(bytes);
    }
    const staging = this.#takeStaging(size);
    await this.faults.settle();
    const encoder = this.device.createCommandEncoder();
    sources.forEach(({ range, bytes }, i) => {
      const whole = Math.ceil(bytes / 4) * 4;
      if (whole > 0) {
        encoder.copyBufferToBuffer(range.buffer, range.offset, staging, places[i]!, whole);
      }
    });
    this.device.queue.submit([encoder.finish()]);
    try {
      await staging.mapAsync(mapMode.READ, 0, size);
      this.faults.check();
      const mapped = staging.getMappedRange(0, size);
      return sources.map(({ bytes }, i) => mapped.slice(places[i], places[i]! + bytes));
    } catch (error) {
      throw XError.isInstance(error) ? error : await this.faults.explain(error);
    } finally {
      this.#giveStaging(staging);
    }
  }

  #takeStaging(bytes: number): GPUBuffer {
    const kept = this.#staging;
    if (kept !== null && bytes <= kept.size) {
      this.#staging = null;
      return kept;
    }
    const size = Math.max(bytes, mostStaging);
    const usage = bufferUsage.MAP_READ | bufferUsage.COPY_DST;
    return this.faults.createBuffer({ size, usage });
  }

  #giveStaging(buffer: GPUBuffer): void {
    if (this.#staging === null && buffer.size <= mostStaging && buffer.mapState === "mapped") {
      buffer.unmap();
      this.#staging = buffer;
    } else {
      buffer.destroy();
    }
  }
}
