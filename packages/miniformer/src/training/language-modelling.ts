/** Predicting the next token. */

import { crossEntropy, fromData, noGrad, realize, type Tensor } from "@x/tensor";
import { check, checkNumbers, nonNegative, probability, wholeFrom } from "@x/tensor/checks";
import type { Module } from "@x/tensor/nn";
import type { Tokens } from "../data/token-windows.js";
import { checkOutput, checkPadding, paddedLength, paddedRows, type Padding } from "./inputs.js";
import type { Batch, Meter, Metrics, Task } from "./task.js";

/** Targets that do not count have this number: what `crossEntropy` ignores. */
export const ignoredTarget = -100;

/** A model that gives logits for the token after each. */
export interface NextTokenModel extends Module {
  /** int32 `[batch, length]` to `[batch, length, vocabSize]` */
  forward(tokens: Tensor): Tensor;
}

/** Tokens, and the token after each. */
export interface TokenBatch extends Batch {
  /** int32 `[batch, length]` */
  readonly tokens: Tensor;
  /** int32 `[batch · length]`; −100 where nothing is to be predicted. */
  readonly targets: Tensor;
  /** How many bytes the targets stand for, if that is known. */
  readonly bytes: number | null;
}

/** Options of {@link languageModelling}. */
export interface LanguageModellingOptions {
  /** To what windows are padded, counted in predicted tokens. Default `"bucket"`. */
  readonly padding?: Padding;
  /** The token that stands in padding; also where it stands in the data it is not predicted. */
  readonly padToken?: number | null;
  /**
   * How many bytes a token stands for: 1 for bytes, or a function of the token. With it the metrics
   * hold `bitsPerByte`, which can be compared between tokenizers.
   */
  readonly bytesPerToken?: number | ((token: number) => number) | null;
  /** How much of the target probability is spread evenly over all tokens. Default 0. */
  readonly labelSmoothing?: number;
}

/**
 * The task of predicting each token from those before it. An example of n tokens makes n − 1
 * predictions: the model reads all but the last and is compared with all but the first. Padding
 * stands at the end, where a causal model does not see it.
 *
 * The loss is the cross entropy in nats; the metrics are `loss`, `perplexity` (e^loss),
 * `bitsPerToken` (loss / ln 2), `accuracy` and, where `bytesPerToken` is given, `bitsPerByte`.
 *
 * @throws XError `argument` if an option is out of range
 * @example
 * ```ts
 * const task = languageModelling({ bytesPerToken: 1 });
 * const batch = task.collate([Uint8Array.of(1, 2, 3)]);
 * console.log(batch.tokens.shape, batch.count); // → [ 1, 8 ] 2
 * ```
 */
export function languageModelling(
  options: LanguageModellingOptions = {},
): Task<NextTokenModel, Tokens, TokenBatch> {
  const op = "languageModelling";
  const { padding = "bucket", padToken = null, bytesPerToken = null, labelSmoothing = 0 } = options;
  checkPadding(op, padding);
  if (padToken !== null) checkNumbers(op, wholeFrom(0), { padToken });
  checkNumbers(op, probability, { labelSmoothing });
  if (typeof bytesPerToken === "number") checkNumbers(op, nonNegative, { bytesPerToken });
  return {
    name: "language modelling",
    metricNames: [...tokenMetricNames, ...(bytesPerToken === null ? [] : ["bitsPerByte"])],
    lengthOf: (example) => example.length,
    collate(examples) {
      for (const example of examples) {
        check(
          example.length >= 2,
          "argument",
          () =>
            `${op}: an example must have at least two tokens, got ${example.length}. Leave it out.`,
        );
      }
      const longest = Math.max(...examples.map((example) => example.length - 1));
      const length = paddedLength(op, longest, padding);
      const rows = examples.map((example) => Array.prototype.slice.call(example) as number[]);
      const tokens = paddedRows(
        rows.map((row) => row.slice(0, -1)),
        length,
        padToken ?? 0,
      );
      const targets = paddedRows(
        rows.map((row) => row.slice(1)),
        length,
        ignoredTarget,
      );
      let count = 0;
      let bytes = 0;
      targets.forEach((target, i) => {
        if (target === padToken) targets[i] = ignoredTarget;
        else if (target !== ignoredTarget) {
          count++;
          bytes +=
            typeof bytesPerToken === "function" ? bytesPerToken(target) : (bytesPerToken ?? 0);
        }
      });
      return {
        tokens: fromData(tokens, [rows.length, length]),
        targets: fromData(targets, [targets.length]),
        count,
        bytes: bytesPerToken === null ? null : bytes,
      };
    },
    loss: (model, batch) =>
      tokenLoss(op, model.forward(batch.tokens), batch.targets, labelSmoothing),
    meter: () =>
      new TokenMeter(op, (model: NextTokenModel, batch: TokenBatch) => model.forward(batch.tokens)),
  };
}

/** The metrics of all tasks that predict tokens. */
export const tokenMetricNames: readonly string[] = [
  "loss",
  "perplexity",
  "bitsPerToken",
  "accuracy",
];

/** The logits `[batch, length, vocabSize]` as rows. */
function logitRows(op: string, logits: Tensor, targets: Tensor): Tensor {
  const { shape } = logits;
  checkOutput(
    op,
    logits,
    shape.length === 3 && shape[0]! * shape[1]! === targets.size,
    "logits [batch, length, vocabSize]",
  );
  return logits.reshape([-1, shape[2]!]);
}

/** The sum of the cross entropies of tokens. */
export function tokenLoss(
  op: string,
  logits: Tensor,
  targets: Tensor,
  labelSmoothing: number,
): Tensor {
  return crossEntropy(logitRows(op, logits, targets), targets, {
    reduction: "sum",
    ignoreIndex: ignoredTarget,
    labelSmoothing,
  });
}

/** Metrics of predicted tokens. */
export class TokenMeter<
  M extends Module,
  B extends Batch & { readonly targets: Tensor },
> implements Meter<M, B> {
  readonly #op: string;
  readonly #logits: (model: M, batch: B) => Tensor;
  #surprise = 0;
  #hits = 0;
  #count = 0;
  #bytes = 0;

  constructor(op: string, logits: (model: M, batch: B) => Tensor) {
    this.#op = op;
    this.#logits = logits;
  }

  async add(model: M, batch: B & { readonly bytes?: number | null }): Promise<void> {
    const { targets, count, bytes = null } = batch;
    const [surprise, hits] = noGrad(() => {
      const rows = logitRows(this.#op, this.#logits(model, batch), targets);
      return [
        crossEntropy(rows, targets, { reduction: "sum", ignoreIndex: ignoredTarget }),
        rows.argmax(-1).eq(targets).sum(),
      ] as const;
    });
    await realize(surprise, hits);
    this.#surprise += await surprise.item();
    this.#hits += await hits.item();
    this.#count += count;
    this.#bytes += bytes ?? 0;
  }

  metrics(): Metrics {
    const loss = this.#surprise / this.#count;
    return {
      loss,
      perplexity: Math.exp(loss),
      bitsPerToken: loss / Math.LN2,
      accuracy: this.#hits / this.#count,
      ...(this.#bytes === 0 ? {} : { bitsPerByte: this.#surprise / Math.LN2 / this.#bytes }),
    };
  }
}
