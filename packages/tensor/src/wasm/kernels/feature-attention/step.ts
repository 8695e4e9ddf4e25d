/**
 * One token of feature attention: decoding.
 *
 * The projection and the sums are read once, and the sums are written where they are: with
 * c = exp(M − M'), keyValues_f = c keyValues_f + exp(b_f − M') v, and the same for the others. Each
 * query head of the group then reads the new sums while they are in the cache.
 */

import { f32, f32x4, i32, type I32, i32x4, v128, type V128 } from "../../assembler/index.js";
import type { KernelCode } from "../../launch.js";
import { expOfNegative } from "../../math/index.js";
import { type View, WordReader } from "../arguments.js";
import { directScoresFunction, forColumns } from "../attention/direct.js";
import { layOut, type Layout, type Matrix, matricesOf } from "../attention/matrix.js";
import { loadPartial, pack, storePartial, unpack } from "../attention/pack.js";
import { divide, entryAt, integers, kernelCode, vectors } from "../code.js";
import { exponentiate, type FeatureSpec, listBounds } from "./features.js";
import { changeRow, dotProduct, inverse, splatEntry, storeEntry } from "./rows.js";

/** What makes the code of a step. */
export interface StepSpec extends FeatureSpec {
  readonly valueSize: number;
  readonly keyMask: boolean;
}

type Part =
  | ("raw" | "keys" | "queries" | "keySums" | "values" | "valueSums")
  | ("bounds" | "shifts" | "sums");

/** Scratch memory of a step. */
export function stepLayout({ size, features, valueSize }: StepSpec): Layout<Part> {
  return layOut<Part>({
    raw: [1, size],
    keys: [1, features],
    queries: [1, features],
    keySums: [1, features],
    values: [1, valueSize],
    valueSums: [1, valueSize],
    bounds: [1, 1],
    shifts: [1, 1],
    sums: [1, 1],
  });
}

/**
 * The code of a step; a work item is one key head of one batch. Its words: views of q, k, v, the
 * projection, the key mask and the five parts of the state, the addresses of the outputs, which are
 * dense, the numbers of key heads and of query heads that share one, scale and ε.
 */
