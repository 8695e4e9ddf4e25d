/** The GPU device for the suites of devices: every graph that it compiles is also held against the null backend. */

import type { Device } from "@x/tensor";
import { webgpu } from "../src/index.js";
import { ownGpu } from "./devices.js";
import { nullDevice } from "./null-backend.js";

/**
 * A GPU device that refuses what is not valid with every optional feature of WebGPU: it compiles
 * each graph a second time, on a device that has them all and computes nothing. In pages, where
 * there is no such device, it is the GPU device alone.
 */
export async function lintedWebgpu(): Promise<Device> {
  const device = await webgpu();
  if (ownGpu() !== undefined) return device;
  const lint = await webgpu({ device: await nullDevice() });
  const compile = device.compile.bind(device);
  device.compile = async (graph) => {
    (await lint.compile(graph)).release();
    return compile(graph);
  };
  return device;
}
