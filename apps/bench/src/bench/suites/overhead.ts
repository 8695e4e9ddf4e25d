/** What a training step costs besides its kernels: recording, keying and launching in JavaScript. */

import { crossEntropy, fromData, memory, profile, setThreads } from "@x/tensor";
import { Embedding, Linear, Module } from "@x/tensor/nn";
import { AdamW, clipGradNorm } from "@x/tensor/optim";
import { CumulativeTransformerEncoderKV, CumulativeTransformerEncoderLayerKV } from "@x/trim";
import { summarize } from "../measure.js";
import type { SuiteResult } from "../report.js";
import type { SuiteOptions } from "./tasks.js";

const shape = { width: 64, layers: 6, heads: 4, batch: 2, length: 32, vocabulary: 64 };

class Model extends Module {
  readonly embedding: Embedding;
  readonly encoder: CumulativeTransformerEncoderKV;
  readonly head: Linear;

  constructor() {
    super();
    const { width, layers, heads, vocabulary } = shape;
    this.embedding = new Embedding(vocabulary, width);
    const layer = new CumulativeTransformerEncoderLayerKV({
      dModel: width,
      nHead: heads,
      dimFeedforward: 4 * width,
      dropout: 0,
      batchFirst: true,
    });
    this.encoder = new CumulativeTransformerEncoderKV(layer, { numLayers: layers });
    this.head = new Linear(width, vocabulary);
  }
}

/** The suite `overhead`. */
export async function overhead(options: SuiteOptions): Promise<SuiteResult> {
  setThreads(options.threads);
  const { width, layers, heads, batch, length, vocabulary } = shape;
  const model = new Model();
  const optimizer = new AdamW(model.parameters(), { lr: 1e-3 });
  const step = async (): Promise<void> => {
    const tokens = Int32Array.from({ length: batch * length }, () => Math.random() * vocabulary);
    const x = model.embedding.forward(fromData(tokens, [batch, length]));
    const logits = model.head.forward(model.encoder.forward(x, { isCausal: true }));
    const loss = crossEntropy(logits.flatten(0, 1), fromData(tokens, [batch * length]));
    optimizer.zeroGrad();
    loss.backward();
    clipGradNorm(model.parameters(), 1);
    await optimizer.step();
    await loss.item();
  };
  // The engine compiles in the first step, JavaScript engines optimise during the next ones.
  for (let i = 0; i < 30; i++) await step();
  const totals: number[] = [];
  const outside: number[] = [];
  let compiled = 0;
  let kernels = 0;
  for (let i = 0; i < (options.quick ? 20 : 100); i++) {
    const { totalMilliseconds, overheadMilliseconds, ...found } = await profile(step);
    totals.push(totalMilliseconds);
    outside.push(overheadMilliseconds);
    compiled += found.compileCount;
    kernels = found.kernels.reduce((sum, { calls }) => sum + calls, 0);
  }
  const what = `training step of ${layers} layers with AdamW and clipping`;
  return {
    suite: "Overhead",
    rows: [
      {
        what,
        entries: [{ name: "ours", sample: summarize(totals), figures: { kernels, compiled } }],
      },
      {
        what: "its JavaScript outside kernels",
        entries: [{ name: "ours", sample: summarize(outside) }],
      },
    ],
    claims: [
      {
        claim: "JavaScript outside kernels in a cached training step",
        measured: summarize(outside).median,
        must: 3,
        aim: 1,
        unit: " ms",
        atMost: true,
      },
      {
        claim: "compilations after the first steps",
        measured: compiled,
        must: 0,
        aim: 0,
        unit: "",
        atMost: true,
      },
    ],
    notes: [
      `width ${width}, ${heads} heads, ${batch} sequences of ${length}; ${(memory().total / 2 ** 20).toFixed(1)} MiB`,
    ],
  };
}
