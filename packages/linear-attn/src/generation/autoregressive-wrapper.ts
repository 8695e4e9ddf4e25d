/** Training and generation of language models. */

import type { Generator } from "@x/tensor/random";
import {
  categorical,
  checkNumbers,
  crossEntropy,
  Module,
  noGrad,
  nonNegative,
  realize,
  stack,
  Tensor,
  whole,
  zeros,
} from "../engine.js";
import { checkAxes, checkCounts, checkInstance, checkShape } from "../checks.js";
import {
  LinearAttentionTransformerLM,
  type LanguageModelCall,
} from "../transformer/language-model.js";
import { Autopadder } from "./autopadder.js";
import { topK, type FilterLogits } from "./filters.js";

/** Options of {@link AutoregressiveWrapper}. */
export interface AutoregressiveWrapperOptions {
  /** A token that is not to be predicted. Default −100: none. */
  readonly ignoreIndex?: number;
  /** What shorter sequences are filled up with. Default 0. */
  readonly padValue?: number;
}

/** What a call may come with besides the tokens. */
export interface AutoregressiveCall extends LanguageModelCall {
  /** Whether the result is the loss of predicting each token from those before. Default false. */
  readonly returnLoss?: boolean;
}

/** Options of {@link AutoregressiveWrapper.generate}. */
export interface GenerateOptions extends Omit<LanguageModelCall, "state"> {
  /** Ends a sequence; generation ends when all have ended. Default: none. */
  readonly eosToken?: number | null;
  /** Logits are divided by it after filtering; 0 takes the likeliest token. Default 1. */
  readonly temperature?: number;
  /** Which tokens may be drawn. Default {@link topK}. */
  readonly filterLogitsFn?: FilterLogits;
  /** What the filter gets as `thres`. Default 0.9. */
  readonly filterThres?: number;
  /** Where random numbers come from; the default generator unless given. */
  readonly generator?: Generator;
}

const owner = "AutoregressiveWrapper";

/**
 * A causal language model with its loss and with generation.
 *
 * @example
 * ```ts
 * const model = new AutoregressiveWrapper(
 *   new LinearAttentionTransformerLM({
 *     numTokens: 20,
 *     dim: 16,
 *     depth: 1,
 *     maxSeqLen: 64,
 *     heads: 2,
 *     causal: true,
 *   }),
 * );
 * const loss = model.forward(randint(20, [2, 33]), { returnLoss: true });
 * loss.backward();
 *
 * const prompt = tensor([[1, 2, 3]], { dtype: "int32" });
 * const tokens = await model.generate(prompt, 8, { temperature: 0.8 });
 * console.log(tokens.shape); // → [ 1, 8 ]
 * ```
 */
export class AutoregressiveWrapper extends Module {
  /** The model, for sequences of any length. */
  readonly net: Autopadder<LinearAttentionTransformerLM>;
  /** The longest sequence that the model sees at once. */
  readonly maxSeqLen: number;
  /** A token that is not to be predicted. */
  readonly ignoreIndex: number;
  /** What shorter sequences are filled up with. */
  readonly padValue: number;

  /** @throws XError `argument` if the model is none of this package or a number is not whole */
  constructor(net: LinearAttentionTransformerLM, options: AutoregressiveWrapperOptions = {}) {
    super();
    const { ignoreIndex = -100, padValue = 0 } = options;
    checkNumbers(owner, whole, { ignoreIndex, padValue });
    checkInstance(owner, "net", net, { LinearAttentionTransformerLM });
    this.net = new Autopadder(net);
    this.maxSeqLen = net.maxSeqLen;
    this.ignoreIndex = ignoreIndex;
    this.padValue = padValue;
  }

  /**
   * The logits of tokens, int32 [batch, length] or a list of sequences int32 [length], which are
   * filled up to the longest. With `returnLoss` the mean cross entropy of predicting each token but
   * the first from those before it; a mask may then have the length of all tokens.
   *
   * @throws XError `shape` if tokens or masks do not fit
   */
  forward(x: Tensor | readonly Tensor[], call: AutoregressiveCall = {}): Tensor {
    const { returnLoss = false, ...rest } = call;
    const tokens = this.filledUp(x);
    if (!returnLoss) return this.net.forward(tokens, rest);
    const length = tokens.shape.at(-1)! - 1;
    checkShape(
      owner,
      tokens.rank === 2 && length >= 1,
      [tokens],
      (shape) =>
        `a loss needs tokens int32 [batch, length] with a length of at least 2, got ${shape}. Pass longer sequences.`,
    );
    const targets = tokens.narrow(1, 1, length);
    const { inputMask = null } = rest;
    const mask = inputMask?.shape[1] === length + 1 ? inputMask.narrow(1, 0, length) : inputMask;
    const logits = this.net.forward(this.filledUp(x, 1), { ...rest, inputMask: mask });
    const { ignoreIndex } = this;
    return crossEntropy(logits.flatten(0, 1), targets.flatten(0, 1), { ignoreIndex });
  }

