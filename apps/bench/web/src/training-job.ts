/** The main job in a worker: trains, judges, and writes on. */

import { generate, type Transformer } from "@x/miniformer";
import { fromArray, languageModelling, tokenWindows, Trainer } from "@x/miniformer/training";
import { ByteTokenizer } from "@x/miniformer/tokenizers";
import { manualSeed, XError } from "@x/tensor";
import { makeByteModel } from "../../src/main-job/model.js";
import { splitText } from "../../src/main-job/text.js";
import type { Control } from "./control.js";
import { chooseDevice, describeDevice } from "./device.js";
import type { Report, TrainingRequest } from "./messages.js";

const seed = 0;
const prompt = "The tensor ";
/** Most windows that the model is judged by. */
const judged = 64;

async function readText(text: File | string): Promise<Uint8Array> {
  if (typeof text !== "string") return new Uint8Array(await text.arrayBuffer());
  const response = await fetch(text);
  if (!response.ok) {
    throw new XError(
      "argument",
      `text: it must be readable, got the answer ${response.status} of the server. Choose a text of your own.`,
    );
  }
  return new Uint8Array(await response.arrayBuffer());
}

/** A model of the size and mechanism that were asked for. */
function makeModel({ shape, mechanism, generate: count }: TrainingRequest): Transformer {
  return makeByteModel(mechanism, shape, Math.max(shape.length, prompt.length + count));
}

/** At most so many windows of text, evenly spread. */
function judgedWindows(text: Uint8Array, length: number): readonly Uint8Array[] {
  const windows = tokenWindows(text, { length });
  // The last one may be shorter.
  const whole = Math.max(1, windows.length! - 1);
  const count = Math.min(judged, whole);
  return Array.from({ length: count }, (_, i) => windows.at!(Math.floor((i * whole) / count)));
}

/** Lets the model write on; gives the median milliseconds a byte. */
async function write(
  model: Transformer,
  count: number,
  tell: (report: Report) => void,
  signal: AbortSignal,
): Promise<number> {
  tell({ kind: "writing", text: prompt });
  const options = { maxNewTokens: count, temperature: 0.8, tokenizer: new ByteTokenizer(), signal };
  const times: number[] = [];
  let last = performance.now();
  try {
    for await (const { text } of generate(model, prompt, options)) {
      times.push(performance.now() - last);
      tell({ kind: "writing", text });
      last = performance.now();
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
  const steady = times.slice(Math.min(20, times.length >> 1)).sort((a, b) => a - b);
  return steady[steady.length >> 1] ?? NaN;
}

/** Trains as requested, telling all about it. */
export async function runTraining(
  request: TrainingRequest,
  control: Control,
  tell: (report: Report) => void,
): Promise<void> {
  const { shape, steps, batch, rate } = request;
  await chooseDevice(request.device);
  tell({ kind: "device", sentence: describeDevice() });
  manualSeed(seed);
  const source = typeof request.text === "string" ? "this repository's text" : request.text.name;
  const { length } = shape;
  const corpus = splitText(await readText(request.text), length);
  const model = makeModel(request);
  const parameters = model.parameters().reduce((sum, { size }) => sum + size, 0);
  tell({
    kind: "status",
    sentence: `Preparing a model of ${parameters.toLocaleString("en")} parameters for ${source} …`,
  });

  const trainer = new Trainer({
    model,
    task: languageModelling({ padding: length, bytesPerToken: 1 }),
    data: tokenWindows(corpus.training, { length }),
    batchSize: batch,
    steps,
    seed,
    learningRate: rate,
    schedule: { warmupSteps: Math.min(20, steps - 1) },
    betas: [0.9, 0.95],
  });
  const heldOut = fromArray(judgedWindows(corpus.heldOut, length));
  const judge = async (): Promise<number> => (await trainer.evaluate(heldOut)).bitsPerByte!;
  const before = await judge();
  // Threads that the page's policy forbids are known to be missing only now.
  tell({ kind: "device", sentence: describeDevice() });
  let tokensPerSecond = NaN;
  if (!control.signal.aborted) {
    for await (const report of trainer.run()) {
      if (report.kind !== "step") continue;
      const { step, perSecond } = report;
      // The first step compiles and says nothing about speed.
      tokensPerSecond = step <= 2 ? perSecond : 0.9 * tokensPerSecond + 0.1 * perSecond;
      const loss = report.loss / Math.LN2;
      const average = report.averageLoss / Math.LN2;
      tell({ kind: "step", step: { step, loss, average, tokensPerSecond } });
      await control.running;
      if (control.signal.aborted) break;
    }
  }
  const stopped = control.signal.aborted;
  const after = await judge();
  tell({ kind: "status", sentence: "Writing …" });
  const count = stopped ? 0 : request.generate;
  const milliseconds = count === 0 ? NaN : await write(model, count, tell, control.signal);
  const speed = Number.isNaN(milliseconds)
    ? ""
    : ` Writing took ${milliseconds.toFixed(1)} ms a byte.`;
  tell({
    kind: "finished",
    sentence: `${stopped ? "Stopped" : "Done"} after ${trainer.step} steps: text it has not seen takes ${after.toFixed(2)} bits per byte, ${before.toFixed(2)} before.${speed}`,
  });
}
