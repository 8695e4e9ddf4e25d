/** The logits of what comes next, with what the model remembers or by computing all again. */

import { fromData, noGrad, realize, type Device, type Tensor } from "@x/tensor";
import { forkState, type Module } from "@x/tensor/nn";
import type { LanguageModel, ModelState } from "../model/language-model.js";
import { PaddedSequences } from "./prompts.js";

/** Options of {@link Decoding}. */
export interface DecodingOptions {
  /** How many tokens a sequence will have at most. */
  readonly capacity: number;
  readonly prefillChunkSize: number;
  readonly useCache: boolean;
  readonly padTokenId: number;
  readonly device: Device;
}

/** Without a cache, sequences are padded to a multiple of it, so that few steps compile anything. */
const lengthStep = 32;

/** Goes through sequences, one a row, token by token. */
export class Decoding {
  private readonly model: LanguageModel;
  private readonly options: DecodingOptions;
  private state: ModelState | null = null;

  constructor(model: LanguageModel, options: DecodingOptions) {
    this.model = model;
    this.options = options;
  }

  /** What is to be computed together with logits, so that nothing is left for later. */
  get pending(): readonly Tensor[] {
    return this.state === null ? [] : Object.values(this.state);
  }

  /**
   * The logits [rows, vocabSize] of the next tokens, to be computed. The sequences have grown by a token
   * each since the last call.
   */
  async logits(sequences: readonly (readonly number[])[]): Promise<Tensor> {
    const { model, options, state } = this;
    if (!options.useCache) {
      // On the right, where no token sees it: all that stands before stays where it was.
      const padding = { side: "right", multiple: lengthStep } as const;
      const padded = new PaddedSequences(sequences, options, padding);
      const [tokens, keyMask] = [padded.tokens(0, padded.length), padded.mask(0, padded.length)];
      return inference(model, () => model.next(tokens, { keyMask }));
    }
    if (state === null)
      return this.prefill(new PaddedSequences(sequences, options, { side: "left" }));
    const last = Int32Array.from(sequences, (sequence) => sequence.at(-1)!);
    const tokens = fromData(last, [last.length, 1], { device: options.device });
    return inference(model, () => model.next(tokens, { state }));
  }

  /** Each row goes on from one of the rows so far; there may be more rows than before. */
  async select(rows: readonly number[]): Promise<void> {
    const { state } = this;
    if (state === null) return;
    const batch = state.position.shape[0]!;
    if (rows.length === batch && rows.every((row, i) => row === i)) return;
    const index = fromData(Int32Array.from(rows), [rows.length], { device: this.options.device });
    if (rows.length === batch) {
      for (const tensor of Object.values(state)) {
        if (tensor.rank > 0) tensor.assign(tensor.indexSelect(0, index));
      }
      await realize(...Object.values(state));
      return;
    }
    const selected = forkState(state, index);
    await realize(...Object.values(selected));
    this.dispose();
    this.state = selected;
  }

  /** Releases what was remembered. */
  dispose(): void {
    for (const tensor of this.pending) tensor.dispose();
    this.state = null;
  }

  /** Goes through the prompts, all but the last part without their logits. */
  private async prefill(prompts: PaddedSequences): Promise<Tensor> {
    const { model } = this;
    const { capacity, prefillChunkSize, device } = this.options;
    const masked = prompts.isPadded;
    const batch = prompts.tokens(0, 1).shape[0]!;
    const state = inference(model, () => model.initState({ batch, capacity, masked, device }));
    this.state = state;
    const next = (start: number, count: number): Tensor => {
      const keyMask = masked ? prompts.mask(start, count) : null;
      return inference(model, () => model.next(prompts.tokens(start, count), { state, keyMask }));
    };
    let start = 0;
    for (; prompts.length - start > prefillChunkSize; start += prefillChunkSize) {
      next(start, prefillChunkSize);
      await realize(...this.pending);
    }
    return next(start, prompts.length - start);
  }
}

/** Records what the model computes, without gradients and dropout. */
function inference<T>(model: Module, record: () => T): T {
  const { training } = model;
  if (training) model.eval();
  try {
    return noGrad(record);
  } finally {
    if (training) model.train();
  }
}
