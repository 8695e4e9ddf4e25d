/** Devices of a page. */

import { getDevice, setDevice } from "@x/tensor";
import type { DeviceName } from "./messages.js";

/** Lets everything compute on a device from now on. */
export async function chooseDevice(name: DeviceName): Promise<void> {
  if (name === "wasm") return;
  // Loaded only when it is wanted.
  const { webgpu } = await import("@x/kernels-webgpu");
  setDevice(await webgpu());
}

/** What everything computes on, as a sentence. */
export function describeDevice(): string {
  const { name, info } = getDevice();
  if (name === "webgpu") {
    const adapter = [info.vendor, info.architecture, info.description].filter(Boolean).join(" ");
    return `Runs on the GPU through WebGPU: ${adapter || "an adapter without a name"}.`;
  }
  const { threads, relaxedSimd } = info;
  const simd = relaxedSimd === true ? "relaxed SIMD" : "SIMD";
  return `Runs on the CPU through WebAssembly with ${simd}, on ${threads === 1 ? "one thread" : `${threads} threads`}.`;
}
