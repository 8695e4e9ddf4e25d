/**
 * A lint for shaders: a WebGPU that compiles and validates, but computes nothing. It needs no driver
 * and knows features that the device of the tests lacks, such as `shader-f16`.
 */

import { createGpu } from "../src/adapter/gpu.node.js";
import { requestGpu } from "../src/adapter/request.js";

/** Both are kept: the device needs its entry point. */
interface Validator {
  readonly gpu: GPU;
  readonly device: GPUDevice;
}

let validator: Promise<Validator> | undefined;

/** A device with every feature that compiles and validates, but computes nothing. */
export async function nullDevice(): Promise<GPUDevice> {
  return (await (validator ??= makeValidator())).device;
}

/**
 * What is wrong with a compute shader, each fault as `line:column message` where it has a place;
 * empty for a valid one. Its entry point is `main`.
 */
export async function validateShader(wgsl: string): Promise<string[]> {
  const device = await nullDevice();
  // The faults of the module come back from its compilation, not as errors of the device.
  device.pushErrorScope("validation");
  const module = device.createShaderModule({ code: wgsl });
  void device.popErrorScope();

  const { messages } = await module.getCompilationInfo();
  const faults = [...messages].filter(({ type }) => type === "error");
  if (faults.length > 0) {
    return faults.map(({ lineNum, linePos, message }) => `${lineNum}:${linePos} ${message}`);
  }
  try {
    // Only a pipeline is held against the limits of the device.
    await device.createComputePipelineAsync({
      layout: "auto",
      compute: { module, entryPoint: "main" },
    });
    return [];
  } catch (error) {
    return [error instanceof Error ? error.message : String(error)];
  }
}

async function makeValidator(): Promise<Validator> {
  const gpu = await createGpu(["backend=null"]);
  const adapter = await gpu.requestAdapter();
  if (adapter === null) throw new Error("The null backend has no adapter.");
  return { gpu, device: (await requestGpu({ adapter })).device };
}
