/** Predicting one sequence from another. */

import { fromData, type Tensor } from "@x/tensor";
import { checkNumbers, probability, wholeFrom } from "@x/tensor/checks";
import type { Module } from "@x/tensor/nn";
import type { Tokens } from "../data/token-windows.js";
import { checkPadding, maskOf, paddedLength, paddedRows, type Padding } from "./inputs.js";
import { ignoredTarget, tokenLoss, tokenMetricNames, TokenMeter } from "./language-modelling.js";
import type { Batch, Task } from "./task.js";

/** Two sequences of tokens, without begin and end. */
export interface SequencePair {
  /** What is given. */
  readonly source: Tokens;
  /** What is to be predicted. */
  readonly target: Tokens;
}

/** What a model of two sequences is called with besides them. */
export interface SequencePairCall {
  /** Bool `[batch, sourceLength]`: true for tokens, false for padding; `null`: all are tokens. */
  readonly sourceKeyMask?: Tensor | null;
}

/** A model that reads a source and gives logits for the token after each of the target. */
export interface SequencePairModel extends Module {
  /** int32 `[batch, sourceLength]` and `[batch, length]` to `[batch, length, vocabSize]` */
  forward(source: Tensor, target: Tensor, call?: SequencePairCall): Tensor;
}

/** Sources, what the decoder reads, and what it is to predict. */
export interface SequencePairBatch extends Batch {
  /** int32 `[batch, sourceLength]` */
  readonly source: Tensor;
  /** Bool `[batch, sourceLength]`, or `null` where nothing is padded. */
  readonly sourceKeyMask: Tensor | null;
  /** int32 `[batch, length]`: the begin token and the target. */
  readonly target: Tensor;
  /** int32 `[batch · length]`: the target and the end token; −100 in padding. */
  readonly targets: Tensor;
}

/** Options of {@link sequenceToSequence}. */
export interface SequenceToSequenceOptions {
  /** What the decoder reads first. */
  readonly beginToken: number;
  /** What is predicted after the target. */
  readonly endToken: number;
  /** The token that stands in padding. Default 0. */
  readonly padToken?: number;
  /** To what both sides are padded, each for itself. Default `"bucket"`. */
  readonly padding?: Padding;
  /** How much of the target probability is spread evenly over all tokens. Default 0. */
  readonly labelSmoothing?: number;
}

/**
 * The task of predicting a sequence from another, such as a translation: the decoder reads the begin
 * token and the target and is compared with the target and the end token. Metrics as for
 * {@link languageModelling}.
 *
 * @throws XError `argument` if an option is out of range
 * @example
 * ```ts
 * const task = sequenceToSequence({ beginToken: 1, endToken: 2, padding: "longest" });
 * const { target, targets } = task.collate([{ source: [5, 6], target: [7, 8] }]);
 * console.log(await target.toArray(), await targets.toArray()); // → [ [ 1, 7, 8 ] ] [ 7, 8, 2 ]
 * ```
 */
export function sequenceToSequence(
  options: SequenceToSequenceOptions,
): Task<SequencePairModel, SequencePair, SequencePairBatch> {
  const op = "sequenceToSequence";
  const { beginToken, endToken, padToken = 0, padding = "bucket", labelSmoothing = 0 } = options;
  checkNumbers(op, wholeFrom(0), { beginToken, endToken, padToken });
  checkPadding(op, padding);
  checkNumbers(op, probability, { labelSmoothing });
  const logits = (model: SequencePairModel, batch: SequencePairBatch): Tensor =>
    model.forward(batch.source, batch.target, { sourceKeyMask: batch.sourceKeyMask });
  return {
    name: "sequence to sequence",
    metricNames: tokenMetricNames,
    lengthOf: ({ source, target }) => Math.max(source.length, target.length + 1),
    collate(examples) {
      const rows = examples.length;
      const sources = examples.map(({ source }) => source);
      const lengths = sources.map(({ length }) => length);
      const sourceLength = paddedLength(op, Math.max(...lengths), padding);
      const targets = examples.map(({ target }) => Array.prototype.slice.call(target) as number[]);
      const longest = Math.max(...targets.map(({ length }) => length + 1));
      const length = paddedLength(op, longest, padding);
      const read = targets.map((target) => [beginToken, ...target]);
      const predicted = targets.map((target) => [...target, endToken]);
      return {
        source: fromData(paddedRows(sources, sourceLength, padToken), [rows, sourceLength]),
        sourceKeyMask: maskOf(lengths, sourceLength),
        target: fromData(paddedRows(read, length, padToken), [rows, length]),
        targets: fromData(paddedRows(predicted, length, ignoredTarget), [rows * length]),
        count: predicted.reduce((sum, row) => sum + row.length, 0),
      };
    },
    loss: (model, batch) => tokenLoss(op, logits(model, batch), batch.targets, labelSmoothing),
    meter: () => new TokenMeter(op, logits),
  };
}
