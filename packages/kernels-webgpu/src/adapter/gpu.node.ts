/** WebGPU in Node, from the npm package `webgpu`. Browsers get gpu.ts instead, as `#gpu`. */

import { XError } from "@x/tensor";

/** What is used of the package, whose own types would clash with those of TypeScript. */
interface WebgpuPackage {
  create(options: string[]): GPU;
}

/** A variable, so that neither the compiler nor a bundler insists on a package that may be absent. */
const packageName: string = "webgpu";

// Kept, since devices stop working once the entry point they come from is collected as garbage.
let entry: Promise<GPU> | undefined;

/** The entry point of WebGPU that the package brings. */
export function loadGpu(): Promise<GPU> {
  // Kernels write workgroup memory before they read it: filling it with zeros would be in vain, and
  // takes SwiftShader seconds to compile.
  return (entry ??= createGpu(["enable-dawn-features=disable_workgroup_init"]));
}

/** Another entry point, with options of the package such as `backend=null`. */
export async function createGpu(options: string[]): Promise<GPU> {
  let module: WebgpuPackage;
  try {
    module = (await import(packageName)) as WebgpuPackage;
  } catch (error) {
    throw new XError(
      "unsupported",
      "webgpu: WebGPU is needed, got a Node without it. Install the package that brings it: npm install webgpu.",
      { cause: error },
    );
  }
  return module.create(options);
}

/**
 * Waits for pipelines. While the package has something to wait for it asks again and again, on the one
 * thread that JavaScript has: resting in between leaves that processor to the threads that compile.
 */
export async function compiled<T>(pipelines: Promise<T>): Promise<T> {
  const { setImmediate } = globalThis as { setImmediate?: (callback: () => void) => void };
  const bell = new Int32Array(new SharedArrayBuffer(4));
  let isWaiting = true;
  const rest = (): void => {
    if (!isWaiting) return;
    Atomics.wait(bell, 0, 0, 1);
    setImmediate?.(rest);
  };
  setImmediate?.(rest);
  try {
    return await pipelines;
  } finally {
    isWaiting = false;
  }
}
