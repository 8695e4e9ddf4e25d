/** Examples in batches of similar length, one epoch after the other, from any place on. */

import { check, checkNumbers, count, whole, wholeFrom } from "@x/tensor/checks";
import { mixed, shuffle } from "./order.js";
import type { Source } from "./source.js";

/** A place between two batches: plain data that survives `JSON.stringify`. */
export interface BatchPosition {
  /** The epoch, counted from 0. */
  readonly epoch: number;
  /** The number of the first example, in the order of the epoch, of the pool it lies in. */
  readonly example: number;
  /** How many batches of that pool were given. */
  readonly batch: number;
}

/** Examples that belong together. */
export interface ExampleBatch<T> {
  /** The examples: as many as the batch size, fewer only in the last batch of an epoch. */
  readonly examples: readonly T[];
  /** The epoch that it belongs to. */
  readonly epoch: number;
}

/** Options of {@link Batches}. */
export interface BatchesOptions<T> {
  /** How many examples a batch has. */
  readonly batchSize: number;
  /** What the order of each epoch follows from; `null`: examples come as they lie. Default 0. */
  readonly seed?: number | null;
  /** How long an example is, to put similar ones together. Default: they are not sorted. */
  readonly lengthOf?: ((example: T) => number) | null;
  /** Out of how many batches of examples those of similar length are put together. Default 32. */
  readonly poolBatches?: number;
  /** Whether a last batch of an epoch with fewer examples is left out. Default false. */
  readonly dropLast?: boolean;
}

/**
 * The batches of a source, epoch after epoch, each in an order of its own that follows from the seed.
 *
 * With `lengthOf`, a pool of examples is read at a time, sorted by length, cut into batches, and the
 * batches are shuffled: little is padded, and still every example comes exactly once an epoch.
 *
 * @example
 * ```ts
 * const batches = new Batches(fromArray([1, 2, 3]), { batchSize: 2, seed: null });
 * console.log((await batches.next()).examples); // → [ 1, 2 ]
 * const { position } = batches;
 * console.log((await batches.next()).examples); // → [ 3 ]
 * batches.seek(position);
 * console.log((await batches.next()).examples, batches.position.epoch); // → [ 3 ] 0
 * ```
 */
export class Batches<T> {
  /** Where the examples come from. */
  readonly source: Source<T>;
  readonly #options: Required<BatchesOptions<T>>;
  #position: BatchPosition = { epoch: 0, example: 0, batch: 0 };
  /** What is being read, positioned behind the pool. */
  #reading: AsyncIterator<T> | null = null;
  #pool: T[][] | null = null;
  /** How many examples the pool holds. */
  #pooled = 0;

  /** @throws XError `argument` if an option is out of range */
  constructor(source: Source<T>, options: BatchesOptions<T>) {
    const { batchSize, seed = 0, lengthOf = null, poolBatches = 32, dropLast = false } = options;
    checkNumbers("Batches", count, { batchSize, poolBatches });
    if (seed !== null) checkNumbers("Batches", whole, { seed });
    this.source = source;
    this.#options = { batchSize, seed, lengthOf, poolBatches, dropLast };
  }

  /** How many batches an epoch has, or `null` if only reading them tells. */
  get perEpoch(): number | null {
    const { length } = this.source;
    const { batchSize, dropLast } = this.#options;
    if (length === null) return null;
    return dropLast ? Math.floor(length / batchSize) : Math.ceil(length / batchSize);
  }

  /** The place of the batch that comes next. */
  get position(): BatchPosition {
    return this.#position;
  }

  /** Goes to a place that `position` named. */
  seek(position: BatchPosition): void {
    const { epoch, example, batch } = position;
    checkNumbers("Batches.seek", wholeFrom(0), { epoch, example, batch });
    this.#position = { epoch, example, batch };
    this.#pool = null;
    void this.#reading?.return?.();
    this.#reading = null;
  }

