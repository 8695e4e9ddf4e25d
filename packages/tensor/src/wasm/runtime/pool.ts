/**
 * Threads of the CPU device.
 *
 * Workers share the device's memory. New code reaches them through that memory too, so once started
 * they never need a message: they look for work, and after a while without any they sleep until the
 * main thread wakes them.
 */

import type { LinearMemory } from "./memory.js";
import { control, workResult } from "./driver.js";

/** The part of a worker, in Node or in a page, that is used here. */
interface PoolWorker {
  terminate(): unknown;
}

/**
 * What a worker runs, as source text: neither a file to be found at run time nor something a
 * compiler may rewrite. `start` is called with what the main thread passes.
 */
const workerSource = `
function start({ memory, block, thread }) {
  const table = new WebAssembly.Table({ initial: 1, element: "anyfunc" });
  const env = { memory, table };
  let words = new Int32Array(memory.buffer);
  let loaded = 0;
  let known = 0;
  let work = null;
  const load = () => {
    words = new Int32Array(memory.buffer);
    const count = Atomics.load(words, (block + ${control.moduleCount}) >> 2);
    const list = words[(block + ${control.modules}) >> 2] >>> 2;
    for (; loaded < count; loaded++) {
      const address = words[list + 2 * loaded] >>> 0;
      const length = words[list + 2 * loaded + 1];
      const module = new WebAssembly.Module(new Uint8Array(memory.buffer, address, length).slice());
      const { exports } = new WebAssembly.Instance(module, { env });
      if (work === null) { work = exports.work; continue; }
      const functions = Object.values(exports);
      if (table.length < known + functions.length) table.grow(known + functions.length - table.length);
      for (const f of functions) table.set(known++, f);
    }
  };
  load();
  for (;;) {
    if (work(block, thread, known) === ${workResult.needsCode}) { load(); continue; }
    const wake = (block + ${control.wake}) >> 2;
    const seen = Atomics.load(words, wake);
    Atomics.store(words, (block + ${control.parked}) >> 2, 1);
    Atomics.wait(words, wake, seen);
  }
}
`;

const nodeSource = `import { workerData } from "node:worker_threads";\n${workerSource}\nstart(workerData);`;
const webSource = `${workerSource}\nonmessage = (event) => start(event.data);`;

interface NodeWorkers {
  readonly Worker: new (
    source: URL,
    options: { workerData: unknown; name: string },
  ) => PoolWorker & { unref(): void; on(event: "error", listener: (error: Error) => void): void };
}

/** How many threads the machine can run at once, as far as the runtime tells. */
export function hardwareThreads(): number {
  const os = nodeModule<{ availableParallelism?(): number }>("node:os");
  const { navigator } = globalThis as { navigator?: { hardwareConcurrency?: number } };
  return os?.availableParallelism?.() ?? navigator?.hardwareConcurrency ?? 1;
}

/** A built-in module of Node, or `null` elsewhere. */
function nodeModule<T>(name: string): T | null {
  const { process } = globalThis as {
    process?: { getBuiltinModule?(name: string): unknown; versions?: { node?: string } };
  };
  if (process?.versions?.node === undefined) return null;
  return (process.getBuiltinModule?.(name) as T | undefined) ?? null;
}

/** The workers beside the main thread. */
export class Pool {
  readonly #memory: LinearMemory;
  readonly #block: number;
  #workers: PoolWorker[] = [];

  constructor(memory: LinearMemory, block: number) {
    this.#memory = memory;
    this.#block = block;
  }

  /** Threads that may work, the main thread included. */
  get threads(): number {
    return this.#workers.length + 1;
  }

  /** Starts or stops workers; gives the number of threads there are now. */
  resize(threads: number): number {
    if (!this.#memory.shared) return 1;
    while (this.#workers.length > threads - 1) this.#workers.pop()!.terminate();
    while (this.#workers.length < threads - 1) {
      const worker = this.#start(this.#workers.length + 1);
      if (worker === null) break;
      this.#workers.push(worker);
    }
    return this.threads;
  }

  #start(thread: number): PoolWorker | null {
    const data = { memory: this.#memory.memory, block: this.#block, thread };
    const workers = nodeModule<NodeWorkers>("node:worker_threads");
    if (workers !== null) {
      const source = new URL(`data:text/javascript,${encodeURIComponent(nodeSource)}`);
      const worker = new workers.Worker(source, { workerData: data, name: `@x/tensor ${thread}` });
      worker.unref();
      worker.on("error", (error) => {
        throw error;
      });
      return worker;
    }
    // Libraries compile without the types of the DOM.
    const { Worker } = globalThis as unknown as {
      Worker?: new (url: string) => PoolWorker & {
        postMessage(data: unknown): void;
        onerror: ((event: { preventDefault(): void }) => void) | null;
      };
    };
    if (Worker === undefined) return null;
    const url = URL.createObjectURL(new Blob([webSource], { type: "text/javascript" }));
    const worker = new Worker(url);
    // A page's policy may forbid the worker; everything still works on one thread.
    worker.onerror = (event) => {
      event.preventDefault();
      this.#workers = this.#workers.filter((other) => other !== worker);
    };
    worker.postMessage(data);
    return worker;
  }
}
