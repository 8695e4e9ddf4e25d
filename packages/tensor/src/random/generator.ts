/** Generators: where draws come from. */

import { check } from "../error.js";
import { takeDraw, type Draw } from "../ops/draw.js";

/** What a generator remembers: plain data that survives `JSON.stringify`. */
export interface GeneratorState {
  /** Which generator it is of. */
  readonly algorithm: "threefry2x32";
  /** The seed as two unsigned 32-bit words. */
  readonly key: readonly [number, number];
  /** How many draws were made. */
  readonly draws: number;
}

const wordLimit = 2 ** 32;

/**
 * A source of random numbers. The numbers are a function of the seed and of how many draws came
 * before (Threefry 2x32 with 20 rounds), so they are the same on every device.
 *
 * @example
 * ```ts
 * import { rand, Generator } from "@x/tensor/random";
 *
 * const generator = new Generator(7);
 * const state = generator.getState();
 * const a = await rand([2], { generator }).toArray();
 * generator.setState(state);
 * const b = await rand([2], { generator }).toArray();
 * console.log(JSON.stringify(a) === JSON.stringify(b)); // → true
 * ```
 */
export class Generator {
  #key: readonly [number, number] = [0, 0];
  #draws = 0;

  /** @param seed a whole number from 0 to 2⁵³ − 1; a random one if left out */
  constructor(seed: number = randomSeed()) {
    this.manualSeed(seed);
  }

  /** Starts again from `seed`. Returns the generator itself. */
  manualSeed(seed: number): this {
    check(
      Number.isSafeInteger(seed) && seed >= 0,
      "argument",
      () =>
        `manualSeed: the seed must be a whole number from 0 to 2^53 - 1, got ${String(seed)}. Choose such a number.`,
    );
    this.#key = [seed % wordLimit, Math.floor(seed / wordLimit)];
    this.#draws = 0;
    return this;
  }

  /** The seed it started from. */
  get seed(): number {
    return this.#key[0] + this.#key[1] * wordLimit;
  }

  /** What it remembers, to go on from here later. */
  getState(): GeneratorState {
    return { algorithm: "threefry2x32", key: [...this.#key], draws: this.#draws };
  }

  /** Goes on from a state that `getState` gave. Returns the generator itself. */
  setState(state: GeneratorState): this {
    const isWord = (word: unknown): boolean =>
      Number.isInteger(word) && (word as number) >= 0 && (word as number) < wordLimit;
    const fits =
      state.algorithm === "threefry2x32" &&
      Array.isArray(state.key) &&
      state.key.length === 2 &&
      state.key.every(isWord) &&
      Number.isSafeInteger(state.draws) &&
      state.draws >= 0;
    check(
      fits,
      "argument",
      () =>
        `setState: the state must be one that getState() gave, got ${JSON.stringify(state)}. Save and restore it unchanged.`,
    );
    this.#key = [state.key[0], state.key[1]];
    this.#draws = state.draws;
    return this;
  }

  /** @internal The name of the next random numbers; inside a repeated `checkpoint`, the same again. */
  draw(): Draw {
    return takeDraw(() => {
      const draws = this.#draws++;
      const [key0, key1] = this.#key;
      // The carry of the count goes into the upper key word, which seeds below 2⁵³ use in part.
      const carry = Math.floor(draws / wordLimit) << 21;
      return { key0, key1: (key1 ^ carry) >>> 0, counter: draws % wordLimit };
    });
  }
}

function randomSeed(): number {
  return Math.floor(Math.random() * Number.MAX_SAFE_INTEGER);
}

const defaultGenerator = new Generator();

/** The generator that is used where none is given. */
export function getDefaultGenerator(): Generator {
  return defaultGenerator;
}

/**
 * Seeds the default generator, so that the program draws the same numbers every time.
 *
 * @example
 * ```ts
 * import { manualSeed, randn } from "@x/tensor";
 *
 * manualSeed(0);
 * const first = await randn([]).item();
 * manualSeed(0);
 * console.log(first === (await randn([]).item())); // → true
 * ```
 */
export function manualSeed(seed: number): Generator {
  return defaultGenerator.manualSeed(seed);
}
