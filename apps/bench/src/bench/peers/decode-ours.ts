/** Decoding token by token: the trim encoder, and softmax attention with a cache for comparison. */

import { fromData, memory, noGrad, profile, randn, realize, type Tensor } from "@x/tensor";
import { LayerNorm, Linear, Module, ModuleList, SoftmaxAttention } from "@x/tensor/nn";
import {
  CumulativeTransformerEncoderKV,
  CumulativeTransformerEncoderLayerKV,
  type CumulativeState,
} from "@x/trim";
import type { DecodeTask, Prepared } from "./peer.js";

/** Tokens after which decoding starts again at the task's position. */
const span = 64;

/** A model that takes the next tokens, [1, tokens, width], and remembers them. */
interface Decoder {
  step(tokens: Tensor): Tensor;
  /** Where the next token goes, int32 []. */
  readonly positions: readonly Tensor[];
  /** Bytes that are remembered. */
  readonly bytes: number;
}

function trimDecoder({ width, layers, heads }: DecodeTask): Decoder {
  const layer = new CumulativeTransformerEncoderLayerKV({
    dModel: width,
    nHead: heads,
    dimFeedforward: 4 * width,
    activation: "gelu",
    batchFirst: true,
    normFirst: true,
    normQ: true,
    normK: true,
  });
  const norm = new LayerNorm(width);
  const model = new CumulativeTransformerEncoderKV(layer, { numLayers: layers, norm }).eval();
  const state: CumulativeState = model.initState(1);
  return {
    step: (tokens) => model.forward(tokens, { isCausal: true, state }),
    positions: [state.position],
    bytes: bytesOf(Object.values(state)),
  };
}

/** One layer of the same shape with softmax attention and its cache. */
class CachedLayer extends Module {
  readonly norm1: LayerNorm;
  readonly norm2: LayerNorm;
  readonly inputs: Linear;
  readonly output: Linear;
  readonly linear1: Linear;
  readonly linear2: Linear;
  readonly heads: number;

  constructor(width: number, heads: number) {
    super();
    this.norm1 = new LayerNorm(width);
    this.norm2 = new LayerNorm(width);
    this.inputs = new Linear(width, 3 * width);
    this.output = new Linear(width, width);
    this.linear1 = new Linear(width, 4 * width);
    this.linear2 = new Linear(4 * width, width);
    this.heads = heads;
  }

  step(x: Tensor, state: ReturnType<SoftmaxAttention["initState"]>): Tensor {
    const [q, k, v] = this.inputs
      .forward(this.norm1.forward(x))
      .chunk(3, -1)
      .map((part) => part.unflatten(-1, [this.heads, -1]).transpose(1, 2));
    const mixed = new SoftmaxAttention().step(q!, k!, v!, state);
    const attended = x.add(this.output.forward(mixed.transpose(1, 2).flatten(2)));
    const inner = this.linear1.forward(this.norm2.forward(attended)).gelu();
    return attended.add(this.linear2.forward(inner));
  }
}

function softmaxDecoder({ width, layers, heads, position }: DecodeTask): Decoder {
  const stack = new ModuleList(Array.from({ length: layers }, () => new CachedLayer(width, heads)));
  const norm = new LayerNorm(width);
  const states = [...stack].map(() =>
    new SoftmaxAttention().initState({
      batch: 1,
      heads,
      headDim: width / heads,
      capacity: position + span,
    }),
  );
  return {
    step: (tokens) =>
      norm.forward([...stack].reduce((x, layer, i) => layer.step(x, states[i]!), tokens)),
    positions: states.map(({ length }) => length),
    bytes: bytesOf(states.flatMap((state) => Object.values(state))),
  };
}

const bytesOf = (tensors: readonly Tensor[]): number =>
  4 * tensors.reduce((sum, { size }) => sum + size, 0);

/** Prepares a token: reads `position` tokens first, then each result is the next token. */
export async function decode(task: DecodeTask): Promise<Prepared> {
  const { position, width, kind } = task;
  const decoder = kind === "trim" ? trimDecoder(task) : softmaxDecoder(task);
  const prompt = await randn([1, position, width]).realize();
  const last = await noGrad(() => decoder.step(prompt).narrow(1, position - 1, 1)).data();
  let token: ArrayLike<number> = last;
  let ahead = 0;
  const next = async (): Promise<void> => {
    if (ahead++ === span) {
      for (const place of decoder.positions) place.assign(fromData(Int32Array.of(position), []));
      await realize(...decoder.positions);
      ahead = 1;
    }
    const x = fromData(Float32Array.from(token), [1, 1, width]);
    const y = noGrad(() => decoder.step(x));
    token = await y.data();
    y.dispose();
  };
  await next();
  const { compileCount } = await profile(async () => {
    for (let i = 0; i < 16; i++) await next();
  });
  return {
    run: next,
    result: () => Promise.resolve(Float32Array.from(token)),
    figures: () => ({
      compiled: compileCount,
      "state MiB": decoder.bytes / 2 ** 20,
      "total MiB": memory().total / 2 ** 20,
    }),
    release: () => undefined,
  };
}
