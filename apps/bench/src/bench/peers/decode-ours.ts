/** Decoding token by token: the trim encoder, and every mechanism in one encoder. */

import { fromData, memory, noGrad, profile, randn, realize, type Tensor } from "@x/tensor";
import { LayerNorm } from "@x/tensor/nn";
import {
  CumulativeTransformerEncoderKV,
  CumulativeTransformerEncoderLayerKV,
  type CumulativeState,
} from "@x/trim";
import { MechanismEncoder } from "../../mechanisms/model.js";
import { mechanisms, type MechanismEntry } from "../../mechanisms/table.js";
import type { DecodeTask, Prepared } from "./peer.js";

/** Tokens after which decoding starts again at the task's position. */
const span = 64;
/** Tokens of the prompt that are read at once. */
const readAtOnce = 1024;

/** A model that takes the next tokens, [1, tokens, width], and remembers them. */
interface Decoder {
  step(tokens: Tensor): Tensor;
  /** What is remembered. Numbers without axes say where the next token goes. */
  readonly states: readonly Tensor[];
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
    states: Object.values(state),
  };
}

/** The encoder that takes any mechanism. */
function mechanismDecoder(
  entry: MechanismEntry,
  { width, layers, heads, position }: DecodeTask,
): Decoder {
  const length = position + span;
  const model = new MechanismEncoder(entry, { width, heads, layers, length }).eval();
  const states = model.initState(1);
  return {
    step: (tokens) => model.step(tokens, states),
    states: states.flatMap((state) => Object.values(state)),
  };
}

/** Prepares a token: reads `position` tokens first, then each result is the next token. */
export async function decode(task: DecodeTask): Promise<Prepared> {
  const { position, width, kind } = task;
  const entry = mechanisms.find(({ name }) => name === kind);
  const decoder = entry === undefined ? trimDecoder(task) : mechanismDecoder(entry, task);
  const positions = decoder.states.filter(({ rank }) => rank === 0);
  const bytes = 4 * decoder.states.reduce((sum, { size }) => sum + size, 0);
  let token: ArrayLike<number> = [];
  for (let read = 0; read < position; read += readAtOnce) {
    const count = Math.min(readAtOnce, position - read);
    const part = await randn([1, count, width]).realize();
    token = await noGrad(() => decoder.step(part).narrow(1, count - 1, 1)).data();
    part.dispose();
  }
  let ahead = 0;
  const next = async (): Promise<void> => {
    if (ahead++ === span) {
      for (const place of positions) place.assign(fromData(Int32Array.of(position), []));
      await realize(...positions);
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
      "state MiB": bytes / 2 ** 20,
      "total MiB": memory().total / 2 ** 20,
    }),
    release: () => undefined,
  };
}
