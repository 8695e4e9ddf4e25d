/** Compiled kernels: every distinct code is compiled once and gets a number in the function table. */

import { ModuleBuilder, supportsSleep, type MemoryImport } from "../assembler/index.js";
import type { KernelCode } from "../launch.js";
import { control, driverModule } from "./driver.js";
import { maximumPages, type LinearMemory } from "./memory.js";

/** Modules that the first list for workers has room for. */
const firstModules = 64;

/** The driver's functions on the main thread. */
export interface Driver {
  run(block: number, launches: number, count: number): void;
}

/** The function table of the main thread and what workers need to build the same one. */
export class CodeCache {
  readonly driver: Driver;
  readonly #memory: LinearMemory;
  readonly #block: number;
  readonly #relaxed: boolean;
  readonly #table = new WebAssembly.Table({ initial: 1, element: "anyfunc" });
  readonly #numbers = new Map<string, number>();
  /** What workers read: the address and the length of every module. */
  #list = 0;
  #capacity = 0;
  #count = 0;
  #modules = 0;

  constructor(memory: LinearMemory, block: number, relaxed: boolean) {
    this.#memory = memory;
    this.#block = block;
    this.#relaxed = relaxed;
    // The driver is needed before anything can be awaited; it is small.
    const bytes = driverModule(this.#memoryImport(), supportsSleep());
    const instance = new WebAssembly.Instance(new WebAssembly.Module(bytes), this.#imports());
    // The module is emitted here, with these exports.
    this.driver = instance.exports as unknown as Driver;
    this.#announce(bytes);
  }

  #memoryImport(): MemoryImport {
    return { shared: this.#memory.shared, maximumPages };
  }

  #imports(): WebAssembly.Imports {
    return { env: { memory: this.#memory.memory, table: this.#table } };
  }

  /** Puts a module where workers find it. */
  #announce(bytes: Uint8Array): void {
    if (!this.#memory.shared) return;
    if (this.#modules === this.#capacity) this.#growList();
    const address = this.#memory.allocate(bytes.length);
    this.#memory.bytes.set(bytes, address);
    const { words } = this.#memory;
    words.set([address, bytes.length], this.#list / 4 + 2 * this.#modules);
    this.#modules++;
    Atomics.store(words, (this.#block + control.moduleCount) >> 2, this.#modules);
  }

  /** Moves the list to twice the room. Workers may still read the old one, which therefore stays. */
  #growList(): void {
    const before = this.#list / 4;
    this.#capacity = Math.max(firstModules, 2 * this.#capacity);
    this.#list = this.#memory.allocate(this.#capacity * 8);
    const { words } = this.#memory;
    words.copyWithin(this.#list / 4, before, before + 2 * this.#modules);
    Atomics.store(words, (this.#block + control.modules) >> 2, this.#list);
  }

  /** Compiles what is new among `codes`, together in one module. */
  async load(codes: readonly KernelCode[]): Promise<void> {
    const fresh = new Map<string, KernelCode>();
    for (const code of codes) if (!this.#numbers.has(code.key)) fresh.set(code.key, code);
    if (fresh.size === 0) return;
    const module = new ModuleBuilder({ memory: this.#memoryImport(), relaxed: this.#relaxed });
    for (const code of fresh.values()) if (!module.has(code.key)) code.emit(module);
    const bytes = module.toBytes();
    const { instance } = await WebAssembly.instantiate(bytes, this.#imports());
    const functions = Object.entries(instance.exports);
    if (this.#table.length < this.#count + functions.length) {
      this.#table.grow(this.#count + functions.length - this.#table.length);
    }
    for (const [key, kernel] of functions) {
      this.#table.set(this.#count, kernel);
      this.#numbers.set(key, this.#count++);
    }
    this.#announce(bytes);
  }

  /** The number of a loaded code. */
  number(code: KernelCode): number {
    return this.#numbers.get(code.key)!;
  }
}