export function stepCode(spec: StepSpec): KernelCode {
  const { map, size, features, valueSize, keyMask } = spec;
  const key = `feature/step ${[map, size, features, valueSize, keyMask].join(" ")}`;
  const [one, none] = [i32.const(1), i32.const(0)];
  // 1/2 as a word: rows are packed times the scale.
  const half = i32.const(0x3f000000);
  return kernelCode(key, (c, words, scratch) => {
    const { f, module } = c;
    const read = new WordReader(f, words);
    const [q, k, v, projection, mask] = [4, 4, 4, 2, 2].map((rank) => read.view(rank)) as Views;
    const [keyValues, keySums, maximum, valueSums, count] = [4, 3, 2, 3, 2].map((rank) =>
      read.view(rank),
    ) as Views;
    const [y, keyValuesTo, keysTo, maximumTo, valuesTo, countTo] = read.words(6);
    const [denominators, maxima] = read.words(2);
    const [keyHeads, groups, scale, epsilonWord] = read.words(4);
    const at = matricesOf(f, scratch, stepLayout(spec));
    const [bounds, shifts, sums] = [at.bounds[0], at.shifts[0], at.sums[0]];
    const epsilon = f.let(i32x4.splat(epsilonWord));
    const [decay, share, factor, counted, kSplat, qSplat, store] = vectors(f, 7);
    const accumulators = f.localArray(v128, 4);
    const [group, row, from, to, taken] = integers(f, 5);
    const [before, largest] = [f.local(f32), f.local(f32)];
    const rowBytes = valueSize * 4;

    /** Packs a row of queries or keys and projects it. */
    const project = (address: I32, target: Matrix): void => {
      if (map === "exponential") pack(c, size, [address, 0, one], target);
      else {
        pack(c, size, [address, 0, one], at.raw, scale);
        const scores = directScoresFunction(module, size);
        const [rows, stride] = [projection.at(), projection.strides[0]!];
        f.call(scores, at.raw[0], rows, stride, none, i32.const(features), target[0]);
      }
      listBounds(c, spec, target, one, at.raw, [bounds, shifts], half);
    };

    return (item) => {
      const [batch, head] = divide(f, item, keyHeads);
      project(k.at(batch, head), at.keys);
      pack(c, valueSize, [v.at(batch, head), 0, one], at.values);
      f.set(before, f32.load(maximum.at(batch, head)));
      f.set(largest, before.maximum(f32.load(bounds)));
      f.set<I32>(taken, keyMask ? i32.load8Unsigned(mask.at(batch)) : one);
      if (keyMask) f.set(largest, taken.select(largest, before));
      f.storeF32(shifts, f32.load(shifts).add(largest));
      exponentiate(c, features, at.keys, one, [shifts, sums], none);
      if (keyMask) {
        f.if(taken.isZero(), () => {
          f.memoryFill(at.keys[0], 0, features * 4);
          f.memoryFill(at.values[0], 0, rowBytes);
        });
      }
      f.storeF32(shifts, before.subtract(largest));
      f.set<V128>(decay, expOfNegative(c, f.let(v128.load32Splat(shifts))));

      // The small sums, into scratch memory and back to where they are kept.
      pack(c, features, [keySums.at(batch, head), 0, one], at.keySums);
      pack(c, valueSize, [valueSums.at(batch, head), 0, one], at.valueSums);
      changeRow(f, at.keySums[0], features, (x, place) =>
        module.madd(decay, x, v128.load(at.keys[0].add(place))),
      );
      changeRow(f, at.valueSums[0], valueSize, (x, place) =>
        f32x4.add(x, v128.load(at.values[0].add(place))),
      );
      const more = f32x4.convertI32x4(i32x4.splat(taken));
      f.set<V128>(counted, f32x4.add(v128.load32Splat(count.at(batch, head)), more));
      unpack(c, features, at.keySums, [keysTo.add(item.multiply(features * 4)), 0, one]);
      unpack(c, valueSize, at.valueSums, [valuesTo.add(item.multiply(rowBytes)), 0, one]);
      for (const list of [maximumTo, maxima]) f.storeF32(entryAt(list, item), largest);
      storeEntry(f, countTo, item, counted);

      const start = f.let<I32>(keyValues.at(batch, head));
      const finalStart = f.let(keyValuesTo.add(item.multiply(features * rowBytes)));
      f.for(group, 0, groups, 1, () => {
        project(q.at(batch, head.multiply(groups).add(group)), at.queries);
        f.storeF32(shifts, f32.load(shifts).add(f32.load(bounds)));
        const added = map === "random" ? epsilonWord : none;
        const isSoftmax = map === "exponential";
        exponentiate(c, features, at.queries, one, [shifts, sums], added, isSoftmax);
        f.set<V128>(share, f32x4.multiply(v128.load32Splat(sums), epsilon));
        const weights = f.let<V128>(dotProduct(c, at.queries[0], at.keySums[0], features));
        const number = f.let(item.multiply(groups).add(group));
        const total = f.let<V128>(module.madd(share, counted, weights));
        storeEntry(f, denominators, number, total);
        f.set<V128>(factor, inverse(f, total));
        const output = f.let(y.add(number.multiply(rowBytes)));
        forColumns(f, valueSize, 4, (offset, parts) => {
          parts.forEach((_, i) => {
            f.set(accumulators[i]!, v128.zero());
          });
          /** Adds rows of the products times features; `next` gives them, and may store them. */
          const addRows = (next: (place: number, lanes: number) => V128): void => {
            f.for(row, 0, features, 1, () => {
              f.set<V128>(kSplat, splatEntry(at.keys[0], row));
              f.set<V128>(qSplat, splatEntry(at.queries[0], row));
              parts.forEach(([place, lanes], i) => {
                f.set<V128>(store, next(place, lanes));
                f.set(accumulators[i]!, module.madd(qSplat, store, accumulators[i]!));
                // The first query head writes the new products, the others read them.
                storePartial(f, to, store, lanes, place);
              });
              f.increment(from, keyValues.strides[2]!);
              f.increment(to, rowBytes);
            });
          };
          f.set<I32>(to, finalStart.add(offset));
          f.if(
            group,
            () => {
              addRows((place, lanes) => loadPartial(to, place, lanes));
            },
            () => {
              f.set<I32>(from, start.add(offset));
              addRows((place, lanes) => {
                const own = v128.load(at.values[0].add(offset), place);
                const old = f32x4.multiply(loadPartial(from, place, lanes), decay);
                return module.madd(kSplat, own, old);
              });
            },
          );
          parts.forEach(([place, lanes], i) => {
            const shared = v128.load(at.valueSums[0].add(offset), place);
            const total = module.madd(share, shared, accumulators[i]!);
            storePartial(f, output.add(offset), f.let(f32x4.multiply(total, factor)), lanes, place);
          });
        });
      });
    };
  });
}

type Views = [View, View, View, View, View];
