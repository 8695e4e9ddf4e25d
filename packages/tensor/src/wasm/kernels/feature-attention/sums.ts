/** The sums over the keys so far, in scratch memory: what the next queries see of them. */

import { f32, f32x4, i32, type I32, i32x4, v128, type V128 } from "../../assembler/index.js";
import { expOfNegative, type MathContext } from "../../math/index.js";
import { lowestMaximum } from "../../../ops/feature-attention-blocks.js";
import type { Matrix } from "../attention/matrix.js";
import { pack, packColumns } from "../attention/pack.js";
import { multiply } from "../attention/product.js";
import { entryAt, integers, vectors } from "../code.js";
import type { Chunk, CommonPart, FeatureScanSpec } from "./chunk.js";
import { addRows, changeRow, eachRow, splatEntry, storeEntry } from "./rows.js";

/** Matrices of the sums; products are [F, e] or, transposed, [e, F]. */
export type SumPart = "products" | "keySums" | "valueSums" | "count" | "factors";

/** The shapes of these matrices. */
export function sumShapes(
  { features, valueSize }: FeatureScanSpec,
  isTransposed: boolean,
): Record<SumPart, readonly [rows: number, columns: number]> {
  return {
    products: isTransposed ? [valueSize, features] : [features, valueSize],
    keySums: [1, features],
    valueSums: [1, valueSize],
    count: [1, 1],
    factors: [1, isTransposed ? valueSize : features],
  };
}

/** What is done with the sums. */
export interface Sums {
  /** Starts from the given state, or from nothing. */
  load(): void;
  /** Adds the keys of the chunk; `columns` are its values, transposed, where products are. */
  update(count: I32, columns?: Matrix): void;
}

/** Writes the steps of the sums. Their words are views of the five parts of a state. */
export function sumSteps(
  c: MathContext,
  spec: FeatureScanSpec,
  { read, batch, keyHead, column }: Chunk,
  at: Readonly<Record<CommonPart | SumPart, Matrix>>,
  isTransposed: boolean,
): Sums {
  const { f } = c;
  const { features, valueSize, keyMask } = spec;
  const [keyValues, keys, maximum] = [read.view(4), read.view(3), read.view(2)];
  const [values, counts] = [read.view(3), read.view(2)];
  const [maxima, count] = [at.maxima[0], at.count[0]];
  const [row, last] = integers(f, 2);
  const [latest, decay] = vectors(f, 2);
  const clear = ([address, rowBytes]: Matrix, rows: number): void => {
    f.memoryFill(address, 0, rows * rowBytes);
  };

  return {
    load: () => {
      if (!spec.state) {
        clear(at.products, isTransposed ? valueSize : features);
        for (const matrix of [at.keySums, at.valueSums, at.count]) clear(matrix, 1);
        f.storeF32(maxima, f32.const(lowestMaximum));
        return;
      }
      const from = keyValues.at(batch, keyHead, i32.const(0), column);
      const rows = [from, keyValues.strides[2]!, i32.const(features)] as const;
      if (isTransposed) packColumns(c, valueSize, rows, at.products);
      else pack(c, valueSize, rows, at.products);
      pack(c, features, [keys.at(batch, keyHead), 0, 1], at.keySums);
      pack(c, valueSize, [values.at(batch, keyHead, column), 0, 1], at.valueSums);
      f.storeF32(count, f32.load(counts.at(batch, keyHead)));
      f.storeF32(maxima, f32.load(maximum.at(batch, keyHead)));
    },

    update: (length, columns) => {
      f.set<I32>(last, entryAt(maxima, length));
      f.set<V128>(latest, v128.load32Splat(last));
      const decayed = f32x4.subtract(v128.load32Splat(maxima), latest);
      f.set<V128>(decay, expOfNegative(c, f.let(decayed)));
      f.for(row, 0, isTransposed ? valueSize : features, 1, () => {
        storeEntry(f, at.factors[0], row, decay);
      });
      eachRow(f, at.keys, length, (number, rowAt) => {
        const own = f.let(f32x4.subtract(splatEntry(maxima, number, 4), latest));
        const factor = f.let(expOfNegative(c, own));
        changeRow(f, rowAt, features, (x) => f32x4.multiply(x, factor));
        if (!keyMask) return;
        f.storeF32(count, f32.load(count).add(f32.load(entryAt(at.taken[0], number))));
      });
      if (!keyMask) {
        const more = f32x4.convertI32x4(i32x4.splat(length));
        f.storeLane(32, count, f.let(f32x4.add(v128.load32Zero(count), more)), 0);
      }
      addRows(c, at.keys, length, features, at.keySums[0], decay);
      addRows(c, at.values, length, valueSize, at.valueSums[0]);
      const lists = [at.lows, at.highs, at.factors];
      const spec = { start: "scaled", transposed: columns === undefined } as const;
      const matrices = columns
        ? ([columns, at.keys, at.products] as const)
        : ([at.keys, at.values, at.products] as const);
      const sizes = columns ? [valueSize, features, length] : [features, valueSize, length];
      multiply(c, spec, matrices, sizes as [number, number, I32], lists);
      f.storeLane(32, maxima, latest, 0);
    },
  };
}
