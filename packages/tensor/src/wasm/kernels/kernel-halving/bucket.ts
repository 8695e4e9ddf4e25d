/**
 * Halving a bucket: which member of each pair is kept.
 *
 * Pairs are taken in their order, so the choice of one needs the kernel between it and those before it
 * only: half of the kernel matrix. Its products are computed for some pairs at once, tile by tile, with
 * the first members of pairs and the second ones as matrices of their own; their differences are then
 * sums and differences of vectors.
 *
 * Pairs that are not chosen yet, and those that are not whole because a member is hidden, have sign 0
 * and add nothing.
 */

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
import { expOfNegative, float, type MathContext } from "../../math/index.js";
import { type Layout, layOut, matricesOf, type Matrix } from "../attention/matrix.js";
import { pack, packColumns } from "../attention/pack.js";
import { multiply } from "../attention/product.js";
import { sumOfLanes } from "../attention/weights.js";
import { entry, entryAt, integers, type Repeat, vectors } from "../code.js";

/** Entries whose products are computed at once. */
const blockEntries = 16;

type Part =
  | "keyRows"
  | "valueRows"
  | "firstKeys"
  | "secondKeys"
  | "firstValues"
  | "secondValues"
  | "keyProducts"
  | "otherKeyProducts"
  | "valueProducts"
  | "otherValueProducts"
  | "entries"
  | "firsts"
  | "seconds"
  | "isWhole"
  | "signs"
  | "differences";

/** Scratch memory for buckets of up to `most` entries. */
export function bucketLayout(keySize: number, valueSize: number, most: number): Layout<Part> {
  const pairs = most / 2;
  const list = [1, pairs] as const;
  return layOut<Part>({
    keyRows: [blockEntries, keySize],
    valueRows: [blockEntries, valueSize],
    firstKeys: [keySize, pairs],
    secondKeys: [keySize, pairs],
    firstValues: [valueSize, pairs],
    secondValues: [valueSize, pairs],
    keyProducts: [blockEntries, pairs],
    otherKeyProducts: [blockEntries, pairs],
    valueProducts: [blockEntries, pairs],
    otherValueProducts: [blockEntries, pairs],
    entries: [1, most],
    firsts: list,
    seconds: list,
    isWhole: list,
    signs: list,
    differences: list,
  });
}

/** Rows of a tensor: where the first is, and the bytes from one to the next. */
type Source = readonly [address: I32, stride: I32];

/** A bucket while its code runs. */
export interface BucketSteps {
  /** Where the numbers of its entries go, before the other steps. */
  readonly entries: Local<I32>;
  /** Chooses: `draws` are the address of the first draw and the bytes to the next. */
  readonly choose: (
    pairs: Local<I32>,
    keys: Source,
    values: Source,
    weights: Source,
    draws: Source,
    offset: V128,
    output: Local<I32>,
  ) => void;
}

