/** One run of generation: what its steps have in common. */

import { fromData, getDevice, noGrad, realize, type Device, type Tensor } from "@x/tensor";
import { check, formatShape, sameShape } from "@x/tensor/checks";
import type { LanguageModel } from "../model/language-model.js";
import type { Hypothesis } from "./beam-group.js";
import { beamSearch } from "./beam-search.js";
import { decodingOf, type RowDecoding } from "./row-decoding.js";
import { GeneratedRow } from "./generated-row.js";
import type { BeamSettings, Settings } from "./options.js";
import { drawTokens, penalizeRepetition } from "./sampling.js";

type Sequences = readonly (readonly number[])[];

/** What beam search found for a prompt. */
export interface Found extends Hypothesis {
  readonly prompt: readonly number[];
}

/** How many tokens are generated if nobody says. */
const defaultLength = 256;

/** Capacities are a multiple of it, so that prompts of similar lengths share plans. */
const capacityStep = 64;

/** A model, prompts, and what they are gone on with. */
export class GenerationRun {
  readonly maxNewTokens: number;
  private readonly prompts: Sequences;
  private readonly settings: Settings;
  private readonly vocabSize: number;
  private readonly device: Device;
  private readonly capacity: number;
  private readonly decoding: RowDecoding;

  constructor(model: LanguageModel, prompts: Sequences, settings: Settings) {
    const { maxSeqLen, vocabSize } = model.config;
    const longest = Math.max(...prompts.map(({ length }) => length));
    // The last token is not given to the model any more. Whether a longer prompt fits, the model knows.
    const fitting = longest > maxSeqLen ? defaultLength : maxSeqLen + 1 - longest;
    this.maxNewTokens = settings.maxNewTokens ?? Math.min(defaultLength, fitting);
    const needed = longest + this.maxNewTokens - 1;
    const rounded = Math.ceil(needed / capacityStep) * capacityStep;
    this.capacity = needed > maxSeqLen ? needed : Math.min(rounded, maxSeqLen);
    this.prompts = prompts;
    this.settings = settings;
    this.vocabSize = vocabSize!;
    this.device = model.parameters()[0]?.device ?? getDevice();
    const { capacity, device } = this;
    this.decoding = decodingOf(model, prompts, { ...settings, capacity, device });
  }

  /** The sequences to be generated: one for each prompt, or those that were found. */
  rows(found: readonly Found[] | null): GeneratedRow[] {
    const prompts = found?.map(({ prompt }) => prompt) ?? this.prompts;
    return prompts.map((prompt) => new GeneratedRow(prompt, this.settings));
  }

  /** Draws the next token of each row. */
  async draw(rows: readonly GeneratedRow[], step: number): Promise<ArrayLike<number>> {
    const { decoding, settings } = this;
    const sequences = rows.map(({ sequence }) => sequence);
    const logits = await decoding.logits(sequences);
    const drawn = noGrad(() =>
      drawTokens(this.process(logits, { sequences, step }), settings.sampling),
    );
    // Reading computes the whole step; what is left then is what the token does not depend on.
    const [tokens] = await Promise.all([drawn.data(), realize(...decoding.pending)]);
    drawn.dispose();
    return tokens;
  }

  /** Searches for the best sequences. */
  async search(beams: BeamSettings): Promise<Found[]> {
    const { prompts, settings, decoding, device, maxNewTokens } = this;
    const { stopTokens, stopStrings, tokenizer, signal } = settings;
    const found = await beamSearch(decoding, prompts, {
      beams,
      maxNewTokens,
      stopCount: stopTokens.size,
      hasEnded: (tokens) => {
        if (stopTokens.has(tokens.at(-1)!)) return true;
        if (stopStrings.length === 0) return false;
        const text = tokenizer!.decode(tokens);
        return stopStrings.some((string) => text.includes(string));
      },
      process: (scores, context) => this.process(scores, context),
      signal,
      device,
    });
    return found.flatMap((hypotheses, i) =>
      hypotheses
        .slice(0, beams.numReturnSequences)
        .map((hypothesis) => ({ ...hypothesis, prompt: prompts[i]! })),
    );
  }

  /** Releases what the model remembered. */
  dispose(): void {
    this.decoding.dispose();
  }

  /** The logits after the repetition penalty and the processors. */
  private process(logits: Tensor, context: { sequences: Sequences; step: number }): Tensor {
    const { logitsProcessors, repetitionPenalty } = this.settings;
    const { sequences } = context;
    const shape = [sequences.length, this.vocabSize];
    check(
      sameShape(logits.shape, shape),
      "shape",
      () =>
        `generate: the model must give logits ${formatShape(shape)} of the next tokens, got ${formatShape(logits.shape)}. Give it a head that predicts tokens.`,
    );
    let result = logits;
    if (repetitionPenalty !== 1) {
      result = penalizeRepetition(result, this.seen(sequences), repetitionPenalty);
    }
    for (const change of logitsProcessors) {
      result = change(result, context);
      check(
        sameShape(result.shape, shape),
        "shape",
        () =>
          `generate: a logits processor must give logits ${formatShape(shape)}, got ${formatShape(result.shape)}. Keep the shape.`,
      );
    }
    return result;
  }

  /** The tokens of sequences, always as many: the first again where there are fewer. */
  private seen(sequences: Sequences): Tensor {
    const { capacity, device } = this;
    const data = new Int32Array(sequences.length * capacity);
    sequences.forEach((sequence, row) => {
      const part = data.subarray(row * capacity, (row + 1) * capacity);
      part.fill(sequence[0]!);
      part.set(sequence);
    });
    return fromData(data, [sequences.length, capacity], { device });
  }
}
