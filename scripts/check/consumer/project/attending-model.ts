// A language model that attends by any mechanism, as users of the attention packages would write it.
import { crossEntropy, fromData, manualSeed, noGrad, profile, type Tensor } from "@x/tensor";
import {
  Embedding,
  LayerNorm,
  Linear,
  Module,
  type AttentionMechanism,
  type AttentionState,
} from "@x/tensor/nn";
import { AdamW } from "@x/tensor/optim";
import { expectClose } from "@x/tensor/testing";

const vocabulary = 8;
const heads = 2;
const headDim = 8;
const width = heads * headDim;

type Attend = (q: Tensor, k: Tensor, v: Tensor) => Tensor;

class LanguageModel extends Module {
  readonly embedding = new Embedding(vocabulary, width);
  readonly norm = new LayerNorm(width);
  readonly inputs = new Linear(width, 3 * width);
  readonly output = new Linear(width, vocabulary);
  readonly mechanism: AttentionMechanism;

  constructor(mechanism: AttentionMechanism) {
    super();
    this.mechanism = mechanism;
  }

  forward(tokens: Tensor): Tensor {
    return this.run(tokens, (q, k, v) => this.mechanism.forward(q, k, v, { isCausal: true }));
  }

  step(tokens: Tensor, state: AttentionState): Tensor {
    return this.run(tokens, (q, k, v) => this.mechanism.step!(q, k, v, state));
  }

  private run(tokens: Tensor, attend: Attend): Tensor {
    const x = this.embedding.forward(tokens);
    const [q, k, v] = this.inputs
      .forward(this.norm.forward(x))
      .chunk(3, -1)
      .map((part) => part.unflatten(-1, [heads, headDim]).transpose(1, 2));
    return this.output.forward(x.add(attend(q!, k!, v!).transpose(1, 2).flatten(2)));
  }
}

/** Trains a model that attends by a mechanism, and lets it write: step by step as all at once. */
export async function trainAndGenerate(name: string, mechanism: AttentionMechanism): Promise<void> {
  manualSeed(1);
  const model = new LanguageModel(mechanism);
  const optimizer = new AdamW(model.parameters(), { lr: 0.02 });
  const text = Int32Array.from({ length: 41 }, (_, i) => (3 * i) % vocabulary);
  const tokens = fromData(text.slice(0, 40), [1, 40]);
  const targets = fromData(text.slice(1), [40]);
  const train = async (): Promise<number> => {
    const loss = crossEntropy(model.forward(tokens).flatten(0, 1), targets);
    optimizer.zeroGrad();
    loss.backward();
    await optimizer.step();
    return loss.item();
  };
  const first = await train();
  await train();
  const { compileCount } = await profile(train);
  if (compileCount !== 0) throw new Error(`${name} compiled ${compileCount} plans in a later step`);
  let last = first;
  for (let i = 0; i < 12; i++) last = await train();
  if (!(last < first / 2)) throw new Error(`${name}: the loss must fall: ${first} to ${last}`);

  model.eval();
  const state = mechanism.initState!({ batch: 1, heads, headDim, capacity: 64 });
  const written = [...text.slice(0, 20)];
  let next = written;
  let logits: Float32Array | null = null;
  for (let i = 0; i < 4; i++) {
    const step = noGrad(() => model.step(fromData(Int32Array.from(next), [1, next.length]), state));
    logits = (await step.narrow(1, next.length - 1, 1).data()) as Float32Array;
    next = [logits.indexOf(Math.max(...logits))];
    written.push(next[0]!);
  }
  const all = written.slice(0, -1);
  const whole = noGrad(() => model.forward(fromData(Int32Array.from(all), [1, all.length])));
  await expectClose(fromData(logits!, [1, 1, vocabulary]), whole.narrow(1, all.length - 1, 1), {
    relative: 1e-3,
    absolute: 1e-4,
  });
  if (written.some((token, i) => token !== text[i])) {
    throw new Error(`${name} must go on as the text does, got ${written.join()}`);
  }
  console.log(`${name}: loss ${first.toFixed(2)} to ${last.toFixed(3)}, writes ${written.join()}`);
}
