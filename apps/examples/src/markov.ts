/** Markov models of bytes, to compare language models with. */

/** How often each byte followed a context, and how often any did. */
interface Followers {
  readonly counts: Map<number, number>;
  total: number;
}

/**
 * Predicts a byte from the `order` bytes before it, at most six, by what followed them in the text it
 * was made of. Contexts that were seen rarely lean on shorter ones, as Witten and Bell have it (1991): of
 * a context that was seen n times, with t different bytes after it, the shorter one has the weight
 * t / (n + t).
 */
export class MarkovModel {
  readonly order: number;
  private readonly followers = new Map<number, Followers>();

  constructor(text: Uint8Array, order: number) {
    this.order = order;
    for (let i = order; i < text.length; i++) {
      for (let length = 0; length <= order; length++) {
        const context = contextOf(text, i, length);
        let found = this.followers.get(context);
        if (found === undefined) {
          found = { counts: new Map<number, number>(), total: 0 };
          this.followers.set(context, found);
        }
        found.counts.set(text[i]!, (found.counts.get(text[i]!) ?? 0) + 1);
        found.total++;
      }
    }
  }

  /** The probability of the byte at a place, from those before it. */
  probability(text: Uint8Array, place: number): number {
    let probability = 1 / 256;
    for (let length = 0; length <= this.order; length++) {
      const found = this.followers.get(contextOf(text, place, length));
      if (found === undefined) break;
      const { counts, total } = found;
      const seen = counts.get(text[place]!) ?? 0;
      probability = (seen + counts.size * probability) / (total + counts.size);
    }
    return probability;
  }

  /** The mean of −log₂ of the probabilities of all bytes but the first. */
  bitsPerByte(text: Uint8Array): number {
    let bits = 0;
    for (let i = this.order; i < text.length; i++) bits -= Math.log2(this.probability(text, i));
    return bits / (text.length - this.order);
  }
}

/** The `length` bytes before a place as the digits of a number; a 1 before them tells how many. */
function contextOf(text: Uint8Array, place: number, length: number): number {
  let context = 1;
  for (let i = place - length; i < place; i++) context = context * 256 + text[i]!;
  return context;
}
