/**
 * The reverse scan of the backward pass: cotangents of keys and values.
 *
 * With a_i, g_i and c_i as in `query-cotangent.ts` and over the queries i that see key j:
 *
 *   dv_j = Σ_i w_ij g_i
 *   db_j = exp(b_j − M_j) Σ_i (g_i · v_j − c_i) exp(M_j − M_i) a_i
 *
 * The state holds the sums over the queries that see all keys of a chunk: Σ exp(M − M_i) a_i g_iᵀ and
 * Σ exp(M − M_i) c_i a_i, where M is the running maximum behind the chunk, and Σ ε (Σ_f a_if) g_i.
 */

import { f32, f32x4, type I32, i32, v128, type V128 } from "../../assembler/index.js";
import type { KernelCode } from "../../launch.js";
import type { MathContext } from "../../math/index.js";
import { layOut, type Layout, type Matrix } from "../attention/matrix.js";
import { packColumns, unpack } from "../attention/pack.js";
import { multiply } from "../attention/product.js";
import { hideUnseen, tileRange } from "../attention/visibility.js";
import { entryAt, integers, vectors } from "../code.js";
import type { ScanSteps } from "../linear-attention/traversal.js";
import { type CommonPart, commonShapes, type FeatureScanSpec, readChunk } from "./chunk.js";
import { clearRows } from "./features.js";
import { addRows, changeRow, eachRow, splatEntry, storeEntry } from "./rows.js";
import { chunkOrder, limitedRatio, ratio, scanCode } from "./scan.js";

type Part =
  | CommonPart
  | ("queries" | "queryColumns" | "cotangents" | "cotangentColumns" | "weightCotangents")
  | ("products" | "productColumns" | "keySums" | "valueSums")
  | ("toKeys" | "toValues" | "gradient" | "means" | "shares" | "largest");

/** Scratch memory of the scan. */
export function keyCotangentLayout(spec: FeatureScanSpec): Layout<Part> {
  const { map, capacity, size, features, valueSize } = spec;
  return layOut<Part>({
    ...commonShapes(spec),
    queries: [capacity, features],
    queryColumns: [features, capacity],
    cotangents: [capacity, valueSize],
    cotangentColumns: [valueSize, capacity],
    weightCotangents: [capacity, capacity],
    products: [features, valueSize],
    productColumns: [valueSize, features],
    keySums: [1, features],
    valueSums: [1, valueSize],
    toKeys: [capacity, features],
    toValues: [capacity, valueSize],
    gradient: map === "random" ? [capacity, size] : [0, 0],
    means: [1, capacity],
    shares: [1, capacity],
    // M_i of each query.
    largest: [1, capacity],
  });
}

/**
 * The code of the scan; a work item is one key head of one batch. Behind the words of a chunk come a
 * view of the running maxima of keys, and the addresses of dk and dv, dense.
 */
export function keyCotangentCode(spec: FeatureScanSpec): KernelCode {
  return scanCode("key cotangent", spec, keyCotangentLayout(spec), keyCotangentSteps);
}

