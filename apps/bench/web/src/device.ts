/** Devices of a page. */

import { getDevice, setDevice } from "@x/tensor";
import type { DeviceName } from "./messages.js";

/** Lets everything compute on a device from now on; says in a sentence what it is. */
export async function chooseDevice(name: DeviceName): Promise<string> {
  if (name === "webgpu") {
    // Loaded only when it is wanted.
    const { webgpu } = await import("@x/kernels-webgpu");
    setDevice(await webgpu());
    const { vendor, architecture, description } = getDevice().info;
    const adapter = [vendor, architecture, description].filter(Boolean).join(" ");
    return `Runs on the GPU through WebGPU: ${adapter || "an adapter without a name"}.`;
  }
  const { threads, relaxedSimd } = getDevice().info;
  const simd = relaxedSimd === true ? "relaxed SIMD" : "SIMD";
  return `Runs on the CPU through WebAssembly with ${simd}, on ${threads === 1 ? "one thread" : `${threads} threads`}.`;
}
