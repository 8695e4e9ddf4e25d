/** The bookkeeping of beam search. */

import { check } from "@x/tensor/checks";
import type { BeamSettings } from "./options.js";

/** A sequence on the way. */
export interface Beam {
  /** What was generated. */
  readonly tokens: readonly number[];
  /** The sum of the scores of its tokens; −∞ for one that only fills a place. */
  readonly score: number;
  /** Which beam of its group, one step before, it goes on from. */
  readonly origin: number;
}

/** A sequence that has ended. */
export interface Hypothesis {
  readonly tokens: readonly number[];
  /** The sum of the scores of its tokens, divided by their number to the power of the length penalty. */
  readonly score: number;
}

/** A token that may come next. */
export interface Candidate {
  /** Which beam of the group it goes on from. */
  readonly origin: number;
  readonly token: number;
  /** The score of the beam with this token. */
  readonly score: number;
}

/** What a group of beams needs to know. */
export interface BeamGroupOptions extends Pick<BeamSettings, "lengthPenalty" | "earlyStopping"> {
  /** How many beams it has. */
  readonly size: number;
  readonly maxNewTokens: number;
  /** Whether a sequence has ended with its last token. */
  readonly hasEnded: (tokens: readonly number[]) => boolean;
}

/** Beams that compete with each other, and the best sequences among them that have ended. */
export class BeamGroup {
  /** The beams, best first, always as many as the group has. */
  beams: readonly Beam[];
  /** The best sequences that have ended, best first. */
  finished: readonly Hypothesis[] = [];
  /** Whether the search is over. */
  isDone = false;
  private readonly options: BeamGroupOptions;

  constructor(options: BeamGroupOptions) {
    this.options = options;
    this.beams = Array.from({ length: options.size }, (_, i) => ({
      tokens: [],
      score: i === 0 ? 0 : -Infinity,
      origin: 0,
    }));
  }

  /**
   * Goes on by a token.
   *
   * @param candidates the best ones, best first: enough that `size` of them do not end a sequence
   */
  advance(candidates: readonly Candidate[]): void {
    const { size, maxNewTokens, hasEnded } = this.options;
    const before = this.beams;
    const length = before[0]!.tokens.length + 1;
    const isLast = length === maxNewTokens;
    const beams: Beam[] = [];
    candidates.forEach(({ origin, token, score }, rank) => {
      if (this.isDone || score === -Infinity) return;
      const tokens = [...before[origin]!.tokens, token];
      const ends = hasEnded(tokens);
      // What ends further behind is there only so that enough others are left.
      if ((ends || isLast) && rank < size) {
        this.finish({ tokens, score: this.normalized(score, length) });
      }
      if (!ends && beams.length < size) beams.push({ tokens, score, origin });
    });
    check(
      this.isDone || beams.length > 0 || this.finished.length > 0,
      "argument",
      () =>
        "generate: at each step some token must be possible, got logits of −∞ only. Correct the logits processors.",
    );
    this.isDone ||= isLast || beams.length === 0 || this.cannotImprove(beams[0]!, length);
    const [first] = beams.length > 0 ? beams : before;
    while (beams.length < size) {
      const tokens = [...first!.tokens, 0].slice(0, length);
      beams.push({ tokens, score: -Infinity, origin: first!.origin });
    }
    this.beams = beams;
  }

  private cannotImprove(best: Beam, length: number): boolean {
    const { size, maxNewTokens, lengthPenalty, earlyStopping } = this.options;
    if (this.finished.length < size) return false;
    if (earlyStopping === true) return true;
    const isLongest = earlyStopping === "never" && lengthPenalty > 0;
    const possible = this.normalized(best.score, isLongest ? maxNewTokens : length);
    return possible <= this.finished.at(-1)!.score;
  }

  private normalized(score: number, length: number): number {
    return score / length ** this.options.lengthPenalty;
  }

  private finish(hypothesis: Hypothesis): void {
    this.finished = [...this.finished, hypothesis]
      .sort((a, b) => b.score - a.score)
      .slice(0, this.options.size);
  }
}
