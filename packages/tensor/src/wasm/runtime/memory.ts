/** The device's linear memory and what is allocated in it. */

import { XError } from "../../error.js";

const pageBytes = 65536;
const alignment = 64;
/** Memory ends at 4 GiB: addresses have 32 bits. */
export const maximumPages = 65536;

interface Block {
  address: number;
  bytes: number;
}

/** One growing memory with a first-fit allocator over it. */
export class LinearMemory {
  readonly memory: WebAssembly.Memory;
  readonly shared: boolean;
  /** Free blocks by address; neighbours are always joined. */
  readonly #free: Block[] = [];
  readonly #sizes = new Map<number, number>();
  /** Everything from here on was never handed out. */
  #end = alignment;
  #live = 0;
  #bytes: Uint8Array;
  #words: Int32Array;
  #floats: Float32Array;

  constructor(shared: boolean) {
    this.shared = shared;
    this.memory = new WebAssembly.Memory({ initial: 16, maximum: maximumPages, shared });
    this.#bytes = new Uint8Array(this.memory.buffer);
    this.#words = new Int32Array(this.memory.buffer);
    this.#floats = new Float32Array(this.memory.buffer);
  }

  /** The memory as bytes. Do not keep it: growing makes a new one. */
  get bytes(): Uint8Array {
    return this.#bytes;
  }

  /** The memory as 32-bit words. */
  get words(): Int32Array {
    return this.#words;
  }

  /** The memory as float32 numbers. */
  get floats(): Float32Array {
    return this.#floats;
  }

  /** Bytes handed out and not given back. */
  get live(): number {
    return this.#live;
  }

  /** Bytes handed out at `address`. */
  sizeAt(address: number): number {
    return this.#sizes.get(address)!;
  }

  /** The address of `bytes` new bytes, aligned to 64; their contents are undefined. */
  allocate(bytes: number): number {
    const size = Math.max(alignment, Math.ceil(bytes / alignment) * alignment);
    let position = 0;
    while (position < this.#free.length && this.#free[position]!.bytes < size) position++;
    let address: number;
    if (position < this.#free.length) {
      const block = this.#free[position]!;
      address = block.address;
      if (block.bytes === size) this.#free.splice(position, 1);
      else {
        block.address += size;
        block.bytes -= size;
      }
    } else {
      const last = this.#free.at(-1);
      // A free block at the very end is extended rather than left behind.
      const extend = last !== undefined && last.address + last.bytes === this.#end;
      address = extend ? last.address : this.#end;
      this.#grow(address + size);
      if (extend) this.#free.pop();
      this.#end = address + size;
    }
    this.#sizes.set(address, size);
    this.#live += size;
    return address;
  }

  #grow(end: number): void {
    const missing = end - this.#bytes.length;
    if (missing <= 0) return;
    const current = this.#bytes.length / pageBytes;
    const needed = Math.ceil(missing / pageBytes);
    // Growing a little more than needed keeps the number of growths small.
    const generous = Math.min(Math.max(needed, Math.ceil(current / 4)), maximumPages - current);
    for (const pages of [generous, needed]) {
      if (pages < needed) continue;
      try {
        this.memory.grow(pages);
        this.#bytes = new Uint8Array(this.memory.buffer);
        this.#words = new Int32Array(this.memory.buffer);
        this.#floats = new Float32Array(this.memory.buffer);
        return;
      } catch {
        // Tried again with what is needed, then reported below.
      }
    }
    throw new XError(
      "memory",
      `wasm: the CPU device can hold at most 4 GiB, got a request for ${Math.ceil(missing / 2 ** 20)} MiB more than the ${Math.round(this.#bytes.length / 2 ** 20)} MiB it has. Use smaller batches or dispose of tensors that are no longer needed.`,
    );
  }

  /** Gives memory back. */
  release(address: number): void {
    const bytes = this.#sizes.get(address);
    if (bytes === undefined) {
      throw new XError(
        "internal",
        `wasm: released memory must be allocated, got ${address}. Please report this.`,
      );
    }
    this.#sizes.delete(address);
    this.#live -= bytes;
    let low = 0;
    let high = this.#free.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#free[middle]!.address < address) low = middle + 1;
      else high = middle;
    }
    this.#free.splice(low, 0, { address, bytes });
    const next = this.#free[low + 1];
    if (next !== undefined && address + bytes === next.address) {
      this.#free[low]!.bytes += next.bytes;
      this.#free.splice(low + 1, 1);
    }
    const before = this.#free[low - 1];
    if (before !== undefined && before.address + before.bytes === address) {
      before.bytes += this.#free[low]!.bytes;
      this.#free.splice(low, 1);
    }
  }
}
