/** The choice of the device, and what the browser can do. */

import { find } from "./elements.js";
import type { DeviceName } from "./messages.js";

/** Says what is missing; gives a function that tells the chosen device. */
export function showDevices(): () => DeviceName {
  const form = find(document, "#devices", HTMLFormElement);
  const sentences = [];
  // Older browsers, and pages that came over http, have none.
  if ((navigator as { gpu?: GPU }).gpu === undefined) {
    find(form, "[value=webgpu]", HTMLInputElement).disabled = true;
    sentences.push(
      "This browser offers no WebGPU here, so that everything runs on the CPU. Use a newer browser, and a page served over https or from localhost, to run on the GPU.",
    );
  }
  if (!crossOriginIsolated) {
    sentences.push(
      "This page is not cross-origin isolated, so that the CPU works on one thread. Serve it with COOP and COEP headers to use all of them.",
    );
  }
  find(form, "#abilities", HTMLElement).textContent = sentences.join(" ");
  return () => (new FormData(form).get("device") === "webgpu" ? "webgpu" : "wasm");
}
