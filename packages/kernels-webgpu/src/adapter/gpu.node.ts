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
