/** Where examples come from: sources that can be read again, in any epoch and from any place. */

import { check, checkNumbers, count, probability, whole } from "@x/tensor/checks";
import { drawsOf, mixed, permutation } from "./order.js";

/** In which order the examples of an epoch come. */
export interface Order {
  /** The number of the epoch, counted from 0. */
  readonly epoch: number;
  /** What the order follows from, with the epoch; `null`: as they lie in the source. */
  readonly seed: number | null;
}

/** Examples that can be read as often as one likes. */
export interface Source<T> {
  /** How many examples an epoch has, or `null` if only reading them tells. */
  readonly length: number | null;
  /** The examples of an epoch from number `from` of its order on. */
  read(order: Order, from: number): AsyncIterable<T>;
  /** The example of a number, where every one can be had at once. */
  readonly at?: (index: number) => T;
}

/**
 * Examples by number: `at(i)` for `i` below `length`.
 *
 * @example
 * ```ts
 * const squares = indexed(4, (i) => i * i);
 * const read = async (from: number) => collect(squares.read({ epoch: 0, seed: 1 }, from));
 * console.log((await read(0)).length, (await read(3)).length); // → 4 1
 * ```
 */
export function indexed<T>(length: number, at: (index: number) => T): Source<T> {
  checkNumbers("indexed", whole, { length });
  return {
    length,
    at,
    async *read({ epoch, seed }, from) {
      const places = seed === null ? null : permutation(length, seed, epoch);
      for (let i = from; i < length; i++) yield at(places === null ? i : places[i]!);
    },
  };
}

/** The items of an array as a source. */
export function fromArray<T>(items: readonly T[]): Source<T> {
  return indexed(items.length, (index) => items[index]!);
}

/** Options of {@link streamed}. */
export interface StreamedOptions {
  /**
   * How many examples are held to shuffle among: each is replaced by the next one read when it is
   * given. Default 1024.
   */
  readonly shuffleBuffer?: number;
}

/**
 * What an async iterable gives, such as the rows of a file that is read again in every epoch.
 * `open` begins from the start; to go back to a place in an epoch, what came before is read again
 * and dropped.
 *
 * @example
 * ```ts
 * const rows = streamed(() => readJsonl('{"a":1}\n{"a":2}\n{"a":3}\n'));
 * console.log(await collect(rows.read({ epoch: 0, seed: null }, 2))); // → [ { a: 3 } ]
 * ```
 */
export function streamed<T>(
  open: () => AsyncIterable<T> | Iterable<T>,
  options: StreamedOptions = {},
): Source<T> {
  const { shuffleBuffer = 1024 } = options;
  checkNumbers("streamed", count, { shuffleBuffer });
  return {
    length: null,
    async *read({ epoch, seed }, from) {
      let number = 0;
      const examples = seed === null ? open() : shuffled(open(), shuffleBuffer, seed, epoch);
      for await (const example of examples) if (number++ >= from) yield example;
    },
  };
}

async function* shuffled<T>(
  examples: AsyncIterable<T> | Iterable<T>,
  size: number,
  seed: number,
  epoch: number,
): AsyncGenerator<T, void, undefined> {
  const draw = drawsOf(seed, epoch);
  const held: T[] = [];
  for await (const example of examples) {
    if (held.length < size) {
      held.push(example);
      continue;
    }
    const place = draw(size);
    const chosen = held[place]!;
    held[place] = example;
    yield chosen;
  }
  while (held.length > 0) {
    const place = draw(held.length);
    const chosen = held[place]!;
    held[place] = held.at(-1)!;
    held.pop();
    yield chosen;
  }
}

/**
 * The examples of a source, each made into another when it is read.
 *
 * @example
 * ```ts
 * const tokens = mapped(fromArray(["ab", "c"]), (text) => new TextEncoder().encode(text));
 * console.log(tokens.at!(0)); // → Uint8Array(2) [ 97, 98 ]
 * ```
 */
export function mapped<T, U>(source: Source<T>, make: (example: T) => U): Source<U> {
  const { at } = source;
  return {
    length: source.length,
    ...(at === undefined ? {} : { at: (index: number) => make(at(index)) }),
    async *read(order, from) {
      for await (const example of source.read(order, from)) yield make(example);
    },
  };
}

/** The parts of a source. */
export interface Split<T> {
  /** What is learned from. */
  readonly training: Source<T>;
  /** What is held out. */
  readonly validation: Source<T>;
}

/** Options of {@link split}. */
export interface SplitOptions {
  /** Which share is held out. Default 0.1. */
  readonly validation?: number;
  /** What the choice follows from. Default 0. */
  readonly seed?: number;
}

/**
 * Two parts of a source, chosen by the seed: every example is in exactly one, always the same. Of a
 * source whose length is known the share is exact (rounded, at least one example in each part);
 * of a stream each example is drawn by its number.
 *
 * Split overlapping windows of one series or text before they are cut, not after: what is held out
 * would be seen in training.
 *
 * @throws XError `argument` if the share is not between 0 and 1, or there are less than two examples
 * @example
 * ```ts
 * const { training, validation } = split(fromArray([1, 2, 3, 4, 5]), { validation: 0.2 });
 * console.log(training.length, validation.length); // → 4 1
 * ```
 */
export function split<T>(source: Source<T>, options: SplitOptions = {}): Split<T> {
  const { validation = 0.1, seed = 0 } = options;
  checkNumbers("split", probability, { validation });
  checkNumbers("split", whole, { seed });
  const { length, at } = source;
  if (length === null || at === undefined) {
    return {
      training: drawn(source, (number) => mixed(seed, number) / 2 ** 32 >= validation),
      validation: drawn(source, (number) => mixed(seed, number) / 2 ** 32 < validation),
    };
  }
  check(
    length >= 2,
    "argument",
    () => `split: there must be at least two examples, got ${length}. Take more data.`,
  );
  const held = Math.min(length - 1, Math.max(1, Math.round(length * validation)));
  const places = permutation(length, seed);
  // In the order of the source: neighbours stay close in memory.
  const part = (numbers: Uint32Array): Source<T> => {
    numbers.sort();
    return indexed(numbers.length, (index) => at(numbers[index]!));
  };
  return { training: part(places.slice(held)), validation: part(places.slice(0, held)) };
}

/** The examples of a stream whose number fits. */
function drawn<T>(source: Source<T>, fits: (number: number) => boolean): Source<T> {
  return streamed(async function* () {
    let number = 0;
    for await (const example of source.read({ epoch: 0, seed: null }, 0)) {
      if (fits(number++)) yield example;
    }
  });
}
