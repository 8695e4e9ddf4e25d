/** For tests: evaluates WGSL expressions over arrays. */

import type { DType } from "@x/tensor";
import { bufferUsage, mapMode } from "../src/adapter/constants.js";
import { Helpers, wgslType } from "../src/wgsl/functions.js";

/** Elements as their 32-bit words; bool as 0 and 1. */
export type Words = Float32Array | Int32Array | Uint32Array;

const workgroupSize = 64;

/**
 * Evaluates an expression for every element of some arrays and gives the bits of the results.
 * `write` makes the expression from identifiers of the operands; `types` are theirs.
 */
export async function runExpression(
  device: GPUDevice,
  write: (operands: string[], helpers: Helpers) => string,
  operands: readonly Words[],
  types: readonly DType[],
  result: DType,
): Promise<Uint32Array> {
  const count = operands[0]!.length;
  const helpers = new Helpers();
  const names = operands.map((_, position) => `x${position}`);
  const code = write(names, helpers);
  const bindings = [...names, "result"].map(
    (name, binding) =>
      `@group(0) @binding(${binding}) var<storage, read_write> ${name}Words: array<u32>;`,
  );
  const loads = names.map((name, position) => {
    const type = wgslType(types[position]!);
    const word = `${name}Words[i]`;
    return `let ${name} = ${type === "bool" ? `${word} != 0u` : `bitcast<${type}>(${word})`};`;
  });
  const value = wgslType(result) === "bool" ? `select(0u, 1u, ${code})` : `bitcast<u32>(${code})`;
  const shader = `${bindings.join("\n")}
${helpers.code}
@compute @workgroup_size(${workgroupSize})
fn main(@builtin(global_invocation_id) id: vec3u) {
  let i = id.x;
  if (i >= ${count}u) { return; }
  ${loads.join("\n  ")}
  resultWords[i] = ${value};
}`;
  return runShader(device, shader, operands, count);
}

/** Runs a compute shader whose last binding takes `count` words. */
async function runShader(
  device: GPUDevice,
  shader: string,
  operands: readonly Words[],
  count: number,
): Promise<Uint32Array> {
  const pipeline = await device.createComputePipelineAsync({
    layout: "auto",
    compute: { module: device.createShaderModule({ code: shader }), entryPoint: "main" },
  });
  const size = 4 * count;
  const { STORAGE, COPY_DST, COPY_SRC, MAP_READ } = bufferUsage;
  const inputs = operands.map((operand) => {
    const buffer = device.createBuffer({ size, usage: STORAGE | COPY_DST });
    device.queue.writeBuffer(buffer, 0, operand.buffer, operand.byteOffset, size);
    return buffer;
  });
  const output = device.createBuffer({ size, usage: STORAGE | COPY_SRC });
  const readable = device.createBuffer({ size, usage: MAP_READ | COPY_DST });
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  const entries = [...inputs, output].map((buffer, binding) => ({ binding, resource: { buffer } }));
  pass.setBindGroup(0, device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }));
  pass.dispatchWorkgroups(Math.ceil(count / workgroupSize));
  pass.end();
  encoder.copyBufferToBuffer(output, 0, readable, 0, size);
  device.queue.submit([encoder.finish()]);
  await readable.mapAsync(mapMode.READ);
  const bits = new Uint32Array(readable.getMappedRange().slice(0));
  for (const buffer of [...inputs, output, readable]) buffer.destroy();
  return bits;
}
