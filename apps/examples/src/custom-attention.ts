/**
 * Attention of one's own: a window that slides along the sequence. The class says which positions see
 * which; a model takes it through its `parts`, and trains and generates with it as with any other.
 *
 *     pnpm example custom-attention [--full]
 */

import {
  generate,
  MultiHeadAttention,
  Transformer,
  TransformerConfig,
  type AttentionGuide,
  type MultiHeadAttentionOptions,
  type Projections,
} from "@x/miniformer";
import { languageModelling, tokenWindows, Trainer } from "@x/miniformer/training";
import { fromData, manualSeed, noGrad, type Tensor } from "@x/tensor";
import { isFull } from "./command-line.js";

/** Attention in which a position sees only the last few, its own included. */
class SlidingWindowAttention extends MultiHeadAttention {
  readonly windowSize: number;

  constructor(options: MultiHeadAttentionOptions, windowSize: number) {
    super(options);
    this.windowSize = windowSize;
  }

  override attend(heads: Projections, guide: AttentionGuide): Tensor {
    // Positions are tensors: what is true here is true of decoding with a cache too.
    const distance = guide.queryPositions.sub(guide.keyPositions);
    return super.attend(heads, guide.and(distance.lt(this.windowSize)));
  }
}

manualSeed(1);
const [windowSize, nLayers] = [4, 2];
const config = TransformerConfig.tiny({
  ...{ vocabSize: 12, nLayers, dModel: isFull ? 128 : 32, maxSeqLen: 64 },
});
const model = new Transformer(config, {
  attention: (options) => new SlidingWindowAttention(options, windowSize),
});

// Each number is the sum of the one before and the one three before, modulo 11: a window of 4 suffices.
const numbers = [1, 2, 3];
while (numbers.length < 4000) numbers.push((numbers.at(-1)! + numbers.at(-3)!) % 11);
const trainer = new Trainer({
  model,
  task: languageModelling({ padding: 32 }),
  data: tokenWindows(Uint8Array.from(numbers), { length: 32 }),
  batchSize: 16,
  steps: isFull ? 1000 : 200,
  learningRate: 5e-3,
  schedule: "cosine",
  onStep: ({ step, averageLoss }) => {
    if (step % 50 === 0) console.log(`step ${step}: loss ${averageLoss.toFixed(3)}`);
  },
});
await trainer.train();

/** How it goes on from a start, and how it should. */
model.eval();
const start = numbers.slice(0, 10);
export const expected: readonly number[] = numbers.slice(10, 30);
export const written: readonly number[] = (
  await generate(model, start, { maxNewTokens: expected.length }).tokens()
)[0]!;
console.log(`It goes on with ${written.join(" ")}`);
console.log(`and should with ${expected.join(" ")}`);

/** How far back the last position sees, through all layers: a change further back changes nothing. */
const logits = (tokens: readonly number[]): Tensor =>
  noGrad(() => model.next(fromData(Int32Array.from(tokens), [1, tokens.length])));
const asItIs = logits(numbers.slice(0, 20));
let far = 0;
for (let back = 0; back < 20; back++) {
  const changed = numbers.slice(0, 20).with(19 - back, 11);
  if ((await logits(changed).sub(asItIs).abs().max().item()) > 0) far = back;
}
export const reach: number = far;
console.log(`The last position sees ${reach} back: ${nLayers} layers of ${windowSize - 1} each.`);
