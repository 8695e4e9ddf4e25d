/** What all plans of the CPU device share: memory, code, threads, the arena. */

import type { DeviceBuffer } from "../../device/device.js";
import { supportsRelaxedSimd, supportsThreads } from "../assembler/index.js";
import { CodeCache } from "./code.js";
import { control } from "./driver.js";
import { LinearMemory } from "./memory.js";
import { Pool } from "./pool.js";

/** Memory of a tensor. */
export class WasmBuffer implements DeviceBuffer {
  readonly address: number;
  readonly byteLength: number;
  readonly #owner: WasmRuntime;
  /** Whether the garbage collector gives the memory back when nobody else did. */
  isWatched = false;
  isReleased = false;

  constructor(owner: WasmRuntime, address: number, byteLength: number) {
    this.#owner = owner;
    this.address = address;
    this.byteLength = byteLength;
  }

  release(): void {
    if (this.isReleased) return;
    this.isReleased = true;
    this.#owner.giveBack(this);
  }
}

/** Bytes of scratch memory between threads, so that they never share a cache line. */
const scratchAlignment = 4096;

/** New buffers, and their bytes, up to which nobody asks whether they became unreachable. */
const mostRecent = 64;
const mostRecentBytes = 1 << 20;

/** The shared parts of the device. */
export class WasmRuntime {
  readonly memory: LinearMemory;
  readonly code: CodeCache;
  readonly relaxed: boolean;
  readonly revectorized: boolean;
  readonly #block: number;
  readonly #pool: Pool;
  /** Intermediates and staging of whichever plan runs. */
  #arena = { address: 0, bytes: 0 };
  #scratch = { address: 0, stride: 0, threads: 0 };
  #tensorBytes = 0;
  // The backstop for buffers nobody disposed of. Watching costs more than a small product, so that
  // buffers are watched only when they have not been released soon after they were made.
  readonly #watched = new FinalizationRegistry<number>((address) => {
    this.#free(address);
  });
  #recent: WasmBuffer[] = [];
  #recentBytes = 0;

  constructor(options: { readonly threads: number; readonly revectorized: boolean }) {
    this.memory = new LinearMemory(supportsThreads());
    this.relaxed = supportsRelaxedSimd();
    this.revectorized = options.revectorized;
    this.#block = this.memory.allocate(control.bytes);
    this.memory.bytes.fill(0, this.#block, this.#block + control.bytes);
    this.code = new CodeCache(this.memory, this.#block, this.relaxed);
    this.#pool = new Pool(this.memory, this.#block);
    this.#pool.resize(options.threads);
  }

  /** Threads that work, the main thread included. */
  get threads(): number {
    return this.#pool.threads;
  }

  /** Changes the number of threads. */
  setThreads(threads: number): number {
    return this.#pool.resize(threads);
  }

  /** Bytes held by tensors. */
  get tensorBytes(): number {
    return this.#tensorBytes;
  }

  /** Bytes held by plans. */
  get planBytes(): number {
    return this.memory.live - this.#tensorBytes;
  }

  /** Memory for a tensor. */
  allocate(byteLength: number): WasmBuffer {
    const address = this.memory.allocate(byteLength);
    this.#tensorBytes += this.memory.sizeAt(address);
    const buffer = new WasmBuffer(this, address, byteLength);
    this.#recent.push(buffer);
    this.#recentBytes += byteLength;
    if (this.#recent.length > mostRecent || this.#recentBytes > mostRecentBytes) this.#watch();
    return buffer;
  }

  #watch(): void {
    for (const buffer of this.#recent) {
      if (buffer.isReleased) continue;
      buffer.isWatched = true;
      this.#watched.register(buffer, buffer.address, buffer);
    }
    this.#recent = [];
    this.#recentBytes = 0;
  }

  /** Takes the memory of a tensor back. */
  giveBack(buffer: WasmBuffer): void {
    if (buffer.isWatched) this.#watched.unregister(buffer);
    this.#free(buffer.address);
  }

  #free(address: number): void {
    this.#tensorBytes -= this.memory.sizeAt(address);
    this.memory.release(address);
  }

  /** The address of at least `bytes` bytes for one run. */
  arena(bytes: number): number {
    if (bytes > this.#arena.bytes) {
      if (this.#arena.bytes > 0) this.memory.release(this.#arena.address);
      this.#arena = { address: 0, bytes: 0 };
      this.#arena = { address: this.memory.allocate(bytes), bytes };
    }
    return this.#arena.address;
  }

  /** Makes sure every thread has `bytes` bytes of scratch memory. */
  ensureScratch(bytes: number): void {
    const { stride, threads } = this.#scratch;
    if (bytes <= stride && threads >= this.threads) return;
    if (threads > 0) this.memory.release(this.#scratch.address);
    const larger = Math.ceil(Math.max(bytes, stride, 1) / scratchAlignment) * scratchAlignment;
    const address = this.memory.allocate(larger * this.threads);
    this.#scratch = { address, stride: larger, threads: this.threads };
    const { words } = this.memory;
    words[(this.#block + control.scratch) >> 2] = address;
    words[(this.#block + control.scratchStride) >> 2] = larger;
  }

  /** Runs launches. */
  run(launches: number, count: number): void {
    if (count > 0) this.code.driver.run(this.#block, launches, count);
  }
}