/** The steps for keys and values of constant sizes. */
export function bucketSteps(
  c: MathContext,
  [keySize, valueSize, most]: readonly [number, number, number],
  scratch: I32,
): BucketSteps {
  const { f } = c;
  const at = matricesOf(f, scratch, bucketLayout(keySize, valueSize, most));
  const lists = [at.entries, at.firsts, at.seconds, at.isWhole, at.signs, at.differences] as const;
  const [entries, firsts, seconds, wholes, signs, differences] = lists.map(
    ([address]) => address,
    // There are six; the type of `map` does not count.
  ) as unknown as Repeat<Local<I32>, 6>;
  const [block, rows, columns, row, last, number, at4, end] = integers(f, 8);
  const [first, second, position, whole] = integers(f, 4);
  const [shift, reach, radius, difference, sum, vectorOffset] = vectors(f, 6);
  const zero = float(c, 0);

  /** The largest squared norm of the keys in columns, in all lanes. */
  const largestNorm = (pairs: I32): void => {
    f.set<V128>(shift, zero);
    for (const [address, rowBytes] of [at.firstKeys, at.secondKeys]) {
      f.for(position, 0, pairs.shiftLeft(2), 16, () => {
        f.set<V128>(sum, zero);
        f.set<I32>(at4, address.add(position));
        f.for(row, 0, keySize, 1, () => {
          f.set<V128>(difference, v128.load(at4));
          f.set<V128>(sum, c.module.madd(difference, difference, sum));
          f.increment(at4, rowBytes);
        });
        f.set<V128>(shift, f32x4.pseudoMaximum(shift, sum));
      });
    }
    for (const lanes of [
      [2, 3, 0, 1],
      [1, 0, 3, 2],
    ]) {
      f.set<V128>(shift, f32x4.pseudoMaximum(shift, i32x4.shuffle(shift, shift, lanes)));
    }
  };

  /** The kernel between an entry of the block and four members of pairs. */
  const kernel = (keys: Matrix, values: Matrix, bytes: I32, offset: number): V128 => {
    const product = v128.load(keys[0].add(bytes), offset * keys[1]);
    const power = f.let(expOfNegative(c, f.let<V128>(f32x4.subtract(product, shift))));
    const other = v128.load(values[0].add(bytes), offset * values[1]);
    return f32x4.multiply(power, f32x4.add(other, vectorOffset));
  };

  /** Writes Σ e_j d_ij to `sum` and d_ij to `differences`; `bytes` is where the rows of pair i begin. */
  const differ = (pair: I32, bytes: I32): void => {
    const own = f.let<I32>(bytes);
    f.set<V128>(sum, zero);
    f.set<I32>(end, pair.shiftLeft(2).add(4));
    f.for(position, 0, end, 16, () => {
      const from = f.let<I32>(own.add(position));
      const [a, b] = [
        [at.keyProducts, at.valueProducts] as const,
        [at.otherKeyProducts, at.otherValueProducts] as const,
      ];
      const one = f.let(kernel(...a, from, 0));
      const two = f.let(f32x4.subtract(one, kernel(...a, from, 1)));
      const three = f.let(f32x4.subtract(two, kernel(...b, from, 0)));
      f.set<V128>(difference, f32x4.add(three, kernel(...b, from, 1)));
      f.storeV128(differences.add(position), difference);
      f.set<V128>(sum, c.module.madd(difference, v128.load(signs.add(position)), sum));
    });
    f.set<V128>(sum, sumOfLanes(f, sum));
  };

  return {
    entries,
    choose: (pairs, keys, values, weights, draws, offset, output) => {
      const weightOf = (own: I32) => f32.load(weights[0].add(own.multiply(weights[1])));
      const drawAt = (pair: I32): I32 => draws[0].add(pair.multiply(draws[1]));
      const inverted = f.let(f32.load(drawAt(i32.const(0))).less(f32.const(0)));

      // Which pairs are whole; of the others it is known what to keep.
      f.set<I32>(whole, i32.const(0));
      f.for(number, 0, pairs, 1, () => {
        f.set<I32>(first, entry(entries, number.shiftLeft(1)));
        f.set<I32>(second, entry(entries, number.shiftLeft(1), 1));
        f.storeI32(entryAt(firsts, number), first);
        f.storeI32(entryAt(seconds, number), second);
        const hasSecond = f.let(weightOf(second).greater(f32.const(0)));
        const isWhole = f.let(weightOf(first).greater(f32.const(0)).and(hasSecond));
        f.storeI32(entryAt(output, number), hasSecond.select<I32>(second, first));
        f.storeI32(entryAt(wholes, number), isWhole);
        f.set<I32>(whole, whole.or(isWhole));
      });
      f.if(whole, () => {
        const [size, halves] = [f.let<I32>(pairs.shiftLeft(1)), pairs];
        packColumns(c, keySize, [...keys, halves, firsts], at.firstKeys);
        packColumns(c, keySize, [...keys, halves, seconds], at.secondKeys);
        packColumns(c, valueSize, [...values, halves, firsts], at.firstValues);
        packColumns(c, valueSize, [...values, halves, seconds], at.secondValues);
        largestNorm(pairs);
        f.memoryFill(signs, 0, pairs.add(3).and(-4).shiftLeft(2));
        f.set<V128>(vectorOffset, offset);
        f.set<V128>(reach, zero);

        f.for(block, 0, size, blockEntries, () => {
          f.set<I32>(rows, size.subtract(block));
          f.set<I32>(rows, rows.minimum(blockEntries));
          const order = f.let<I32>(entryAt(entries, block));
          pack(c, keySize, [...keys, rows, order], at.keyRows);
          pack(c, valueSize, [...values, rows, order], at.valueRows);
          f.set<I32>(columns, block.add(rows).shiftRightUnsigned(1));
          for (const [left, right, product, depth] of [
            [at.keyRows, at.firstKeys, at.keyProducts, keySize],
            [at.keyRows, at.secondKeys, at.otherKeyProducts, keySize],
            [at.valueRows, at.firstValues, at.valueProducts, valueSize],
            [at.valueRows, at.secondValues, at.otherValueProducts, valueSize],
          ] as const) {
            multiply(c, { start: "zero" }, [left, right, product], [rows, columns, depth]);
          }
          f.set<I32>(number, block.shiftRightUnsigned(1));
          f.set<I32>(last, columns);
          const bytes = f.letI32(0);
          f.while(number.less(last), () => {
            f.if(entry(wholes, number), () => {
              differ(number, bytes);
              f.set<V128>(radius, v128.load32Splat(entryAt(differences, number)));
              f.set<V128>(radius, f32x4.sqrt(f32x4.pseudoMaximum(zero, radius)));
              f.set<V128>(reach, f32x4.pseudoMaximum(reach, radius));
              const draw = v128.load32Splat(drawAt(number));
              const threshold = f32x4.multiply(f32x4.multiply(draw, radius), reach);
              const swaps = f32x4.lessEqual(threshold, sum).anyTrue();
              const isSwapped = f.let(swaps.and(number.greater(0)));
              const sign = isSwapped.select<I32>(i32.const(-0x40800000), i32.const(0x3f800000));
              f.storeI32(entryAt(signs, number), sign);
              f.if(isSwapped.equal(inverted), () => {
                f.storeI32(entryAt(output, number), entry(firsts, number));
              });
            });
            f.increment(number, 1);
            f.increment(bytes, 2 * at.keyProducts[1]);
          });
        });
      });
    },
  };
}
