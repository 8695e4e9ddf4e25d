/** Devices of WebGPU that tests make for themselves. */

import { createGpu, loadGpu } from "../src/adapter/gpu.node.js";

/** Entry points have to outlive their devices. */
const entries: GPU[] = [];

/**
 * A new device that validates everything and computes nothing, with the features and limits that
 * every implementation has and memory that ends at 512 MiB: errors can be forced and commands
 * counted on it at no cost.
 */
export async function plainNullDevice(): Promise<GPUDevice> {
  const gpu = await createGpu(["backend=null"]);
  entries.push(gpu);
  return requestPlain(gpu);
}

/** The WebGPU of the runtime itself: that of pages. */
export function ownGpu(): GPU | undefined {
  const { navigator } = globalThis as { navigator?: { gpu?: GPU } };
  return navigator?.gpu;
}

/** A device of the GPU of the tests with the features and limits that every implementation has. */
export async function plainDevice(): Promise<GPUDevice> {
  return requestPlain(ownGpu() ?? (await loadGpu()));
}

async function requestPlain(gpu: GPU): Promise<GPUDevice> {
  const adapter = await gpu.requestAdapter();
  if (adapter === null) throw new Error("There is no adapter.");
  return adapter.requestDevice();
}