function keyCotangentSteps(
  c: MathContext,
  spec: FeatureScanSpec,
  words: I32,
  at: Readonly<Record<Part, Matrix>>,
): ScanSteps {
  const { f, module } = c;
  const { size, features, valueSize, keyMask } = spec;
  const chunk = readChunk(c, spec, words, at);
  const running = chunk.read.view(3);
  const [dk, dv] = chunk.read.words(2);
  const { batch, keyHead, head, keyCount } = chunk;
  const [maxima, means, shares, largest] = [at.maxima[0], at.means[0], at.shares[0], at.largest[0]];
  const order = chunkOrder(chunk, at, spec);
  const { lists } = order;
  const [number, row, offset, queriesAreFinite, cotangentsAreFinite] = integers(f, 5);
  const [own, factor, mean] = vectors(f, 3);
  const maximumAt = (key: I32): I32 => running.at(batch, keyHead, key);
  const clear = ([address, rowBytes]: Matrix, rows: number): void => {
    f.memoryFill(address, 0, rows * rowBytes);
  };

  return {
    ...order,

    begin: (item) => {
      chunk.begin(item);
      clear(at.products, features);
      clear(at.keySums, 1);
      clear(at.valueSums, 1);
      f.storeI32(maxima, i32.load(maximumAt(keyCount.subtract(1))));
    },

    packRows: (start, length) => {
      f.set<I32>(number, start.subtract(1));
      f.set<I32>(number, number.maximum(0));
      f.storeI32(maxima, i32.load(maximumAt(number)));
      chunk.packKeys(start, length, f.let(maximumAt(start)));
      chunk.packValues(start, length);
    },

    stateTerm: (length) => {
      packColumns(c, valueSize, [...at.products, i32.const(features)], at.productColumns);
      const toValues = [at.keys, at.products, at.toValues] as const;
      multiply(c, { start: "zero" }, toValues, [length, valueSize, features]);
      const toKeys = [at.values, at.productColumns, at.toKeys] as const;
      multiply(c, { start: "zero" }, toKeys, [length, features, valueSize]);
      const valueAt = f.let(at.toValues[0]);
      f.set<V128>(own, splatEntry(maxima, length));
      eachRow(f, at.toKeys, length, (key, rowAt) => {
        f.set<V128>(factor, ratio(c, splatEntry(maxima, key, 4), own));
        changeRow(f, rowAt, features, (x, place) =>
          f32x4.multiply(factor, f32x4.subtract(x, v128.load(at.keySums[0].add(place)))),
        );
        changeRow(f, valueAt, valueSize, (x, place) =>
          module.madd(factor, x, v128.load(at.valueSums[0].add(place))),
        );
        f.increment(valueAt, at.toValues[1]);
      });
      // The queries that come next divide by exp of smaller maxima.
      f.if(f32.load(maxima).less(f32.load(entryAt(maxima, length))), () => {
        f.set<V128>(factor, ratio(c, v128.load32Splat(maxima), own));
        eachRow(f, at.products, i32.const(features), (_, rowAt) => {
          changeRow(f, rowAt, valueSize, (x) => f32x4.multiply(x, factor));
        });
        changeRow(f, at.keySums[0], features, (x) => f32x4.multiply(x, factor));
      });
    },

    packColumns: (start, length) => {
      f.set<I32>(queriesAreFinite, chunk.packQueries(at.queries, start, length, true));
      packColumns(c, features, [...at.queries, length], at.queryColumns);
      f.set<I32>(cotangentsAreFinite, chunk.packCotangents(at.cotangents, means, start, length));
      packColumns(c, valueSize, [...at.cotangents, length], at.cotangentColumns);
      f.for(row, 0, length, 1, () => {
        storeEntry(f, shares, row, f32x4.multiply(splatEntry(at.sums[0], row), chunk.epsilon));
        f.set<I32>(number, chunk.seen(start.add(row)).subtract(1));
        f.set<I32>(number, number.maximum(0));
        f.storeI32(entryAt(largest, row), i32.load(maximumAt(number)));
      });
    },

    chunkTerm: (length) => {
      const limited = { start: "zero", limits: "columns" } as const;
      const toScores = [at.keys, at.queryColumns, at.scores] as const;
      multiply(c, limited, toScores, [length, 0, features], lists);
      const toWeights = [at.values, at.cotangentColumns, at.weightCotangents] as const;
      multiply(c, limited, toWeights, [length, 0, valueSize], lists);
      const [lows, highs] = [lists[0][0], lists[1][0]];
      const otherAt = f.let(at.weightCotangents[0]);
      eachRow(f, at.scores, length, (key, rowAt) => {
        f.set<V128>(own, splatEntry(maxima, key, 4));
        const range = tileRange(f, key, [lows, highs]);
        f.for(offset, ...range, 16, () => {
          f.set<V128>(factor, limitedRatio(c, own, v128.load(largest.add(offset))));
          const score = v128.load(rowAt.add(offset));
          const share = v128.load(shares.add(offset));
          f.storeV128(rowAt.add(offset), module.madd(score, factor, share));
          const cotangent = v128.load(otherAt.add(offset));
          f.set<V128>(mean, v128.load(means.add(offset)));
          const centred = f32x4.subtract(cotangent, mean);
          f.storeV128(otherAt.add(offset), f32x4.multiply(centred, factor));
        });
        hideUnseen(f, key, rowAt, range, [lows, highs], 0);
        hideUnseen(f, key, otherAt, range, [lows, highs], 0);
        f.increment(otherAt, at.weightCotangents[1]);
      });
      const sums = { start: "output", limits: "depth" } as const;
      const toValues = [at.scores, at.cotangents, at.toValues] as const;
      multiply(c, sums, toValues, [length, valueSize], lists, cotangentsAreFinite);
      const toKeys = [at.weightCotangents, at.queries, at.toKeys] as const;
      multiply(c, sums, toKeys, [length, features], lists, queriesAreFinite);
    },

    update: (length) => {
      addRows(c, at.cotangents, length, valueSize, at.valueSums[0], null, shares);
      eachRow(f, at.cotangents, length, (query, rowAt) => {
        f.set<V128>(factor, ratio(c, v128.load32Splat(maxima), splatEntry(largest, query)));
        storeEntry(f, means, query, f32x4.multiply(splatEntry(means, query), factor));
        changeRow(f, rowAt, valueSize, (x) => f32x4.multiply(x, factor));
      });
      addRows(c, at.queries, length, features, at.keySums[0], null, means);
      const matrices = [at.queryColumns, at.cotangents, at.products] as const;
      multiply(c, { start: "output" }, matrices, [features, valueSize, length]);
    },

    unpack: (start, length) => {
      const { toKeys, keys, rawKeys, gradient } = at;
      const result = chunk.chain(toKeys, keys, length, rawKeys, gradient, false);
      if (keyMask) {
        clearRows(f, result, length, at.taken[0]);
        clearRows(f, at.toValues, length, at.taken[0]);
      }
      const first = f.let(head.multiply(keyCount).add(start));
      const [keyStride, valueStride] = [size * 4, valueSize * 4];
      unpack(c, size, result, [dk.add(first.multiply(keyStride)), keyStride, length]);
      unpack(c, valueSize, at.toValues, [dv.add(first.multiply(valueStride)), valueStride, length]);
    },

    end: () => undefined,
  };
}
