/** Orders that follow from a seed: the same whenever they are asked for. */

/** A well mixed unsigned 32-bit word of several numbers (the finaliser of MurmurHash3 between them). */
export function mixed(...numbers: readonly number[]): number {
  let state = 0x9e3779b9;
  for (const number of numbers) {
    for (const word of [number >>> 0, Math.floor(number / 2 ** 32) >>> 0]) {
      state = (Math.imul(state ^ word, 0x85ebca6b) + 0x6d2b79f5) >>> 0;
      state = Math.imul(state ^ (state >>> 16), 0x85ebca6b);
      state = Math.imul(state ^ (state >>> 13), 0xc2b2ae35);
      state = (state ^ (state >>> 16)) >>> 0;
    }
  }
  return state;
}

/** Whole numbers below a limit that follow from a seed (a counter, mixed). */
export function drawsOf(...seed: readonly number[]): (limit: number) => number {
  const start = mixed(...seed);
  let count = 0;
  return (limit) => Math.floor((mixed(start, count++) / 2 ** 32) * limit);
}

/** The items in an order that follows from the seed, in place (Fisher and Yates). */
export function shuffle<T extends Uint32Array | unknown[]>(
  items: T,
  ...seed: readonly number[]
): T {
  const draw = drawsOf(...seed);
  for (let i = items.length - 1; i > 0; i--) {
    const j = draw(i + 1);
    [items[i], items[j]] = [items[j]!, items[i]!];
  }
  return items;
}

/** The numbers below `count` in an order that follows from the seed. */
export function permutation(count: number, ...seed: readonly number[]): Uint32Array {
  return shuffle(
    Uint32Array.from({ length: count }, (_, i) => i),
    ...seed,
  );
}