  /**
   * The next batch; after the last of an epoch, the first of the next.
   *
   * @throws XError `argument` if an epoch gives no batch
   */
  async next(): Promise<ExampleBatch<T>> {
    for (;;) {
      const isWhole = this.#position.example === 0 && this.#position.batch === 0;
      const found = await this.#nextOfEpoch();
      if (found !== null) return found;
      this.#checkNotEmpty(isWhole);
      this.#position = { epoch: this.#position.epoch + 1, example: 0, batch: 0 };
      this.#pool = null;
      this.#reading = null;
    }
  }

  /**
   * The batches of one epoch from the place on.
   *
   * @throws XError `argument` if the epoch gives no batch
   */
  async *rest(): AsyncGenerator<ExampleBatch<T>, void, undefined> {
    let isEmpty = this.#position.example === 0 && this.#position.batch === 0;
    for (;;) {
      const batch = await this.#nextOfEpoch();
      if (batch === null) break;
      isEmpty = false;
      yield batch;
    }
    this.#checkNotEmpty(isEmpty);
  }

  /** The next batch, or `null` at the end of an epoch. */
  async #nextOfEpoch(): Promise<ExampleBatch<T> | null> {
    for (;;) {
      const { epoch, example, batch } = this.#position;
      this.#pool ??= await this.#readPool();
      const examples = this.#pool[batch];
      if (examples !== undefined) {
        this.#position = { epoch, example, batch: batch + 1 };
        return { examples, epoch };
      }
      if (this.#pooled === 0) return null;
      this.#position = { epoch, example: example + this.#pooled, batch: 0 };
      this.#pool = null;
    }
  }

  /** A whole epoch without a batch: none will ever have one. */
  #checkNotEmpty(isEmpty: boolean): void {
    check(
      !isEmpty,
      "argument",
      () =>
        `Batches: an epoch must give at least one batch, got none. Check that the data is not empty${this.#options.dropLast ? " or smaller than a batch" : ""}.`,
    );
  }

  async #readPool(): Promise<T[][]> {
    const { batchSize, seed, lengthOf, poolBatches, dropLast } = this.#options;
    const { epoch, example } = this.#position;
    this.#reading ??= this.source.read({ epoch, seed }, example)[Symbol.asyncIterator]();
    const wanted = lengthOf === null ? batchSize : batchSize * poolBatches;
    const examples: T[] = [];
    while (examples.length < wanted) {
      const result = await this.#reading.next();
      if (result.done === true) break;
      examples.push(result.value);
    }
    this.#pooled = examples.length;
    if (lengthOf !== null) sortByLength(examples, lengthOf);
    const batches: T[][] = [];
    for (let start = 0; start < examples.length; start += batchSize) {
      const batch = examples.slice(start, start + batchSize);
      if (!dropLast || batch.length === batchSize) batches.push(batch);
    }
    return seed === null ? batches : shuffle(batches, mixed(seed, epoch), example);
  }
}

/** Sorts in place; examples of equal length stay in order. */
function sortByLength<T>(examples: T[], lengthOf: (example: T) => number): void {
  const lengths = new Map(examples.map((example) => [example, lengthOf(example)]));
  examples.sort((a, b) => lengths.get(a)! - lengths.get(b)!);
}

/**
 * The length to which a batch is padded: the next power of two, or one and a half times one, of at
 * least 8. Lengths up to n make about 2 log₂ n different plans.
 *
 * @param most the longest there is, such as the positions of a model
 * @throws XError `argument` if the length is larger than that
 * @example
 * ```ts
 * console.log([3, 20, 33, 100].map((length) => bucketLength(length))); // → [ 8, 24, 48, 128 ]
 * ```
 */
export function bucketLength(length: number, most: number = Infinity): number {
  check(
    length <= most,
    "argument",
    () =>
      `bucketLength: examples must have at most ${most} positions, got one of ${length}. Cut it, or leave it out.`,
  );
  let bucket = 8;
  while (bucket < length) {
    if (bucket * 1.5 >= length) bucket *= 1.5;
    else bucket *= 2;
  }
  return Math.min(bucket, most);
}
