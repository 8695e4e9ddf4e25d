/** The GPU device, and the `GPUDevice` below it, on which naive kernels run. */

import { XError, type Device } from "@x/tensor";
import { webgpu } from "@x/kernels-webgpu";

/** Both see the same queue. */
export interface OpenedGpu {
  readonly device: Device;
  readonly gpu: GPUDevice;
  /** What `webgpu` was given the device by: devices stop working once it is collected as garbage. */
  readonly entry: GPU;
}

interface WebgpuPackage {
  readonly create: (options: string[]) => GPU;
}

/** A variable: its types would clash with those of TypeScript. */
const packageName: string = "webgpu";

/** Opens the best GPU. */
export async function openGpu(): Promise<OpenedGpu> {
  const { create } = (await import(packageName)) as WebgpuPackage;
  // As the GPU device does itself.
  const entry = create(["enable-dawn-features=disable_workgroup_init"]);
  const adapter = await entry.requestAdapter({ powerPreference: "high-performance" });
  if (adapter === null) {
    throw new XError(
      "device",
      "bench: a GPU adapter is needed, got none. Check that there is a driver for Vulkan, Metal or Direct3D 12, or run it with pnpm swiftshader.",
    );
  }
  // The device is the one that `webgpu` asks for, with all limits and features that it can use.
  let gpu: GPUDevice | undefined;
  const requestDevice = adapter.requestDevice.bind(adapter);
  adapter.requestDevice = async (descriptor) => (gpu = await requestDevice(descriptor));
  const device = await webgpu({ adapter });
  return { device, gpu: gpu!, entry };
}

/** The facts about a GPU that belong to every figure. */
export function describeGpu({ info }: Device): string {
  const { vendor, architecture, adapter, description, features } = info;
  const names = [vendor, architecture, adapter].filter((name) => name !== "").join(" ");
  return `${names} (${String(description)}), features ${String(features)}`;
}
