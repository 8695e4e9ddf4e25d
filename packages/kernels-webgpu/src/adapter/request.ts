/** Finding a GPU and asking for a device with all that it can do. */

import { XError, type Device } from "@x/tensor";
import { loadGpu } from "#gpu";

/**
 * A `GPUDevice`, where the compiler has types of WebGPU: the `dom` library since TypeScript 6.0, or
 * `@webgpu/types` before. Any object elsewhere, so that those types are needed by nobody.
 */
export type GpuDevice = typeof globalThis extends { GPUDevice: { prototype: infer Device } }
  ? Device
  : object;

/** A `GPUAdapter`, where the compiler has types of WebGPU. */
export type GpuAdapter = typeof globalThis extends { GPUAdapter: { prototype: infer Adapter } }
  ? Adapter
  : object;

/** How `webgpu` finds its GPU. */
export interface GpuOptions {
  /** A device of your own. It is used with the limits and features that it has, and never destroyed. */
  readonly device?: GpuDevice;
  /** An adapter of your own, from which no device was requested yet. */
  readonly adapter?: GpuAdapter;
  /** Which GPU to take where there are several; the default is `"high-performance"`. */
  readonly powerPreference?: "high-performance" | "low-power";
  /**
   * Optional features of WebGPU that the device must have, such as `["shader-f16"]`; no others are
   * used then. The default is every useful one that the adapter has.
   */
  readonly features?: readonly string[];
  /**
   * Whether to try several ways for kernels where the best depends on the GPU, such as large matrix
   * products, when they are first needed: they start later and may then run faster. What was best is
   * kept for other runs, in the `localStorage` of a page or the user's cache folder. Default: `false`.
   */
  readonly tune?: boolean;
}

/** A device, and what is known about it. */
export interface Gpu {
  readonly device: GpuDevice;
  /** Whether it was requested here, so that it may be destroyed. */
  readonly owned: boolean;
  /** Names of the adapter, `features` separated by commas, and the limits that matter. */
  readonly info: Device["info"];
}

/**
 * Features that kernels or profiles make use of, and one for kernels of your own on the device: no
 * kernel here multiplies by subgroup matrices, since none of the GPUs it was tested on has them.
 */
const usefulFeatures = [
  "shader-f16",
  "subgroups",
  "timestamp-query",
  "chromium-experimental-subgroup-matrix",
];

/** Limits that are asked for as high as they go; without asking, every device has the same low ones. */
const limitNames = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxStorageBuffersPerShaderStage",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
  "maxComputeWorkgroupSizeY",
  "maxComputeWorkgroupSizeZ",
  "maxComputeWorkgroupStorageSize",
  "maxComputeWorkgroupsPerDimension",
] as const;

/**
 * A device of the best GPU, or what the caller brings.
 *
 * @throws XError `unsupported` where there is no WebGPU or the adapter lacks a feature that was
 * asked for, `device` where there is no adapter or it gives no device
 */
export async function requestGpu(options: GpuOptions = {}): Promise<Gpu> {
  if (options.device !== undefined) return describe(options.device, false);
  const adapter =
    options.adapter ?? (await findAdapter(options.powerPreference ?? "high-performance"));
  const missing = options.features?.filter((name) => !adapter.features.has(name)) ?? [];
  if (missing.length > 0) {
    throw new XError(
      "unsupported",
      `webgpu: the adapter must have the features asked for, got one without ${missing.join(", ")}. Leave them out of \`features\`.`,
    );
  }
  const features = options.features ?? usefulFeatures.filter((name) => adapter.features.has(name));
  return describe(await requestDevice(adapter, features), true);
}

async function findAdapter(powerPreference: GPUPowerPreference): Promise<GPUAdapter> {
  // Not every runtime has a navigator, and not every navigator has a GPU.
  const { navigator } = globalThis as { navigator?: { gpu?: GPU } };
  const gpu = navigator?.gpu ?? (await loadGpu());
  const adapter = await gpu?.requestAdapter({ powerPreference });
  if (!adapter) {
    throw new XError(
      "device",
      "webgpu: a GPU adapter is needed, got none. Check that the machine has a GPU with a driver for Vulkan, Metal or Direct3D 12, or use the device wasm().",
    );
  }
  return adapter;
}

async function requestDevice(adapter: GPUAdapter, features: readonly string[]): Promise<GPUDevice> {
  try {
    return await adapter.requestDevice({
      label: "@x/kernels-webgpu",
      // The types know only the features of the standard.
      requiredFeatures: features as GPUFeatureName[],
      requiredLimits: Object.fromEntries(limitNames.map((name) => [name, adapter.limits[name]])),
    });
  } catch (error) {
    throw new XError(
      "device",
      `webgpu: the adapter must give a device, got: ${error instanceof Error ? error.message : String(error)}. Pass an adapter from which no device was requested yet.`,
      { cause: error },
    );
  }
}

function describe(device: GPUDevice, owned: boolean): Gpu {
  const { features, limits } = device;
  // Older browsers lack all or some of it.
  const adapterInfo: Partial<GPUAdapterInfo> = device.adapterInfo ?? {};
  return {
    device,
    owned,
    info: {
      vendor: adapterInfo.vendor ?? "",
      architecture: adapterInfo.architecture ?? "",
      adapter: adapterInfo.device ?? "",
      description: adapterInfo.description ?? "",
      fallback: adapterInfo.isFallbackAdapter ?? false,
      features: usefulFeatures.filter((name) => features.has(name)).join(","),
      subgroupMinSize: adapterInfo.subgroupMinSize ?? 0,
      subgroupMaxSize: adapterInfo.subgroupMaxSize ?? 0,
      ...Object.fromEntries(limitNames.map((name) => [name, limits[name]])),
    },
  };
}
