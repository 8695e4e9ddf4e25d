/** Whole models on the GPU: decoding token by token, and training steps. */

import { decode } from "../peers/decode-ours.js";
import { trainGpt } from "../peers/gpt-ours.js";
import {
  formatTask,
  trainingTokens,
  type DecodeTask,
  type Prepared,
  type TrainTask,
} from "../peers/peer.js";
import { measure } from "../measure.js";
import type { Claim, Row, SuiteResult } from "../report.js";
import type { GpuSuiteOptions } from "./compare.js";
import { launchFigures } from "./tensors.js";

async function timed(
  what: string,
  prepared: Prepared,
  { effort, progress }: GpuSuiteOptions,
  { tokens, layers }: { tokens: number; layers: number },
): Promise<Row> {
  progress(what);
  const turn = async (runs: number): Promise<number> => {
    const start = performance.now();
    // Each waits for its result: the next token, or the loss.
    for (let run = 0; run < runs; run++) await prepared.run();
    return performance.now() - start;
  };
  const sample = (await measure([{ name: "ours", turn }], effort)).get("ours")!;
  const found = await launchFigures(() => turn(1));
  const figures = {
    "tokens/s": (1000 * tokens) / sample.median,
    ...found,
    "launches/layer": found.launches / layers,
  };
  prepared.release();
  return { what, entries: [{ name: "ours", sample, figures }] };
}

/** The suite of models. */
export async function models(options: GpuSuiteOptions): Promise<SuiteResult> {
  const { quick } = options;
  const size = quick ? { width: 64, layers: 2, heads: 2 } : { width: 768, layers: 12, heads: 12 };
  const rows: Row[] = [];
  for (const kind of ["trim", "softmax"] as const) {
    for (const position of quick ? [16] : [128, 4096]) {
      const task: DecodeTask = { op: "decode", kind, position, ...size };
      options.progress(`${formatTask(task)}: reading the prompt`);
      const work = { tokens: 1, layers: size.layers };
      rows.push(await timed(formatTask(task), await decode(task), options, work));
    }
  }
  const training: TrainTask = quick
    ? { op: "train", batch: 1, context: 16, ...size, vocabulary: 64, rate: 1e-3 }
    : { op: "train", batch: 8, context: 512, ...size, vocabulary: 8192, rate: 1e-3 };
  const prepared = trainGpt(training, trainingTokens(training));
  const tokens = training.batch * training.context;
  rows.push(await timed(formatTask(training), prepared, options, { tokens, layers: size.layers }));
  const claims: Claim[] = rows
    .filter(({ what }) => what.startsWith("trim"))
    .map(({ what, entries }) => ({
      claim: `launches a layer, ${what}`,
      measured: entries[0]!.figures!["launches/layer"]!,
      must: 4,
      aim: 2,
      unit: "",
      atMost: true,
    }));
  return {
    suite: `Models on the GPU, ${size.layers} layers of ${size.width}`,
    rows,
    claims,
    notes: [`the training step has ${training.batch} sequences of ${training.context} tokens`],
  };
}
