/** How a sequence is thinned: its length, its stride and its rounds. */

import { check, checkNumbers, positive, wholeFrom } from "@x/tensor/checks";

/** What thins a sequence. */
export interface Thinning {
  /** The length after taking every `stride`-th key, a power of four. */
  readonly length: number;
  /** log₄ of the length. */
  readonly log4N: number;
  readonly stride: number;
  /** Entries of a bucket in the first round: 4^(g + 1). */
  readonly bucket: number;
  /** Rounds of halving; 0 where the sequence is short enough already. */
  readonly rounds: number;
  /** How many keys are left: min(length, 2^g √length). */
  readonly outputs: number;
}

/**
 * The exponent of the largest power of four that is not above n.
 *
 * @throws XError `argument` unless n is a whole number above 0
 * @example
 * ```ts
 * console.log(log4LargestPowerOfFour(63), log4LargestPowerOfFour(64)); // → 2 3
 * ```
 */
export function log4LargestPowerOfFour(n: number): number {
  checkNumbers("log4LargestPowerOfFour", wholeFrom(1), { n });
  let exponent = 0;
  while (4 ** (exponent + 1) <= n) exponent++;
  return exponent;
}

/** The thinning of `keys` keys to 4^log4N and then to 2^g times the root of that. */
export function thinningOf(op: string, keys: number, log4N: number, g: number): Thinning {
  checkNumbers(op, wholeFrom(0), { g, log4N });
  const length = 4 ** log4N;
  check(
    length <= keys,
    "argument",
    () =>
      `${op}: log4N must not be above log4 of the number of keys, got ${log4N} for ${keys} keys. Use log4LargestPowerOfFour(${keys}).`,
  );
  const rounds = Math.max(0, log4N - g);
  return {
    length,
    log4N,
    stride: Math.floor(keys / length),
    bucket: 4 ** (g + 1),
    rounds,
    outputs: length / 2 ** rounds,
  };
}

/** Checks the probability of failure. */
export function checkDelta(op: string, delta: number): void {
  checkNumbers(op, positive, { delta });
  check(
    delta <= 1,
    "argument",
    () => `${op}: delta is a probability, at most 1, got ${delta}. Choose a smaller one.`,
  );
}
