/**
 * The forward scan of the backward pass: cotangents of queries.
 *
 * With g_i = dy_i / Σ_j w_ij and c_i = y_i · g_i, the cotangent of a weight is g_i · v_j − c_i, and
 * that of the features of a query Σ_j (g_i · v_j − c_i) (exp(b_j − M_i) + ε).
 */

import { f32x4, type I32, i32, v128, type V128 } from "../../assembler/index.js";
import type { KernelCode } from "../../launch.js";
import type { MathContext } from "../../math/index.js";
import { layOut, type Layout, type Matrix } from "../attention/matrix.js";
import { packColumns, unpack } from "../attention/pack.js";
import { multiply } from "../attention/product.js";
import { hideUnseen, tileRange } from "../attention/visibility.js";
import { vectors } from "../code.js";
import type { ScanSteps } from "../linear-attention/traversal.js";
import {
  type CommonPart,
  commonShapes,
  type FeatureScanSpec,
  maximumSeen,
  readChunk,
} from "./chunk.js";
import { addToEntry, changeRow, dotProduct, eachRow, splatEntry, storeEntry } from "./rows.js";
import { chunkOrder, limitedRatio, ratio, scanCode } from "./scan.js";
import { type SumPart, sumShapes, sumSteps } from "./sums.js";

type Part =
  | CommonPart
  | SumPart
  | ("columns" | "powers" | "cotangents" | "output" | "gradient" | "means" | "shared");

/** Scratch memory of the scan. */
export function queryCotangentLayout(spec: FeatureScanSpec): Layout<Part> {
  const { map, capacity, size, features, valueSize } = spec;
  return layOut<Part>({
    ...commonShapes(spec),
    ...sumShapes(spec, true),
    columns: [valueSize, capacity],
    powers: [capacity, features],
    cotangents: [capacity, valueSize],
    output: [capacity, features],
    gradient: map === "random" ? [capacity, size] : [0, 0],
    means: [1, capacity],
    shared: [1, capacity],
  });
}

/**
 * The code of the scan; a work item is one key head of one batch. Behind the words of a chunk and of
 * sums comes the address of dq, dense.
 */
export function queryCotangentCode(spec: FeatureScanSpec): KernelCode {
  return scanCode("query cotangent", spec, queryCotangentLayout(spec), queryCotangentSteps);
}

function queryCotangentSteps(
  c: MathContext,
  spec: FeatureScanSpec,
  words: I32,
  at: Readonly<Record<Part, Matrix>>,
): ScanSteps {
  const { f, module } = c;
  const { map, size, features, valueSize, keyMask } = spec;
  const chunk = readChunk(c, spec, words, at);
  const sums = sumSteps(c, spec, chunk, at, true);
  const [dq] = chunk.read.words(1);
  const [maxima, highs, means, shared] = [at.maxima[0], at.highs[0], at.means[0], at.shared[0]];
  const order = chunkOrder(chunk, at, spec);
  const { lists } = order;
  const [largest, mean, decay, total] = vectors(f, 4);
  const offset = f.local(i32);
  const stride = i32.const(size * 4);

  return {
    ...order,

    begin: (item) => {
      chunk.begin(item);
      sums.load();
    },

    packColumns: (start, length) => {
      chunk.packKeys(start, length);
      chunk.packValues(start, length);
      packColumns(c, valueSize, [...at.values, length], at.columns);
    },

    packRows: (start, length) => {
      chunk.packQueries(at.powers, start, length, false);
      chunk.packCotangents(at.cotangents, means, start, length);
    },

    stateTerm: (length) => {
      const matrices = [at.cotangents, at.products, at.output] as const;
      multiply(c, { start: "zero" }, matrices, [length, features, valueSize]);
      eachRow(f, at.output, length, (row, rowAt) => {
        f.set<V128>(largest, maximumSeen(maxima, highs, row));
        f.set<V128>(mean, splatEntry(means, row));
        f.set<V128>(decay, ratio(c, v128.load32Splat(maxima), largest));
        const own = f.let<I32>(at.cotangents[0].add(row.multiply(at.cotangents[1])));
        f.set<V128>(total, dotProduct(c, own, at.valueSums[0], valueSize));
        const all = module.nmadd(mean, v128.load32Splat(at.count[0]), total);
        storeEntry(f, shared, row, f.let(all));
        changeRow(f, rowAt, features, (x, place) => {
          const direct = module.nmadd(mean, v128.load(at.keySums[0].add(place)), x);
          return f32x4.multiply(decay, direct);
        });
      });
    },

    chunkTerm: (length) => {
      const toScores = [at.cotangents, at.columns, at.scores] as const;
      multiply(c, { start: "zero", limits: "columns" }, toScores, [length, 0, valueSize], lists);
      const own = [lists[0][0], lists[1][0]] as const;
      eachRow(f, at.scores, length, (row, rowAt) => {
        f.set<V128>(largest, maximumSeen(maxima, highs, row));
        f.set<V128>(mean, splatEntry(means, row));
        const range = tileRange(f, row, own);
        f.for(offset, ...range, 16, () => {
          const score = f32x4.subtract(v128.load(rowAt.add(offset)), mean);
          const taken = v128.load(at.taken[0].add(offset));
          f.storeV128(rowAt.add(offset), keyMask ? f32x4.multiply(score, taken) : score);
        });
        hideUnseen(f, row, rowAt, range, own, 0);
        f.set<V128>(total, v128.zero());
        f.for(offset, ...range, 16, () => {
          const factor = limitedRatio(c, v128.load(maxima.add(offset), 4), largest);
          const score = f.let<V128>(v128.load(rowAt.add(offset)));
          f.set<V128>(total, f32x4.add(total, score));
          f.storeV128(rowAt.add(offset), f32x4.multiply(score, factor));
        });
        addToEntry(f, shared, row, total);
      });
      const toOutput = [at.scores, at.keys, at.output] as const;
      const product = { start: "output", limits: "depth" } as const;
      multiply(c, product, toOutput, [length, features], lists, chunk.keysAreFinite);
    },

    unpack: (start, length) => {
      eachRow(f, at.output, length, (row, rowAt) => {
        f.set<V128>(total, f32x4.multiply(splatEntry(shared, row), chunk.epsilon));
        changeRow(f, rowAt, features, (x) => f32x4.add(x, total));
      });
      const isSoftmax = map === "exponential";
      const { output, powers, rawQueries, gradient } = at;
      const result = chunk.chain(output, powers, length, rawQueries, gradient, isSoftmax);
      const [first, sorted] = chunk.queryPlace(start);
      unpack(c, size, result, [dq.add(first.multiply(stride)), stride, length, sorted]);
    },

    update: (length) => {
      sums.update(length, at.columns);
    },

    end: () => undefined,
  };
}
