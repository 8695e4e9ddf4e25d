/** Which token comes next. */

import type { Tensor } from "@x/tensor";
import { categorical, type Generator } from "@x/tensor/random";

/** How tokens are drawn; `null` leaves a filter out. */
export interface Sampling {
  readonly temperature: number;
  readonly topK: number | null;
  readonly topP: number | null;
  readonly minP: number | null;
  readonly generator: Generator;
}

/** Logits of the tokens that may be drawn, −∞ for the others, and which tokens they belong to. */
export interface Candidates {
  readonly logits: Tensor;
  /** int32, of the shape of the logits; `null` if they stand in order. */
  readonly tokens: Tensor | null;
}

/**
 * Makes tokens less likely that came before: positive logits are divided by the penalty, negative
 * ones multiplied.
 *
 * @param seen int32 [rows, number]: the tokens that came before, perhaps several times
 */
export function penalizeRepetition(logits: Tensor, seen: Tensor, penalty: number): Tensor {
  const found = logits.gather(1, seen);
  const penalized = found.mul(penalty).where(found.lt(0), found.div(penalty));
  return logits.scatter(1, seen, penalized);
}

/**
 * Divides logits [rows, vocabSize] by the temperature and filters them: the `topK` largest, the
 * fewest that together have the probability `topP`, those that are at least `minP` times as likely as
 * the likeliest.
 */
export function filterLogits(logits: Tensor, sampling: Omit<Sampling, "generator">): Candidates {
  const { temperature, topK, topP, minP } = sampling;
  const { values, indices } =
    topK !== null && topK < logits.shape[1]!
      ? logits.topk(topK)
      : topP !== null
        ? logits.sort(-1, { descending: true })
        : { values: logits, indices: null };
  let kept = values.div(temperature);
  if (topP !== null) {
    const probabilities = kept.softmax(-1);
    const before = probabilities.cumsum(-1).sub(probabilities);
    kept = kept.maskedFill(before.ge(topP), -Infinity);
  }
  if (minP !== null) {
    const least = kept.amax(-1, { keepdim: true }).add(Math.log(minP));
    kept = kept.maskedFill(kept.lt(least), -Infinity);
  }
  return { logits: kept, tokens: indices };
}

/** Draws a token a row; the likeliest where `sampling` is `null`. Int32 [rows]. */
export function drawTokens(logits: Tensor, sampling: Sampling | null): Tensor {
  if (sampling === null) return logits.argmax(-1);
  const { generator } = sampling;
  const candidates = filterLogits(logits, sampling);
  const drawn = categorical(candidates.logits, { generator });
  if (candidates.tokens === null) return drawn;
  return candidates.tokens.gather(1, drawn.unsqueeze(1)).squeeze(1);
}
