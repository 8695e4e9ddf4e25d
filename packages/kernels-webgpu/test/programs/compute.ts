/**
 * Computes on the GPU and keeps the devices, as programs do that never think of it. They have to
 * outlive a collection of garbage, and the process has to end all the same.
 *
 * Run with `--expose-gc`.
 */

import { setTimeout as wait } from "node:timers/promises";
import { requestGpu } from "../../src/adapter/request.js";
import { runShader } from "../run-shader.js";

const kept = await Promise.all([requestGpu(), requestGpu()]);
// Reachable until the end, and with promises that nobody settles.
Object.assign(globalThis, { kept });
for (const { device } of kept) void device.lost.then(() => console.log("lost"));

for (let round = 0; round < 3; round++) {
  globalThis.gc!();
  await wait(10);
}
for (const { device } of kept) {
  const doubled = await runShader(device, "x[id.x] = x[id.x] * 2.0;", [1, 2, 3, 4]);
  console.log(doubled.join(" "));
}
