/** Compiled kernels: every distinct code is compiled once and gets a number in the function table. */

import { ModuleBuilder, type MemoryImport } from "../assembler/index.js";
import type { KernelCode } from "../launch.js";
import { control, driverModule } from "./driver.js";
import { maximumPages, type LinearMemory } from "./memory.js";

/** Modules workers can be told about. */
const moduleLimit = 4096;

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
  readonly #list: number;
  #count = 0;
  #modules = 0;

  constructor(memory: LinearMemory, block: number, relaxed: boolean) {
    this.#memory = memory;
    this.#block = block;
    this.#relaxed = relaxed;
    this.#list = memory.allocate(moduleLimit * 8);
    memory.words[(block + control.modules) >> 2] = this.#list;
    // The driver is needed before anything can be awaited; it is small.
    const bytes = driverModule(this.#memoryImport());
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
    const address = this.#memory.allocate(bytes.length);
    this.#memory.bytes.set(bytes, address);
    const { words } = this.#memory;
    words[(this.#list >> 2) + 2 * this.#modules] = address;
    words[(this.#list >> 2) + 2 * this.#modules + 1] = bytes.length;
    this.#modules++;
    Atomics.store(words, (this.#block + control.moduleCount) >> 2, this.#modules);
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
