/** Memory of tensors on the GPU: small ones share large buffers, large ones are used again. */

import { XError } from "@x/tensor";
import { Gaps, type DeviceBuffer } from "@x/tensor/device";
import { bufferUsage } from "../adapter/constants.js";
import { checkTensorBytes, mostTensorBytes } from "../sizes.js";
import type { Faults } from "./faults.js";

/** Offsets of bindings are multiples of this in every implementation. */
const bindingAlignment = 256;
/** What buffers of numbers are used for. */
export const numbersUsage: number =
  bufferUsage.STORAGE | bufferUsage.COPY_SRC | bufferUsage.COPY_DST;
/** Bytes that are kept for reuse, at most. */
const mostIdleBytes = 256 * 2 ** 20;
/** Tensors of more bytes have a buffer of their own. */
const mostShared = 2 ** 20;
/** Bytes of the first shared buffer; each further one has twice as many, up to 32 times. */
const firstSlab = 2 ** 20;

/** A part of a buffer, as it is bound to a kernel. */
export interface Range {
  readonly buffer: GPUBuffer;
  /** Where it begins, in bytes. */
  readonly offset: number;
  /** Its bytes, a multiple of 16. */
  readonly size: number;
}

/** Sizes of ranges are multiples of this, so that words and copies always fit. */
export function paddedBytes(bytes: number): number {
  return Math.max(16, Math.ceil(bytes / 16) * 16);
}

/** Offsets of ranges in a buffer are multiples of this. */
export function alignedBytes(bytes: number): number {
  return Math.max(1, Math.ceil(bytes / bindingAlignment)) * bindingAlignment;
}

/** A buffer that holds numbers of tensors, and what of it is free. */
class Slab {
  readonly buffer: GPUBuffer;
  readonly gaps: Gaps = new Gaps();
  /** Bytes in use. */
  live = 0;
  /** Whether the GPU had no room for it. */
  isMissing = false;

  constructor(buffer: GPUBuffer) {
    this.buffer = buffer;
    this.gaps.give(0, buffer.size);
  }
}

/** Memory of a tensor. */
export class GpuTensorBuffer implements DeviceBuffer, Range {
  readonly byteLength: number;
  readonly size: number;
  readonly offset: number;
  readonly #slab: Slab;
  readonly #release: () => void;
  #isReleased = false;

  constructor(slab: Slab, offset: number, byteLength: number, release: () => void) {
    this.byteLength = byteLength;
    this.size = paddedBytes(byteLength);
    this.offset = offset;
    this.#slab = slab;
    this.#release = release;
  }

  get buffer(): GPUBuffer {
    return this.#slab.buffer;
  }

  /** Throws where the GPU had no room for it, so that it holds no numbers. */
  checkThere(): void {
    if (!this.#slab.isMissing) return;
    throw new XError(
      "memory",
      "webgpu: a tensor must have its numbers on the GPU, got one for which there was no room. Make it again after disposing of tensors that are no longer needed.",
    );
  }

  release(): void {
    if (this.#isReleased) return;
    this.#isReleased = true;
    this.#release();
  }
}

/** All buffers of a device that hold numbers of tensors. */
export class BufferPool {
  readonly #device: GPUDevice;
  readonly #faults: Faults;
  /** Buffers that small tensors share. */
  #shared: Slab[] = [];
  /** Buffers for one large tensor each, by size. */
  readonly #idle = new Map<number, Slab[]>();
  readonly #watched = new FinalizationRegistry<() => void>((release) => {
    release();
  });
  #idleBytes = 0;
  #liveBytes = 0;

  constructor(device: GPUDevice, faults: Faults) {
    this.#device = device;
    this.#faults = faults;
  }

  /** Bytes held by tensors. */
  get liveBytes(): number {
    return this.#liveBytes;
  }

  /** Memory for a tensor. */
  allocate(byteLength: number): GpuTensorBuffer {
    checkTensorBytes(byteLength, this.#device.limits);
    const bytes = alignedBytes(byteLength);
    const [slab, offset] = bytes > mostShared ? [this.#whole(bytes), 0] : this.#part(bytes);
    slab.live += bytes;
    this.#liveBytes += bytes;
    const takeBack = (): void => {
      this.#watched.unregister(takeBack);
      this.#takeBack(slab, offset, bytes);
    };
    const result = new GpuTensorBuffer(slab, offset, byteLength, takeBack);
    this.#watched.register(result, takeBack, takeBack);
    return result;
  }

  #part(bytes: number): [Slab, number] {
    for (const slab of this.#shared) {
      const offset = slab.gaps.take(bytes);
      if (offset !== null) return [slab, offset];
    }
    const size = Math.min(
      firstSlab << Math.min(this.#shared.length, 5),
      mostTensorBytes(this.#device.limits),
    );
    const slab = this.#make(Math.max(size, bytes));
    this.#shared.push(slab);
    return [slab, slab.gaps.take(bytes)!];
  }

  #whole(bytes: number): Slab {
    const idle = this.#idle.get(bytes)?.pop();
    if (idle !== undefined) this.#idleBytes -= bytes;
    return idle ?? this.#make(bytes);
  }

  #make(size: number): Slab {
    const buffer = this.#faults.createBuffer({ size, usage: numbersUsage }, () => {
      slab.isMissing = true;
      this.#shared = this.#shared.filter((other) => other !== slab);
    });
    const slab = new Slab(buffer);
    return slab;
  }

  #takeBack(slab: Slab, offset: number, bytes: number): void {
    slab.live -= bytes;
    this.#liveBytes -= bytes;
    if (bytes <= mostShared) {
      slab.gaps.give(offset, bytes);
      // The last is the largest, and most likely to be needed again.
      if (slab.live > 0 || slab === this.#shared.at(-1)) return;
      this.#shared = this.#shared.filter((other) => other !== slab);
      slab.buffer.destroy();
    } else if (slab.isMissing || this.#idleBytes + bytes > mostIdleBytes) {
      slab.buffer.destroy();
    } else {
      this.#idleBytes += bytes;
      const list = this.#idle.get(bytes);
      if (list === undefined) this.#idle.set(bytes, [slab]);
      else list.push(slab);
    }
  }

  /** Destroys what is kept for reuse. */
  dropIdle(): void {
    for (const list of this.#idle.values()) for (const { buffer } of list) buffer.destroy();
    this.#idle.clear();
    this.#idleBytes = 0;
  }
}
