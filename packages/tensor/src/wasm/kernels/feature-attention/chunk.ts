/** What the scans of feature attention share: their words, and the packing of queries and keys. */

import {
  f32,
  f32x4,
  i32,
  type I32,
  i32x4,
  type Local,
  v128,
  type V128,
} from "../../assembler/index.js";
import type { MathContext } from "../../math/index.js";
import { type View, WordReader } from "../arguments.js";
import { type Matrix, tileColumns } from "../attention/matrix.js";
import { pack, packColumns, type Rows } from "../attention/pack.js";
import { multiply } from "../attention/product.js";
import { divide, entry, entryAt, integers } from "../code.js";
import { keysSeen, type ScanOrder } from "../linear-attention/traversal.js";
import {
  addNormCotangent,
  chainPowers,
  clearRows,
  exponentiate,
  type FeatureSpec,
  listBounds,
} from "./features.js";
import { changeRow, eachRow, inverse, splatEntry, storeEntry } from "./rows.js";

/** What makes the code of a scan. */
export interface FeatureScanSpec extends ScanOrder, FeatureSpec {
  /** e: numbers in a value that an item computes. */
  readonly valueSize: number;
  readonly keyMask: boolean;
  /** Whether it computes gradients. */
  readonly isBackward: boolean;
  /** Whether there is a state to start from. */
  readonly state: boolean;
}

/** A text for a spec, part of the identity of codes. */
export function scanText(spec: FeatureScanSpec): string {
  return Object.values(spec).join(" ");
}

/** Matrices of every scan. */
export type CommonPart =
  | ("projection" | "backProjection" | "rawKeys" | "rawQueries" | "keys" | "values" | "scores")
  | ("lows" | "highs" | "maxima" | "bounds" | "shifts" | "sums" | "taken");

/** The shapes of these matrices. */
export function commonShapes(
  spec: FeatureScanSpec,
): Record<CommonPart, readonly [rows: number, columns: number]> {
  const { map, size, features, capacity, valueSize } = spec;
  const list = [1, capacity + tileColumns] as const;
  const raw = map === "random" ? ([capacity, size] as const) : ([0, 0] as const);
  return {
    // Transposed, and as it is; both times the scale.
    projection: map === "random" ? [size, features] : [0, 0],
    backProjection: map === "random" && spec.isBackward ? [features, size] : [0, 0],
    rawKeys: raw,
    rawQueries: raw,
    keys: [capacity, features],
    values: [capacity, valueSize],
    scores: [capacity, capacity],
    lows: list,
    highs: list,
    // The running maximum before the chunk, and at each of its keys.
    maxima: list,
    bounds: list,
    shifts: list,
    sums: list,
    taken: list,
  };
}

/** A chunk of keys, and pieces of queries, of one head in scratch memory. */
export interface Chunk {
  readonly group: Local<I32>;
  readonly groups: I32;
  readonly queryCount: I32;
  readonly keyCount: I32;
  /** The lists of sorted queries; see `order.ts`. */
  readonly counts: I32;
  readonly starts: I32;
  /** The factor of squared norms, s² / 2, and ε, in all lanes. */
  readonly factor: V128;
  readonly epsilon: V128;
  /** Number of the key head among all of them, its place, and the first column of the block. */
  readonly head: Local<I32>;
  readonly batch: Local<I32>;
  readonly keyHead: Local<I32>;
  readonly column: Local<I32>;
  /** Whether the values, and the features of keys, are finite. */
  readonly valuesAreFinite: Local<I32>;
  readonly keysAreFinite: Local<I32>;
  /** The words behind those that all scans share. */
  readonly read: WordReader;
  /** Turns to a work item and packs the projection. */
  begin(item: I32): void;
  /** Rows of queries, or something that is laid out like them. */
  queryRows(view: View, start: I32, count: I32): Rows;
  keyRows(view: View, start: I32, count: I32, column?: I32): Rows;
  /** The list of the numbers of sorted queries from a place on; only a mask sorts them. */
  orderAt(start: I32): I32 | undefined;
  /** The number of a query among those of all heads, `queryCount` for each head. */
  queryNumber(start: I32): I32;
  /** Where the results of queries go: from which number on, as above, or by which list from there. */
  queryPlace(start: I32): readonly [first: I32, order: I32 | undefined];
  /** How many keys a query sees; `start` is its place in the order of what queries see. */
  seen(start: I32): I32;
  /**
   * Packs keys: exp(b_j − M_j) with the running maxima M_j. They are known if `known` lists them, and
   * follow from the one before the chunk otherwise.
   */
  packKeys(start: I32, count: I32, known?: I32): void;
  packValues(start: I32, count: I32): void;
  /** Packs the features of queries without ε, or with it, and lists their sums. */
  packQueries(to: Matrix, start: I32, count: I32, epsilon: boolean): Local<I32>;
  /**
   * Packs the cotangents of sums of weighted values, dy_i / Σ_j w_ij, and lists what stands for those
   * of the sums of weights, y_i · dy_i / Σ_j w_ij. Gives whether the cotangents are finite.
   */
  packCotangents(to: Matrix, list: I32, start: I32, count: I32): Local<I32>;
  /**
   * From the cotangents of features of queries or keys, which are changed, to those of their rows:
   * gives the matrix that holds them. `powers` are the features without ε.
   */
  chain(
    cotangents: Matrix,
    powers: Matrix,
    count: I32,
    raw: Matrix,
    to: Matrix,
    isSoftmax: boolean,
  ): Matrix;
}

