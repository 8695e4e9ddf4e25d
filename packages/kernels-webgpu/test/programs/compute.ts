/**
 * Computes on the GPU and keeps the device, as programs do that never think of it. The process has
 * to end all the same.
 */

import { requestGpu } from "../../src/adapter/request.js";
import { runShader } from "../run-shader.js";

const kept = await requestGpu();
const doubled = await runShader(kept.device, "x[id.x] = x[id.x] * 2.0;", [1, 2, 3, 4]);
console.log(doubled.join(" "));
// Reachable until the end, and with a promise that nobody settles.
Object.assign(globalThis, { kept });
void kept.device.lost.then(() => console.log("lost"));
