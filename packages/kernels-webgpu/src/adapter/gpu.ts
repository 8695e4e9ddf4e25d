/** WebGPU where the runtime itself has none: nowhere. Node gets gpu.node.ts instead, as `#gpu`. */

import { XError } from "@x/tensor";

/** The entry point of WebGPU that a package brings. */
export async function loadGpu(): Promise<GPU> {
  throw new XError(
    "unsupported",
    "webgpu: WebGPU is needed, got a runtime without navigator.gpu. Use a newer browser and a page served over https or from localhost, or the device wasm().",
  );
}

/** Waits for pipelines. */
export async function compiled<T>(pipelines: Promise<T>): Promise<T> {
  return pipelines;
}
