/** The main job in a worker: trains, judges, and writes on. */

import { manualSeed, XError } from "@x/tensor";
import { generate } from "../../src/main-job/generate.js";
import { ByteModel, type ByteLanguageModel } from "../../src/main-job/model.js";
import { splitText } from "../../src/main-job/text.js";
import { MechanismByteModel } from "../../src/mechanisms/byte-model.js";
import { mechanisms } from "../../src/mechanisms/table.js";
import { judge, makeOptimizer, train } from "../../src/main-job/train.js";
import type { Control } from "./control.js";
import { chooseDevice, describeDevice } from "./device.js";
import type { Report, TrainingRequest } from "./messages.js";

const seed = 0;
const prompt = "The tensor ";

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

/** The model of `npm start`, or one of the same size that attends by another mechanism. */
function makeModel({ shape, mechanism, generate: count }: TrainingRequest): ByteLanguageModel {
  const entry = mechanisms.find(({ name }) => name === mechanism);
  if (mechanism === "trim" || entry === undefined) return new ByteModel(shape);
  return new MechanismByteModel(entry, shape, Math.max(shape.length, prompt.length + count));
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
  const names = { text: "Text of your own", length: "windows of" };
  const corpus = splitText(await readText(request.text), source, shape.length, names);
  const model = makeModel(request);
  const parameters = model.parameters().reduce((sum, { size }) => sum + size, 0);
  tell({
    kind: "status",
    sentence: `Preparing a model of ${parameters.toLocaleString("en")} parameters for ${source} …`,
  });

  const before = await judge(model, corpus.heldOut, shape.length);
  // Threads that the page's policy forbids are known to be missing only now.
  tell({ kind: "device", sentence: describeDevice() });
  const plan = { bytes: corpus.training, first: 0, steps, batch, length: shape.length, rate, seed };
  let done = 0;
  if (!control.signal.aborted) {
    for await (const step of train(model, makeOptimizer(model, rate), plan)) {
      done = step.step;
      tell({ kind: "step", step });
      await control.running;
      if (control.signal.aborted) break;
    }
  }
  const stopped = control.signal.aborted;
  const after = await judge(model, corpus.heldOut, shape.length);
  tell({ kind: "status", sentence: "Writing …" });
  const { milliseconds } = await generate(
    model,
    prompt,
    stopped ? 0 : request.generate,
    (text) => tell({ kind: "writing", text }),
    control.signal,
  );
  const speed = Number.isNaN(milliseconds)
    ? ""
    : ` Writing took ${milliseconds.toFixed(1)} ms a byte.`;
  tell({
    kind: "finished",
    sentence: `${stopped ? "Stopped" : "Done"} after ${done} steps: text it has not seen takes ${after.toFixed(2)} bits per byte, ${before.toFixed(2)} before.${speed}`,
  });
}
