/** Memory of the GPU: buffers that are used again once they are given back. */

import { XError } from "@x/tensor";
import type { DeviceBuffer } from "@x/tensor/device";
import { bufferUsage } from "../adapter/constants.js";

/** Memory of a tensor. */
export class GpuTensorBuffer implements DeviceBuffer {
  readonly byteLength: number;
  readonly buffer: GPUBuffer;
  readonly #release: () => void;
  #isReleased = false;

  constructor(buffer: GPUBuffer, byteLength: number, release: () => void) {
    this.buffer = buffer;
    this.byteLength = byteLength;
    this.#release = release;
  }

  release(): void {
    if (this.#isReleased) return;
    this.#isReleased = true;
    this.#release();
  }
}

/** Bytes that are kept for reuse, at most. */
const mostIdleBytes = 256 * 2 ** 20;

/** Sizes of buffers are multiples of this, so that words and copies always fit. */
export function paddedBytes(bytes: number): number {
  return Math.max(16, Math.ceil(bytes / 16) * 16);
}

/** All buffers of a device that hold numbers of tensors. */
export class BufferPool {
  readonly #device: GPUDevice;
  readonly #idle = new Map<number, GPUBuffer[]>();
  readonly #watched = new FinalizationRegistry<GPUBuffer>((buffer) => {
    this.#takeBack(buffer);
  });
  #idleBytes = 0;
  #liveBytes = 0;

  constructor(device: GPUDevice) {
    this.#device = device;
  }

  /** Bytes held by tensors. */
  get liveBytes(): number {
    return this.#liveBytes;
  }

  /** Memory for a tensor. */
  allocate(byteLength: number): GpuTensorBuffer {
    const size = paddedBytes(byteLength);
    // A shader has to read a tensor as a whole.
    const { maxBufferSize, maxStorageBufferBindingSize } = this.#device.limits;
    checkSize("one tensor", size, Math.min(maxBufferSize, maxStorageBufferBindingSize));
    const idle = this.#idle.get(size)?.pop();
    if (idle !== undefined) this.#idleBytes -= size;
    const buffer =
      idle ??
      this.#device.createBuffer({
        size,
        usage: bufferUsage.STORAGE | bufferUsage.COPY_SRC | bufferUsage.COPY_DST,
      });
    this.#liveBytes += size;
    const result: GpuTensorBuffer = new GpuTensorBuffer(buffer, byteLength, () => {
      this.#watched.unregister(buffer);
      this.#takeBack(buffer);
    });
    this.#watched.register(result, buffer, buffer);
    return result;
  }

  #takeBack(buffer: GPUBuffer): void {
    const { size } = buffer;
    this.#liveBytes -= size;
    if (this.#idleBytes + size > mostIdleBytes) {
      buffer.destroy();
      return;
    }
    this.#idleBytes += size;
    const list = this.#idle.get(size);
    if (list === undefined) this.#idle.set(size, [buffer]);
    else list.push(buffer);
  }

  /** Destroys what is kept for reuse. */
  clear(): void {
    for (const list of this.#idle.values()) for (const buffer of list) buffer.destroy();
    this.#idle.clear();
    this.#idleBytes = 0;
  }
}

/** Refuses what does not fit into one buffer. */
export function checkSize(what: string, bytes: number, most: number): void {
  if (bytes <= most) return;
  throw new XError(
    "memory",
    `webgpu: ${what} can take at most ${megabytes(most)} on this GPU, got ${megabytes(bytes)}. Split it, or use a smaller batch.`,
  );
}

function megabytes(bytes: number): string {
  return `${Math.ceil(bytes / 2 ** 20)} MiB`;
}
