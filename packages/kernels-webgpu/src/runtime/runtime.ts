/** What all plans of a GPU device share: buffers, pipelines, the arena, the queue and its errors. */

import { XError } from "@x/tensor";
import { bufferUsage, mapMode } from "../adapter/constants.js";
import { BufferPool, checkSize, paddedBytes } from "./buffers.js";

/** Plans that may be on their way to the GPU before the next has to wait. */
const mostInFlight = 4;

/** A buffer that is made anew when it is too small; `generation` tells its makes apart. */
class GrowingBuffer {
  readonly #device: GPUDevice;
  buffer: GPUBuffer | null = null;
  generation = 0;

  constructor(device: GPUDevice) {
    this.#device = device;
  }

  get bytes(): number {
    return this.buffer?.size ?? 0;
  }

  ensure(bytes: number): GPUBuffer {
    if (this.buffer === null || this.buffer.size < bytes) {
      checkSize("the intermediates of a plan", bytes, this.#device.limits.maxBufferSize);
      // What was submitted still runs to its end.
      this.buffer?.destroy();
      const usage = bufferUsage.STORAGE | bufferUsage.COPY_SRC | bufferUsage.COPY_DST;
      this.buffer = this.#device.createBuffer({ size: paddedBytes(bytes), usage });
      this.generation++;
    }
    return this.buffer;
  }
}

/** The shared parts of the device. */
export class GpuRuntime {
  readonly device: GPUDevice;
  readonly pool: BufferPool;
  /** Intermediates of whichever plan runs. */
  readonly arena: GrowingBuffer;
  readonly #pipelines = new Map<string, Promise<GPUComputePipeline>>();
  readonly #inFlight: Promise<unknown>[] = [];
  #failure: XError | null = null;
  /** Bytes of plans besides the arena. */
  planBytes = 0;
  /** Pipelines made so far. */
  pipelineCount = 0;
  /** Bind groups made so far. */
  bindGroupCount = 0;

  constructor(device: GPUDevice) {
    this.device = device;
    this.pool = new BufferPool(device);
    this.arena = new GrowingBuffer(device);
    device.addEventListener("uncapturederror", (event) => {
      const { error } = event;
      this.#failure ??= isOutOfMemory(error)
        ? new XError(
            "memory",
            `webgpu: the GPU must have room for what is computed, got: ${error.message}. Use smaller batches or dispose of tensors that are no longer needed.`,
          )
        : new XError(
            "internal",
            `webgpu: every command must be valid, got: ${error.message}. Please report this.`,
          );
    });
    void device.lost.then(({ reason, message }) => {
      this.#failure = new XError(
        "device",
        `webgpu: the GPU must stay available, got a lost device (${reason || "unknown"}: ${message}). Make a new one with webgpu() and load saved parameters.`,
      );
    });
  }

  /** Throws what went wrong since the last call; what is lost stays lost. */
  check(): void {
    const failure = this.#failure;
    if (failure === null) return;
    if (failure.code !== "device") this.#failure = null;
    throw failure;
  }

  /** The pipeline of a shader; compiled once. */
  pipeline(name: string, code: string): Promise<GPUComputePipeline> {
    let pipeline = this.#pipelines.get(code);
    if (pipeline === undefined) {
      this.pipelineCount++;
      pipeline = this.#compile(name, code);
      this.#pipelines.set(code, pipeline);
    }
    return pipeline;
  }

  async #compile(name: string, code: string): Promise<GPUComputePipeline> {
    this.device.pushErrorScope("validation");
    const module = this.device.createShaderModule({ code, label: name });
    const compiled = this.device.createComputePipelineAsync({
      label: name,
      layout: "auto",
      compute: { module, entryPoint: "main" },
    });
    const scope = this.device.popErrorScope();
    try {
      const pipeline = await compiled;
      await scope;
      return pipeline;
    } catch (error) {
      this.check();
      const { messages } = await module.getCompilationInfo();
      const details = messages.map((m) => `${m.lineNum}:${m.linePos} ${m.message}`).join("; ");
      throw new XError(
        "internal",
        `webgpu: the kernel "${name}" must compile, got: ${details || String(error)}. Please report this.`,
        { cause: error },
      );
    }
  }

  /** Hands commands to the GPU; waits while it is too far behind. */
  async submit(commands: readonly GPUCommandBuffer[]): Promise<void> {
    this.device.queue.submit(commands);
    this.#inFlight.push(this.device.queue.onSubmittedWorkDone());
    if (this.#inFlight.length > mostInFlight) await this.#inFlight.shift();
    this.check();
  }

  /** Writes numbers to a buffer; sizes are padded to whole words. */
  write(buffer: GPUBuffer, data: ArrayBufferView): void {
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    const rest = bytes.byteLength & 3;
    if (rest === 0) {
      if (bytes.byteLength > 0) this.device.queue.writeBuffer(buffer, 0, bytes);
      return;
    }
    const padded = new Uint8Array(bytes.byteLength + 4 - rest);
    padded.set(bytes);
    this.device.queue.writeBuffer(buffer, 0, padded);
  }

  /** Copies ranges of buffers to JavaScript. */
  async read(sources: readonly { buffer: GPUBuffer; bytes: number }[]): Promise<ArrayBuffer[]> {
    this.check();
    const places: number[] = [];
    let size = 0;
    for (const { bytes } of sources) {
      places.push(size);
      size += paddedBytes(bytes);
    }
    const usage = bufferUsage.MAP_READ | bufferUsage.COPY_DST;
    const staging = this.device.createBuffer({ size, usage });
    try {
      const encoder = this.device.createCommandEncoder();
      sources.forEach(({ buffer, bytes }, i) => {
        const whole = Math.ceil(bytes / 4) * 4;
        if (whole > 0) encoder.copyBufferToBuffer(buffer, 0, staging, places[i]!, whole);
      });
      this.device.queue.submit([encoder.finish()]);
      try {
        await staging.mapAsync(mapMode.READ);
      } catch (error) {
        this.check();
        throw error;
      }
      this.check();
      const mapped = staging.getMappedRange();
      return sources.map(({ bytes }, i) => mapped.slice(places[i], places[i]! + bytes));
    } finally {
      staging.destroy();
    }
  }
}

/** Whether an error says that memory ran out: its class is global in browsers only. */
function isOutOfMemory(error: GPUError): boolean {
  return error.constructor.name === "GPUOutOfMemoryError";
}