  /**
   * Draws the next `seqLen` tokens after `startTokens`, int32 [batch, length] or [length]; fewer where
   * all sequences end before. Gives them without the start, int32 [batch, number] or [number]; after
   * the end of a sequence stands `padValue`.
   *
   * As long as the sequence fits into `maxSeqLen`, each token takes constant time and memory, and none
   * after the first compiles anything. Beyond, and in models without a decode state (those that are
   * not causal, attend axially or reproduce the original), the model sees the last `maxSeqLen` tokens,
   * all of which are computed again for each new one, as in the original.
   *
   * The model is switched to inference meanwhile.
   *
   * @throws XError `argument` if a number is out of range; `shape` if tensors do not fit
   */
  async generate(
    startTokens: Tensor,
    seqLen: number,
    options: GenerateOptions = {},
  ): Promise<Tensor> {
    const {
      eosToken = null,
      temperature = 1,
      filterLogitsFn = topK,
      filterThres = 0.9,
      generator,
      inputMask = null,
      ...rest
    } = options;
    checkCounts(owner, { seqLen });
    checkNumbers(owner, nonNegative, { temperature });
    if (eosToken !== null) checkNumbers(owner, whole, { eosToken });
    const start = startTokens.rank === 1 ? startTokens.unsqueeze(0) : startTokens;
    checkAxes(owner, "startTokens", start, ["batch", "length"], "int32");
    checkShape(
      owner,
      start.size > 0,
      [startTokens],
      (shape) => `generation starts from tokens, got ${shape}. Pass at least one.`,
    );
    const draw = (logits: Tensor): Tensor => {
      if (temperature === 0) return logits.argmax(-1);
      const filtered = filterLogitsFn(logits, { thres: filterThres });
      return categorical(filtered.div(temperature), generator ? { generator } : {});
    };
    const { net, maxSeqLen } = this;
    const { inner } = net.net;
    const [batch, given] = start.shape as [number, number];
    const length = Math.min(given, maxSeqLen);
    // The last tokens that are given, and places for more: no step then differs from the others.
    const withRoom = (x: Tensor, value: number): Tensor =>
      x.narrow(1, given - length, length).pad([0, seqLen], value);
    const tokens = withRoom(start, 0);
    const mask = inputMask && withRoom(inputMask, 1);
    const ended = zeros([batch], { device: inner.device, dtype: "bool" });
    // The original waits for a step in which all sequences end at once.
    const isOriginal = inner.plan.compat !== null;
    let state = inner.canStream ? net.net.initState(batch, { masked: mask !== null }) : null;
    let number = 0;
    const step = (): void => {
      const end = length + number;
      if (end > maxSeqLen) state = null;
      // A state knows all tokens but the last; without one the model sees them again.
      const size = state !== null && number > 0 ? 1 : Math.min(end, maxSeqLen);
      const last = (x: Tensor): Tensor => x.dynamicSlice(1, end - size, size);
      const call = { ...rest, inputMask: mask && last(mask), state };
      const token = draw(net.forward(last(tokens), call).select(1, size - 1));
      tokens.assign(tokens.dynamicUpdate(1, token.unsqueeze(1), end));
      number++;
      if (eosToken === null) return;
      const isEnd = token.eq(eosToken);
      ended.assign(isOriginal ? isEnd : ended.logicalOr(isEnd));
    };
    const wasTraining = net.training;
    net.eval();
    try {
      await realize(tokens, ended, mask ?? ended);
      do {
        noGrad(step);
        await realize(tokens, ended);
      } while (number < seqLen && (eosToken === null || (await ended.data()).includes(0)));
    } finally {
      net.train(wasTraining);
    }
    let drawn = tokens.narrow(1, length, number);
    if (eosToken !== null && !isOriginal) {
      const isEnd = drawn.eq(eosToken).int();
      drawn = drawn.where(isEnd.cumsum(1).sub(isEnd).eq(0), this.padValue);
    }
    return (startTokens.rank === 1 ? drawn.squeeze(0) : drawn).realize();
  }

  /** Sequences, perhaps of different lengths, as one tensor, without the last tokens of each. */
  private filledUp(x: Tensor | readonly Tensor[], without: number = 0): Tensor {
    if (x instanceof Tensor) return without === 0 ? x : x.narrow(1, 0, x.shape[1]! - without);
    checkShape(
      owner,
      x.length > 0 && x.every(({ rank, size }) => rank === 1 && size > 0),
      x,
      (shapes) =>
        `a list of sequences holds tensors int32 [length], got ${shapes || "none"}. Pass sequences of at least one token, for a loss of two.`,
    );
    const longest = Math.max(...x.map(({ size }) => size)) - without;
    return stack(
      x.map((part) => {
        const kept = part.size - without;
        return part.narrow(0, 0, kept).pad([0, longest - kept], this.padValue);
      }),
    );
  }
}
