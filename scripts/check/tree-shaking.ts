import { bundle, kilobytes } from "./bundle.js";
import { fail, pass, type Outcome } from "./check.js";
import { publicPackages } from "./packages.js";

/** What tells the code of GPU kernels. */
const gpuCode = /@compute|workgroup|GPUDevice|requestAdapter/g;

/** What tells code for Node alone. */
const nodeCode = /["'`]node:\w+|createRequire|\bprocess\.|npm install/g;

/** A training step on the CPU device. */
const cpuProgram = `
import { mseLoss, randn } from "@x/tensor";
import { Linear } from "@x/tensor/nn";
import { AdamW } from "@x/tensor/optim";
const layer = new Linear(4, 4);
const optimizer = new AdamW(layer.parameters());
mseLoss(layer.forward(randn([2, 4])), randn([2, 4])).backward();
await optimizer.step();`;

const gpuProgram = `
import { setDevice } from "@x/tensor";
import { webgpu } from "@x/kernels-webgpu";
setDevice(await webgpu());${cpuProgram}`;

/** Makes sure that bundlers leave out of a program what it does not use. */
export async function checkTreeShaking(): Promise<Outcome> {
  const complaints: string[] = [];
  const expectNone = (what: string, text: string, pattern: RegExp): void => {
    const found = [...new Set(text.match(pattern))];
    if (found.length > 0) complaints.push(`${what} holds ${found.join(", ")}.`);
  };

  const cpu = await bundle(cpuProgram, { platform: "browser" });
  expectNone("A program for the CPU", cpu.text, gpuCode);

  // Whether anything of Node is imported, the engine's probes for threads and files included.
  const gpu = await bundle(gpuProgram, { platform: "browser" });
  if (gpu.imports.length > 0) {
    complaints.push(`A program for browsers imports ${gpu.imports.join(", ")}.`);
  }
  // Where @x/tensor finds itself in Node it asks for its modules; the GPU device has code for each.
  const external = ["@x/tensor", "@x/tensor/*"];
  const device = await bundle(gpuProgram, { platform: "browser", external });
  expectNone("The GPU device for browsers", device.text, nodeCode);

  // The patterns find what they are for.
  const onNode = await bundle(gpuProgram, { platform: "node" });
  for (const pattern of [gpuCode, nodeCode]) {
    if (!pattern.test(onNode.text)) complaints.push(`${pattern} is in no program: correct it.`);
  }

  for (const { specifier } of publicPackages().flatMap(({ entries }) => entries)) {
    const { text } = await bundle(`import "${specifier}";`, { platform: "browser" });
    if (text !== "")
      complaints.push(`Importing nothing of ${specifier} ships ${text.length} bytes.`);
  }
  return complaints.length === 0
    ? pass(
        `training on the CPU ${kilobytes(cpu.gzipped)}, on the GPU in a browser ${kilobytes(gpu.gzipped)}, of which the device ${kilobytes(device.gzipped)}`,
      )
    : fail(complaints.join("\n"));
}
