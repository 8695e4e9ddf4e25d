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

/** What a page with a model of its own runs: training with checkpoints, and generation. */
const modelProgram = `
import { generate, Transformer, TransformerConfig } from "@x/miniformer";
import { ByteTokenizer } from "@x/miniformer/tokenizers";
import { languageModelling, originPrivateStorage, tokenWindows, Trainer } from "@x/miniformer/training";
const tokenizer = new ByteTokenizer();
const model = new Transformer(TransformerConfig.tiny({ vocabSize: tokenizer.vocabSize }));
const data = tokenWindows(Uint8Array.from(tokenizer.encode("a text")), { length: 4 });
const storage = await originPrivateStorage("checkpoints");
await new Trainer({ model, task: languageModelling(), data, storage, steps: 2 }).train();
await generate(model, "a", { tokenizer }).text();`;

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

  const model = await bundle(modelProgram, { platform: "browser" });
  if (model.imports.length > 0) {
    complaints.push(`A page with a model imports ${model.imports.join(", ")}.`);
  }
  const modelPackage = await bundle(modelProgram, { platform: "browser", external });
  expectNone("@x/miniformer in a page that trains and generates", modelPackage.text, nodeCode);

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
        `training on the CPU ${kilobytes(cpu.gzipped)}, on the GPU in a browser ${kilobytes(gpu.gzipped)}, of which the device ${kilobytes(device.gzipped)}; a page that trains a model and generates ${kilobytes(model.gzipped)}, of which @x/miniformer ${kilobytes(modelPackage.gzipped)}`,
      )
    : fail(complaints.join("\n"));
}
