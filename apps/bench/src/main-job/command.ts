/**
 * The main job as a command: trains a byte-level language model with cumulative linear attention on
 * real text, judges it on held-out text, lets it write on, and saves a checkpoint.
 */

import { resolve } from "node:path";
import { SingleBar } from "cli-progress";
import { CommanderError } from "commander";
import { manualSeed, memory, reference, setDevice, setThreads, XError } from "@x/tensor";
import { loadCheckpoint, prepareFolder, readRun, saveCheckpoint } from "./checkpoint.js";
import { readCorpus } from "./corpus.js";
import { generate } from "./generate.js";
import { ByteModel, type ModelShape } from "./model.js";
import { readOptions, type Options, type Output } from "./options.js";
import { judge, makeOptimizer, train } from "./train.js";

const mebibytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(0)} MiB`;

/** Steps between two lines where there is no terminal to draw a bar on. */
const linesEvery = 25;

class Progress {
  readonly #bar: SingleBar | null;
  readonly #steps: number;
  readonly #print: (line: string) => void;

  constructor(steps: number, from: number, print: (line: string) => void) {
    this.#print = print;
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
      this.#print(
        `step ${done}/${this.#steps}: ${shown.loss} bits/byte, ${shown.speed} tokens/s, ${shown.memory}`,
      );
    }
  }

  stop(): void {
    this.#bar?.stop();
  }
}

async function run(options: Options, output: Output, interrupt: AbortSignal): Promise<void> {
  const print = (line: string): void => output.write(`${line}\n`);
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
  await prepareFolder(options.save);
  const model = new ByteModel(shape);
  const optimizer = makeOptimizer(model, options.rate);
  if (options.load !== undefined && earlier !== null) {
    await loadCheckpoint(options.load, model, optimizer, earlier);
  }
  const first = earlier?.step ?? 0;
  const steps = first + options.steps;
  const parameters = model.parameters().reduce((sum, parameter) => sum + parameter.size, 0);
  print(
    `Learning from ${corpus.source}: ${corpus.training.length.toLocaleString("en")} bytes, ${corpus.heldOut.length.toLocaleString("en")} held out.`,
  );
  print(
    `Model: ${shape.layers} layers of ${shape.width}, ${parameters.toLocaleString("en")} parameters, windows of ${length} bytes.`,
  );

  const before = await judge(model, corpus.heldOut, length);
  print(`Held-out text before training: ${before.toFixed(3)} bits per byte.`);

  const progress = new Progress(steps, first, print);
  const started = performance.now();
  let step = first;
  const { batch, rate, seed } = options;
  const plan = { bytes: corpus.training, first, steps, batch, length, rate, seed };
  if (!interrupt.aborted) {
    for await (const report of train(model, optimizer, plan)) {
      step = report.step;
      progress.show(step, report.average, report.tokensPerSecond);
      if (interrupt.aborted) break;
    }
  }
  progress.stop();
  const seconds = (performance.now() - started) / 1000;

  await saveCheckpoint(options.save, model, optimizer, { shape, step });
  const saved = resolve(options.save);
  if (interrupt.aborted) {
    print(`Stopped after step ${step}. Saved to ${saved}; --load ${options.save} continues.`);
    return;
  }
  const after = await judge(model, corpus.heldOut, length);
  print(
    `Held-out text after ${step} steps (${seconds.toFixed(0)} s): ${after.toFixed(3)} bits per byte, ${before.toFixed(3)} before.`,
  );
  if (options.generate > 0) {
    print("\nThe model writes on:\n");
    const { milliseconds } = await generate(
      model,
      options.prompt,
      options.generate,
      (text) => output.write(text),
      interrupt,
    );
    print(
      interrupt.aborted ? "" : `\n\n${milliseconds.toFixed(2)} ms a byte, whatever the length.`,
    );
  }
  print(`Saved to ${saved}; --load ${options.save} continues.`);
}

/** Runs the command; gives the exit code. An interrupt ends it early, with everything saved. */
export async function runCommand(
  args: readonly string[],
  output: Output,
  interrupt: AbortSignal,
): Promise<number> {
  try {
    await run(readOptions(args, output), output, interrupt);
    return interrupt.aborted ? 130 : 0;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    if (!XError.isInstance(error)) throw error;
    output.complain(error.message);
    return 1;
  }
}