/** The inputs of the backward pass. */
interface BackwardViews {
  readonly dy: View;
  readonly products: View;
  readonly denominators: View;
}

/** Reads the words that all scans share; `kernel.ts` lists them. */
export function readChunk(
  c: MathContext,
  spec: FeatureScanSpec,
  words: I32,
  at: Readonly<Record<CommonPart, Matrix>>,
): Chunk {
  const { f } = c;
  const { map, mode, size, features, valueSize, keyMask } = spec;
  const read = new WordReader(f, words);
  const [q, k, v] = [read.view(4), read.view(4), read.view(4)];
  const [projection, taking] = [read.view(2), read.view(2)];
  const [order, counts, starts, queryCount, keyCount] = read.words(5);
  const [keyHeads, groups, blocks, scale, factorWord, epsilonWord] = read.words(6);
  // Their words are there when forward too, as zeros.
  const backward: BackwardViews = {
    dy: read.view(4),
    products: read.view(3),
    denominators: read.view(3),
  };
  const [group, head, batch, keyHead, column, valuesAreFinite, keysAreFinite] = integers(f, 7);
  const none = i32.const(0);
  const before = f.let(keyCount.subtract(queryCount));
  const [maxima, bounds, shifts, sums, taken] = [
    at.maxima[0],
    at.bounds[0],
    at.shifts[0],
    at.sums[0],
    at.taken[0],
  ];
  const isMasked = mode === "mask";
  const isRandom = map === "random";
  const norms = isRandom ? factorWord : none;

  /** Rows of queries or keys, projected; `takes` leaves out keys that take no part. */
  const project = (rows: Rows, raw: Matrix, to: Matrix, count: I32, takes: boolean): void => {
    const packed = isRandom ? raw : to;
    pack(c, size, rows, packed);
    if (takes) clearRows(f, packed, count, taken);
    if (!isRandom) return;
    multiply(c, { start: "zero" }, [raw, at.projection, to], [count, features, size]);
  };

  const [key, largest] = [f.local(i32), f.local(f32)];
  const chunk: Chunk = {
    ...{ group, groups, queryCount, keyCount, counts, starts, head, batch, keyHead, column },
    ...{ valuesAreFinite, keysAreFinite, read },
    factor: f.let(i32x4.splat(factorWord)),
    epsilon: f.let(i32x4.splat(epsilonWord)),

    begin: (item) => {
      const [whole, block] = divide(f, item, blocks);
      f.set<I32>(head, whole);
      const [own, number] = divide(f, head, keyHeads);
      f.set<I32>(batch, own);
      f.set<I32>(keyHead, number);
      f.set<I32>(column, block.multiply(valueSize));
      if (!isRandom) return;
      const rows = [projection.at(), projection.strides[0]!, i32.const(features)] as const;
      packColumns(c, size, rows, at.projection, scale);
      if (spec.isBackward) pack(c, size, rows, at.backProjection, scale);
    },

    queryRows: (view, start, count) => {
      const number = keyHead.multiply(groups).add(group);
      const address = view.at(batch, number, isMasked ? none : start);
      return [address, view.strides[2]!, count, chunk.orderAt(start)];
    },

    orderAt: (start) => (isMasked ? entryAt(order, start) : undefined),

    keyRows: (view, start, count, from = none) => {
      return [view.at(batch, keyHead, start, from), view.strides[2]!, count];
    },

    queryNumber: (start) => {
      const query = isMasked ? entry(order, start) : start;
      return head.multiply(groups).add(group).multiply(queryCount).add(query);
    },

    queryPlace: (start) => {
      const order = chunk.orderAt(start);
      const before = head.multiply(groups).add(group).multiply(queryCount);
      return [before.add(order ? none : start), order];
    },

    seen: (start) => (mode === "full" ? keyCount : keysSeen(mode, start, before, counts)),

    packKeys: (start, count, known) => {
      if (keyMask) {
        const from = f.let(taking.at(batch, start));
        f.for(key, 0, count, 1, () => {
          const isTaken = i32x4.splat(i32.load8Unsigned(from));
          storeEntry(f, taken, key, f32x4.convertI32x4(isTaken));
          f.increment(from, taking.strides[1]!);
        });
      }
      project(chunk.keyRows(k, start, count), at.rawKeys, at.keys, count, keyMask);
      listBounds(c, spec, at.keys, count, at.rawKeys, [bounds, shifts], norms);
      if (known) f.memoryCopy(maxima.add(4), known, count.shiftLeft(2));
      f.set(largest, f32.load(maxima));
      f.for(key, 0, count, 1, () => {
        const [shiftAt, maximumAt] = [entryAt(shifts, key), entryAt(maxima, key)];
        const join = (): void => {
          if (known) f.set(largest, f32.load(maximumAt, 4));
          else f.set(largest, largest.maximum(f32.load(entryAt(bounds, key))));
          f.storeF32(shiftAt, f32.load(shiftAt).add(largest));
        };
        // A key that takes no part is all zeros: so is what is subtracted.
        if (keyMask) f.if(entry(taken, key), join);
        else join();
        if (!known) f.storeF32(maximumAt, largest, 4);
      });
      f.set<I32>(keysAreFinite, exponentiate(c, features, at.keys, count, [shifts, sums], none));
      if (keyMask) clearRows(f, at.keys, count, taken);
    },

    packValues: (start, count) => {
      const rows = chunk.keyRows(v, start, count, column);
      f.set<I32>(valuesAreFinite, pack(c, valueSize, rows, at.values, undefined, true));
      if (keyMask) clearRows(f, at.values, count, taken);
    },

    packQueries: (to, start, count, withEpsilon) => {
      project(chunk.queryRows(q, start, count), at.rawQueries, to, count, false);
      listBounds(c, spec, to, count, at.rawQueries, [bounds, shifts], norms);
      f.for(key, 0, count, 1, () => {
        const shiftAt = entryAt(shifts, key);
        f.storeF32(shiftAt, f32.load(shiftAt).add(f32.load(entryAt(bounds, key))));
      });
      const epsilon = withEpsilon && isRandom ? epsilonWord : none;
      return exponentiate(c, features, to, count, [shifts, sums], epsilon, !isRandom);
    },

    packCotangents: (to, list, start, count) => {
      const { dy, products, denominators } = backward;
      const isFinite = pack(c, valueSize, chunk.queryRows(dy, start, count), to, undefined, true);
      const number = keyHead.multiply(groups).add(group);
      eachRow(f, to, count, (row, at) => {
        f.set<I32>(key, isMasked ? entry(order, start.add(row)) : start.add(row));
        const divisor = v128.load32Splat(denominators.at(batch, number, key));
        const factor = inverse(f, divisor);
        const product = v128.load32Splat(products.at(batch, number, key));
        storeEntry(f, list, row, f.let(f32x4.multiply(product, factor)));
        changeRow(f, at, valueSize, (x) => f32x4.multiply(x, factor));
      });
      return isFinite;
    },

    chain: (cotangents, powers, count, raw, to, isSoftmax) => {
      chainPowers(c, features, cotangents, powers, count, sums, isSoftmax);
      if (!isRandom) return cotangents;
      const matrices = [cotangents, at.backProjection, to] as const;
      multiply(c, { start: "zero" }, matrices, [count, size, features]);
      addNormCotangent(c, size, to, raw, count, sums, chunk.factor);
      return to;
    },
  };
  return chunk;
}

/** The running maximum that entry `number` of a list of `highs` stands for, in all lanes. */
export function maximumSeen(maxima: I32, highs: I32, number: I32): V128 {
  return splatEntry(maxima, entry(highs, number));
}
