/**
 * Draws: the source of randomness that operations take, and how `checkpoint` repeats it.
 *
 * A draw names a block of random numbers; the numbers themselves are a function of it (see
 * `ops/random.ts`), so drawing again from the same draw gives the same numbers.
 */

/** Names the random numbers of one call. All parts are unsigned 32-bit words. */
export interface Draw {
  readonly key0: number;
  readonly key1: number;
  /** How many draws the generator had made before. */
  readonly counter: number;
}

const recorders: Draw[][] = [];
let replayed: { readonly draws: readonly Draw[]; next: number } | null = null;

/** The next draw: from `make`, or during a repetition the one made the first time. */
export function takeDraw(make: () => Draw): Draw {
  const draw = replayed?.draws[replayed.next++] ?? make();
  for (const recorder of recorders) recorder.push(draw);
  return draw;
}

/** Runs `body` and lists the draws it took. */
export function recordDraws<T>(body: () => T): { readonly result: T; readonly draws: Draw[] } {
  const draws: Draw[] = [];
  recorders.push(draws);
  try {
    return { result: body(), draws };
  } finally {
    recorders.splice(recorders.lastIndexOf(draws), 1);
  }
}

/** Runs `body` again with the draws of an earlier run. */
export function replayDraws<T>(draws: readonly Draw[], body: () => T): T {
  const before = replayed;
  replayed = { draws, next: 0 };
  try {
    return body();
  } finally {
    replayed = before;
  }
}
