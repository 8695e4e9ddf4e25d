/**
 * Loses its device while numbers are being read, as when a driver restarts: what waits has to fail,
 * and the process to end by itself.
 */

import { randn, setDevice, XError } from "@x/tensor";
import { requestGpu } from "../../src/adapter/request.js";
import { webgpu } from "../../src/index.js";

const { device } = await requestGpu();
setDevice(await webgpu({ device }));
const x = await randn([32, 32]).realize();
const reading = [x.data(), x.matmul(x).data()];
device.destroy();
for (const result of await Promise.allSettled(reading)) {
  const error: unknown = result.status === "rejected" ? result.reason : null;
  console.log(XError.isInstance(error) ? error.code : "read");
}
