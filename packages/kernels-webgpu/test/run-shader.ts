/** The shortest way through WebGPU: numbers in, a statement on each, numbers out. */

import { bufferUsage, mapMode } from "../src/adapter/constants.js";

/** Runs a WGSL statement for each element `x[id.x]` and returns what `x` holds then. */
export async function runShader(
  device: GPUDevice,
  statement: string,
  numbers: readonly number[],
): Promise<number[]> {
  const code = `
    @group(0) @binding(0) var<storage, read_write> x: array<f32>;
    @compute @workgroup_size(1) fn main(@builtin(global_invocation_id) id: vec3u) { ${statement} }`;
  const pipeline = await device.createComputePipelineAsync({
    layout: "auto",
    compute: { module: device.createShaderModule({ code }), entryPoint: "main" },
  });
  const data = new Float32Array(numbers);
  const size = data.byteLength;
  const usage = bufferUsage.STORAGE | bufferUsage.COPY_SRC | bufferUsage.COPY_DST;
  const buffer = device.createBuffer({ size, usage });
  const staging = device.createBuffer({ size, usage: bufferUsage.MAP_READ | bufferUsage.COPY_DST });
  device.queue.writeBuffer(buffer, 0, data);

  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  const layout = pipeline.getBindGroupLayout(0);
  pass.setBindGroup(
    0,
    device.createBindGroup({ layout, entries: [{ binding: 0, resource: { buffer } }] }),
  );
  pass.dispatchWorkgroups(numbers.length);
  pass.end();
  encoder.copyBufferToBuffer(buffer, 0, staging, 0, size);
  device.queue.submit([encoder.finish()]);

  await staging.mapAsync(mapMode.READ);
  const result = Array.from(new Float32Array(staging.getMappedRange()));
  staging.destroy();
  buffer.destroy();
  return result;
}
