/** Logits of the next token, one token at a time. */

import { cat, ones, type Tensor } from "@x/tensor";
import type {
  LanguageModelCall,
  LanguageModelState,
  LinearAttentionTransformerLM,
} from "../transformer/language-model.js";
import type { Autopadder } from "./autopadder.js";
import type { GeneratedTokens } from "./generated-tokens.js";

/** The last tokens that a model sees, and their mask. */
interface Window {
  readonly tokens: Tensor;
  readonly mask: Tensor | null;
}

/**
 * Goes through a sequence: with a state as long as it fits into the positions of the model, then, as
 * the original does all the time, by computing the last tokens again.
 */
export class Decoder {
  /** The logits of the next token, [batch, numTokens]. */
  logits: Tensor;
  readonly #net: Autopadder<LinearAttentionTransformerLM>;
  readonly #start: Window;
  readonly #context: LanguageModelCall;
  #state: LanguageModelState | null;
  #window: Window | null = null;

  /** @param start the tokens that are given, int32 [batch, length] */
  constructor(
    net: Autopadder<LinearAttentionTransformerLM>,
    start: Tensor,
    { inputMask = null, ...context }: LanguageModelCall,
  ) {
    const model = net.net;
    this.#net = net;
    this.#context = context;
    this.#start = this.#cut({ tokens: start, mask: inputMask });
    const { tokens, mask } = this.#start;
    const masked = mask !== null;
    this.#state = model.inner.canStream ? model.initState(tokens.shape[0], { masked }) : null;
    if (this.#state === null) this.#window = this.#start;
    this.logits = lastOf(net.forward(tokens, { ...context, inputMask: mask, state: this.#state }));
  }

  /** What the next step needs and has not been computed: to be computed together. */
  get pending(): readonly Tensor[] {
    const { tokens, mask } = this.#window ?? {};
    return [this.logits, ...(tokens ? [tokens] : []), ...(mask ? [mask] : [])];
  }

  /** Goes on by a token for each sequence, int32 [batch], the last of those that were generated. */
  advance(token: Tensor, generated: GeneratedTokens): void {
    const next = token.unsqueeze(1);
    const length = this.#start.tokens.shape[1]! + generated.length;
    if (this.#state !== null && length <= this.#net.net.maxSeqLen) {
      this.logits = lastOf(this.#net.forward(next, { ...this.#context, state: this.#state }));
      return;
    }
    this.#state = null;
    this.#window =
      this.#window === null
        ? this.#extend(this.#start, generated.tokens.narrow(1, 0, generated.length))
        : this.#extend(this.#window, next);
    const { tokens, mask: inputMask } = this.#window;
    this.logits = lastOf(this.#net.forward(tokens, { ...this.#context, inputMask }));
  }

  #extend({ tokens, mask }: Window, next: Tensor): Window {
    return this.#cut({
      tokens: cat([tokens, next], 1),
      mask: mask && cat([mask, ones(next.shape, { dtype: "bool" })], 1),
    });
  }

  /** The last tokens, as many as the model has positions. */
  #cut({ tokens, mask }: Window): Window {
    const length = tokens.shape[1]!;
    const kept = Math.min(length, this.#net.net.maxSeqLen);
    const last = (x: Tensor): Tensor => x.narrow(1, length - kept, kept);
    return { tokens: last(tokens), mask: mask && last(mask) };
  }
}

/** The logits of the last position. */
function lastOf(logits: Tensor): Tensor {
  return logits.select(1, logits.shape[1]! - 1);
}
