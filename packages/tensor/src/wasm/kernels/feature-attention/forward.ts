/**
 * The forward scan: chunk by chunk, with the sums over earlier keys in scratch memory.
 *
 * A row of output is what its query sees of earlier keys, times exp(M − M_i), and its weights of the
 * chunk's keys, (a_i · exp(b_j − M_j)) exp(M_j − M_i) + ε Σ_f a_if. No exponent is above 0.
 */

import { f32x4, i32, type I32, v128, type V128 } from "../../assembler/index.js";
import type { KernelCode } from "../../launch.js";
import type { MathContext } from "../../math/index.js";
import { layOut, type Layout, type Matrix } from "../attention/matrix.js";
import { packColumns, unpack } from "../attention/pack.js";
import { multiply } from "../attention/product.js";
import { hideUnseen, tileRange } from "../attention/visibility.js";
import { entryAt, integers, vectors } from "../code.js";
import type { ScanSteps } from "../linear-attention/traversal.js";
import {
  type CommonPart,
  commonShapes,
  type FeatureScanSpec,
  maximumSeen,
  readChunk,
} from "./chunk.js";
import {
  addToEntry,
  changeRow,
  dotProduct,
  eachRow,
  inverse,
  splatEntry,
  storeEntry,
} from "./rows.js";
import { chunkOrder, limitedRatio, ratio, scanCode } from "./scan.js";
import { type SumPart, sumShapes, sumSteps } from "./sums.js";

type Part = CommonPart | SumPart | "columns" | "queries" | "output" | "denominators";

/** Scratch memory of the scan. */
export function forwardLayout(spec: FeatureScanSpec): Layout<Part> {
  const { capacity, features, valueSize } = spec;
  return layOut<Part>({
    ...commonShapes(spec),
    ...sumShapes(spec, false),
    columns: [features, capacity],
    queries: [capacity, features],
    output: [capacity, valueSize],
    denominators: [1, capacity],
  });
}

/**
 * The code of the scan; a work item is one block of values of one key head of one batch. Behind the
 * words of a chunk and of sums come the addresses of the outputs, all dense, and the size of values.
 */
export function forwardCode(spec: FeatureScanSpec): KernelCode {
  return scanCode("forward", spec, forwardLayout(spec), forwardSteps);
}

function forwardSteps(
  c: MathContext,
  spec: FeatureScanSpec,
  words: I32,
  at: Readonly<Record<Part, Matrix>>,
): ScanSteps {
  const { f, module } = c;
  const { features, valueSize, keyMask } = spec;
  const chunk = readChunk(c, spec, words, at);
  const sums = sumSteps(c, spec, chunk, at, false);
  const [y, keyValues, keys, maximum, values, count] = chunk.read.words(6);
  const [denominatorsOut, maximaOut, outputSize] = chunk.read.words(3);
  const { head, column, epsilon } = chunk;
  const [maxima, queries, highs] = [at.maxima[0], at.queries[0], at.highs[0]];
  const order = chunkOrder(chunk, at, spec);
  const [totals, { lists }] = [at.denominators[0], order];
  const [largest, share, decay, total] = vectors(f, 4);
  const [offset, number] = integers(f, 2);
  const rowStride = f.let(outputSize.shiftLeft(2));
  const readRow = (row: I32): void => {
    f.set<V128>(largest, maximumSeen(maxima, highs, row));
    f.set<V128>(share, f32x4.multiply(splatEntry(at.sums[0], row), epsilon));
  };

  return {
    ...order,

    begin: (item) => {
      chunk.begin(item);
      sums.load();
    },

    packColumns: (start, length) => {
      chunk.packKeys(start, length);
      packColumns(c, features, [...at.keys, length], at.columns);
      chunk.packValues(start, length);
      const to = entryAt(maximaOut, head.multiply(chunk.keyCount).add(start));
      f.memoryCopy(to, maxima.add(4), length.shiftLeft(2));
    },

    packRows: (start, length) => {
      chunk.packQueries(at.queries, start, length, true);
    },

    stateTerm: (length) => {
      const matrices = [at.queries, at.products, at.output] as const;
      multiply(c, { start: "zero" }, matrices, [length, valueSize, features]);
      eachRow(f, at.output, length, (row, rowAt) => {
        readRow(row);
        f.set<V128>(decay, ratio(c, v128.load32Splat(maxima), largest));
        const query = f.let(queries.add(row.multiply(at.queries[1])));
        f.set<V128>(total, dotProduct(c, query, at.keySums[0], features));
        const shared = f.let(f32x4.multiply(share, v128.load32Splat(at.count[0])));
        storeEntry(f, totals, row, f.let(module.madd(decay, total, shared)));
        changeRow(f, rowAt, valueSize, (x, place) => {
          const ours = f32x4.multiply(share, v128.load(at.valueSums[0].add(place)));
          return module.madd(decay, x, ours);
        });
      });
    },

    chunkTerm: (length) => {
      const toScores = [at.queries, at.columns, at.scores] as const;
      multiply(c, { start: "zero", limits: "columns" }, toScores, [length, 0, features], lists);
      const own = [lists[0][0], lists[1][0]] as const;
      eachRow(f, at.scores, length, (row, rowAt) => {
        readRow(row);
        const range = tileRange(f, row, own);
        f.for(offset, ...range, 16, () => {
          const factor = limitedRatio(c, v128.load(maxima.add(offset), 4), largest);
          const shared = keyMask
            ? f32x4.multiply(share, v128.load(at.taken[0].add(offset)))
            : share;
          const weight = module.madd(v128.load(rowAt.add(offset)), f.let(factor), shared);
          f.storeV128(rowAt.add(offset), weight);
        });
        hideUnseen(f, row, rowAt, range, own, 0);
        f.set<V128>(total, v128.zero());
        f.for(offset, ...range, 16, () => {
          f.set<V128>(total, f32x4.add(total, v128.load(rowAt.add(offset))));
        });
        addToEntry(f, totals, row, total);
      });
      const toOutput = [at.scores, at.values, at.output] as const;
      const product = { start: "output", limits: "depth" } as const;
      multiply(c, product, toOutput, [length, valueSize], lists, chunk.valuesAreFinite);
    },

    unpack: (start, length) => {
      eachRow(f, at.output, length, (row, rowAt) => {
        const factor = inverse(f, splatEntry(totals, row));
        changeRow(f, rowAt, valueSize, (x) => f32x4.multiply(x, factor));
        f.set<I32>(number, chunk.queryNumber(start.add(row)));
        storeEntry(f, denominatorsOut, number, splatEntry(totals, row));
      });
      const [first, sorted] = chunk.queryPlace(start);
      const to = entryAt(y.add(first.multiply(rowStride)), column);
      unpack(c, valueSize, at.output, [to, rowStride, length, sorted]);
    },

    update: (length) => {
      sums.update(length);
    },

    end: () => {
      const to = keyValues.add(head.multiply(features).multiply(rowStride));
      unpack(c, valueSize, at.products, [entryAt(to, column), rowStride, i32.const(features)]);
      const keysTo = keys.add(head.multiply(features * 4));
      unpack(c, features, at.keySums, [keysTo, 0, i32.const(1)]);
      const valuesTo = entryAt(values.add(head.multiply(rowStride)), column);
      unpack(c, valueSize, at.valueSums, [valuesTo, 0, i32.const(1)]);
      f.storeI32(entryAt(maximum, head), i32.load(maxima));
      f.storeI32(entryAt(count, head), i32.load(at.count[0]));
    },
  };
}
