/**
 * The main job (`npm start`): trains a byte-level language model with cumulative linear attention on
 * real text, judges it on held-out text, lets it write on, and saves a checkpoint.
 */

import { resolve } from "node:path";
import { SingleBar } from "cli-progress";
import { manualSeed, memory, reference, setDevice, setThreads, XError } from "@x/tensor";
import { AdamW } from "@x/tensor/optim";
import { loadCheckpoint, readRun, saveCheckpoint } from "./checkpoint.js";
import { readCorpus } from "./corpus.js";
import { generate } from "./generate.js";
import { ByteModel, type ModelShape } from "./model.js";
import { readOptions, type Options } from "./options.js";
import { judge, trainStep } from "./train.js";

/** Set by Ctrl-C: the step under way is finished, then the run is saved. */
let isInterrupted = false;

const mebibytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(0)} MiB`;

/** Steps between two lines where there is no terminal to draw a bar on. */
const linesEvery = 25;

class Progress {
  readonly #bar: SingleBar | null;
  readonly #steps: number;

  constructor(steps: number, from: number) {
    this.#steps = steps;
    this.#bar = process.stdout.isTTY
      ? new SingleBar({
          format: "{bar} {value}/{total}  {loss} bits/byte  {speed} tokens/s  {memory}",
          hideCursor: true,
        })
      : null;
    this.#bar?.start(steps, from, { loss: "–", speed: "–", memory: "–" });
  }

  show(done: number, loss: number, tokensPerSecond: number): void {
    const shown = {
      loss: loss.toFixed(3),
      speed: Math.round(tokensPerSecond).toLocaleString("en"),
      memory: mebibytes(memory().total),
    };
    this.#bar?.update(done, shown);
    if (this.#bar === null && (done % linesEvery === 0 || done === this.#steps || done === 1)) {
      console.log(
        `step ${done}/${this.#steps}: ${shown.loss} bits/byte, ${shown.speed} tokens/s, ${shown.memory}`,
      );
    }
  }

  stop(): void {
    this.#bar?.stop();
  }
}

async function run(options: Options): Promise<void> {
  if (options.device === "webgpu") setDevice(await (await import("@x/kernels-webgpu")).webgpu());
  else if (options.device === "reference") setDevice(reference());
  else setThreads(options.threads);
  manualSeed(options.seed);

  const earlier = options.load === undefined ? null : await readRun(options.load);
  const shape: ModelShape = earlier?.shape ?? {
    width: options.width,
    layers: options.layers,
    length: options.length,
  };
  const { length } = shape;
  const corpus = await readCorpus(options.text, length);
  const model = new ByteModel(shape);
  const optimizer = new AdamW(model.parameters(), {
    lr: options.rate,
    betas: [0.9, 0.95],
    weightDecay: 0.01,
  });
  if (options.load !== undefined && earlier !== null) {
    await loadCheckpoint(options.load, model, optimizer, earlier);
  }
  const first = earlier?.step ?? 0;
  const steps = first + options.steps;
  const parameters = model.parameters().reduce((sum, parameter) => sum + parameter.size, 0);
  console.log(
    `Learning from ${corpus.source}: ${corpus.training.length.toLocaleString("en")} bytes, ${corpus.heldOut.length.toLocaleString("en")} held out.`,
  );
  console.log(
    `Model: ${shape.layers} layers of ${shape.width}, ${parameters.toLocaleString("en")} parameters, windows of ${length} bytes.`,
  );

  const before = await judge(model, corpus.heldOut, length);
  console.log(`Held-out text before training: ${before.toFixed(3)} bits per byte.`);

  const progress = new Progress(steps, first);
  const started = performance.now();
  let step = first;
  let average = 0;
  let recent = performance.now();
  let speed = 0;
  while (step < steps && !isInterrupted) {
    const plan = { bytes: corpus.training, step, steps, batch: options.batch, length };
    const loss = await trainStep(model, optimizer, {
      ...plan,
      rate: options.rate,
      seed: options.seed,
    });
    step++;
    const weight = Math.max(0.05, 1 / (step - first));
    average += weight * (loss - average);
    const now = performance.now();
    const current = (options.batch * length) / ((now - recent) / 1000);
    // The first step compiles and says nothing about speed.
    speed = step - first <= 2 ? current : speed + 0.1 * (current - speed);
    recent = now;
    progress.show(step, average, speed);
  }
  progress.stop();
  const seconds = (performance.now() - started) / 1000;

  await saveCheckpoint(options.save, model, optimizer, { shape, step });
  const saved = resolve(options.save);
  if (isInterrupted) {
    console.log(`Stopped after step ${step}. Saved to ${saved}; --load ${options.save} continues.`);
    return;
  }
  const after = await judge(model, corpus.heldOut, length);
  console.log(
    `Held-out text after ${step} steps (${seconds.toFixed(0)} s): ${after.toFixed(3)} bits per byte, ${before.toFixed(3)} before.`,
  );
  if (options.generate > 0) {
    console.log("\nThe model writes on:\n");
    const { milliseconds } = await generate(model, options.prompt, options.generate, (text) => {
      process.stdout.write(text);
    });
    console.log(`\n\n${milliseconds.toFixed(2)} ms a byte, whatever the length.`);
  }
  console.log(`Saved to ${saved}; --load ${options.save} continues.`);
}

process.on("SIGINT", () => {
  // A second Ctrl-C does not wait.
  if (isInterrupted) process.exit(130);
  isInterrupted = true;
});

try {
  await run(readOptions());
  if (isInterrupted) process.exitCode = 130;
} catch (error) {
  if (!XError.isInstance(error)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}
