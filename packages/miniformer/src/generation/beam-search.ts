/** Beam search, also with groups of beams that keep their distance. */

import { fromData, noGrad, realize, type Device, type Tensor } from "@x/tensor";
import { BeamGroup, type Beam, type Candidate, type Hypothesis } from "./beam-group.js";
import type { BeamSettings, LogitsContext } from "./options.js";
import type { RowDecoding } from "./row-decoding.js";

/** What beam search works with. */
export interface BeamSearchOptions {
  readonly beams: BeamSettings;
  readonly maxNewTokens: number;
  /** How many tokens end a sequence. */
  readonly stopCount: number;
  /** Whether a sequence, the prompt not included, has ended with its last token. */
  readonly hasEnded: (tokens: readonly number[]) => boolean;
  /** Changes the scores of tokens [rows, vocabSize]. */
  readonly process: (scores: Tensor, context: LogitsContext) => Tensor;
  readonly signal: AbortSignal | null;
  readonly device: Device;
}

/**
 * The likeliest sequences after each prompt, best first, as Hugging Face's library searches for them.
 *
 * The device gives the best candidates of each group, and reorders what the model remembers; which of
 * them go on is decided here. Without the penalty for tokens of earlier groups, which is known only
 * here: so many more candidates are asked for as it may set back.
 */
export async function beamSearch(
  decoding: RowDecoding,
  prompts: readonly (readonly number[])[],
  options: BeamSearchOptions,
): Promise<Hypothesis[][]> {
  const { signal, process, device } = options;
  const { numBeams, groups } = options.beams;
  const size = numBeams / groups;
  const wanted = Math.max(2, 1 + options.stopCount) * size;
  const searches = prompts.map(() =>
    Array.from({ length: groups }, () => new BeamGroup({ ...options.beams, ...options, size })),
  );
  let sequences: readonly (readonly number[])[] = prompts;
  // All beams of a prompt begin as one row.
  let scores: Tensor | null = null;
  for (let step = 0; ; step++) {
    signal?.throwIfAborted();
    const logits = await decoding.logits(sequences);
    const vocabSize = logits.shape[1]!;
    const own = scores === null ? 1 : size;
    const count = Math.min(wanted + own * (numBeams - size), own * vocabSize);
    const best = noGrad(() => {
      const tokens = process(logits.logSoftmax(-1), { sequences, step });
      const joined = scores === null ? tokens : tokens.add(scores);
      const rows = scores === null ? prompts.length : prompts.length * groups;
      return joined.reshape([rows, own * vocabSize]).topk(count);
    });
    await realize(best.values, best.indices, ...decoding.pending);
    const [sums, places] = [await best.values.data(), await best.indices.data()];
    for (const tensor of [best.values, best.indices]) tensor.dispose();
    searches.forEach((search, prompt) => {
      const chosen = new Map<number, number>();
      search.forEach((group, i) => {
        const row = scores === null ? prompt : prompt * groups + i;
        const found = Array.from({ length: count }, (_, rank) => {
          const place = places[row * count + rank]!;
          const [origin, token] = [Math.floor(place / vocabSize), place % vocabSize];
          return { origin, token, score: sums[row * count + rank]! };
        });
        group.advance(penalized(found, chosen, options.beams.diversityPenalty).slice(0, wanted));
        for (const { tokens, score } of group.beams) {
          const token = tokens.at(-1)!;
          if (score > -Infinity) chosen.set(token, (chosen.get(token) ?? 0) + 1);
        }
      });
    });
    if (searches.every((search) => search.every(({ isDone }) => isDone))) break;
    const beams = searches.flatMap((search, prompt) =>
      search.flatMap((group, i) =>
        group.beams.map((beam) => ({ beam, prompt, row: (prompt * groups + i) * size })),
      ),
    );
    await decoding.select(
      beams.map(({ beam, prompt, row }) => (scores === null ? prompt : row + beam.origin)),
    );
    sequences = beams.map(({ beam, prompt }) => [...prompts[prompt]!, ...beam.tokens]);
    scores = fromData(scoresOf(beams), [beams.length, 1], { device });
  }
  return searches.map((search) =>
    search.flatMap(({ finished }) => finished).sort((a, b) => b.score - a.score),
  );
}

function scoresOf(beams: readonly { readonly beam: Beam }[]): Float32Array {
  return Float32Array.from(beams, ({ beam }) => beam.score);
}

/** The candidates in order, after the penalty for each time that a token was chosen before. */
function penalized(
  found: readonly Candidate[],
  chosen: ReadonlyMap<number, number>,
  penalty: number,
): readonly Candidate[] {
  if (penalty === 0) return found;
  return found
    .map((candidate) => ({
      ...candidate,
      score: candidate.score - penalty * (chosen.get(candidate.token) ?? 0),
    }))
    .sort((a, b) => b.score - a.score);
}
