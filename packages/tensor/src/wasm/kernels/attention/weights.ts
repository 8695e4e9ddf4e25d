/**
 * From scores to weights, row by row.
 *
 * Forward it is the online softmax: for each row the largest score so far is kept and the sum of
 * e^(score − largest). A block that brings a larger score makes all earlier sums smaller by a factor,
 * with which the output of earlier blocks has to be multiplied too.
 *
 * Backward weights are computed again from the logarithms of the sums, and the cotangents of weights
 * become those of scores.
 */

import {
  f32x4,
  type FunctionBuilder,
  i32,
  type I32,
  i32x4,
  type Local,
  type ModuleBuilder,
  v128,
  type V128,
} from "../../assembler/index.js";
import { expOfNegative, float, log, type MathContext, threefry } from "../../math/index.js";
import { entryAt, integers, type Routine, routine, vectors } from "../code.js";
import { type Layout, type Matrix, roundUpI32 } from "./matrix.js";
import { type Guide, hideUnseen, tileRange } from "./visibility.js";

/** What makes the code of the weights. */
export interface WeightsSpec<Part extends string> {
  /** Identity of the kernel. */
  readonly key: string;
  readonly guide: Guide;
  readonly dropout: boolean;
  /** Scratch memory; rows of the guide and of gradients are as far apart as those of the weights. */
  readonly places: Layout<Part | CommonPart>["places"];
}

type CommonPart = "weights" | "guide" | "lows" | "highs";

/**
 * The argument words that weights are drawn by: the addresses of the generator's two keys and counter,
 * what drops, what scales; then the number of keys.
 */
export const drawBytes = 20;

/** A row of scores. */
interface Row {
  readonly number: Local<I32>;
  /** Where it is. */
  readonly at: Local<I32>;
  /** Where vectors start and end that its tile uses, in bytes. */
  readonly range: readonly [Local<I32>, Local<I32>];
  /** `body(offset)` for all of these vectors. */
  readonly each: (body: (offset: Local<I32>) => void) => void;
  /** What dropout makes of the weights, or of their cotangents, that `each` stands at. */
  readonly drop: () => (weights: V128) => V128;
}

/**
 * Writes what is done for all rows of a block. `words` are the argument words, `position` is the number
 * of the first score among all.
 */
function eachRow(
  c: MathContext,
  spec: WeightsSpec<never>,
  [scratch, words, rows, position, guideStride]: readonly [I32, I32, I32, I32, I32],
  body: (row: Row) => void,
): void {
  const { f } = c;
  const { guide, dropout, places } = spec;
  const rowBytes = places.weights[1];
  const partAt = (part: CommonPart): I32 => scratch.add(places[part][0]);
  const [number, offset] = integers(f, 2);
  const lists = [partAt("lows"), partAt("highs")] as const;
  const [at, guideAt] = [f.let(partAt("weights")), f.let(partAt("guide"))];
  const rowPosition = f.let(position);
  const [key0, key1, counter] = [0, 4, 8].map((word) =>
    dropout ? f.let<V128>(v128.load32Splat(i32.load(words, word))) : v128.zero(),
  ) as [V128, V128, V128];
  f.for(number, 0, rows, 1, () => {
    const range = tileRange(f, number, lists);
    const each: Row["each"] = (visit) => {
      f.for(offset, ...range, 16, () => {
        visit(offset);
      });
    };
    if (guide !== null) {
      each(() => {
        const [scores, own] = [v128.load(at.add(offset)), v128.load(guideAt.add(offset))];
        const guided =
          guide === "bias"
            ? f32x4.add(scores, own)
            : v128.bitselect(scores, float(c, -Infinity), own);
        f.storeV128(at.add(offset), guided);
      });
    }
    hideUnseen(f, number, at, range, lists, -Infinity);
    body({
      number,
      at,
      range,
      each,
      drop: () => {
        if (!dropout) return (weights) => weights;
        // Word 0 of the Threefry block of the key, the weight's position and the counter.
        const lanes = f.constant(i32x4.const(0, 1, 2, 3));
        const first = i32x4.splat(rowPosition.add(offset.shiftRightUnsigned(2)));
        const [bits] = threefry(c, key0, key1, f.let(i32x4.add(first, lanes)), counter);
        const kept = f.let(i32x4.greaterEqualUnsigned(bits, v128.load32Splat(words, 12)));
        const scale = f.let(v128.load32Splat(words, 16));
        return (weights) => f32x4.multiply(weights, scale).and(kept);
      },
    });
    f.increment(at, rowBytes);
    if (guide !== null) f.increment(guideAt, guideStride);
    if (dropout) f.increment(rowPosition, i32.load(words, drawBytes));
  });
}

/**
 * Turns the scores of a block into weights that are still to be divided by the row's sum:
 * `(scratch, words, rows, position, guideStride)`.
 */
export function weightsFunction(
  module: ModuleBuilder,
  spec: WeightsSpec<"maxima" | "sums" | "factors">,
): Routine {
  const { key, places } = spec;
  return routine(module, `${key} weights`, (f, scratch, words, rows, position, guideStride) => {
    const c: MathContext = { module, f };
    const [most, shift, total, old, weights] = vectors(f, 5);
    eachRow(
      c,
      spec,
      [scratch, words, rows, position, guideStride],
      ({ number, at, each, drop }) => {
        const entryOf = (part: "maxima" | "sums" | "factors"): I32 =>
          entryAt(scratch.add(places[part][0]), number);
        f.set<V128>(most, float(c, -Infinity));
        each((offset) => {
          f.set<V128>(most, f32x4.pseudoMaximum(most, v128.load(at.add(offset))));
        });
        f.set<V128>(
          most,
          overLanes(f, most, (a, b) => f32x4.pseudoMaximum(a, b)),
        );
        f.set<V128>(old, v128.load32Splat(entryOf("maxima")));
        f.set<V128>(most, f32x4.pseudoMaximum(old, most));
        f.storeLane(32, entryOf("maxima"), most, 0);
        f.set<V128>(shift, finiteShift(c, most));
        f.set<V128>(weights, expOfNegative(c, f.let(f32x4.subtract(old, shift))));
        f.storeLane(32, entryOf("factors"), weights, 0);
        f.set<V128>(total, v128.zero());
        f.set<V128>(old, f32x4.multiply(v128.load32Zero(entryOf("sums")), weights));
        each((offset) => {
          const scores = v128.load(at.add(offset));
          f.set<V128>(weights, expOfNegative(c, f.let(f32x4.subtract(scores, shift))));
          f.set<V128>(total, f32x4.add(total, weights));
          f.storeV128(at.add(offset), f.let(drop()(weights)));
        });
        f.set<V128>(total, f32x4.add(old, sumOfLanes(f, total)));
        f.storeLane(32, entryOf("sums"), total, 0);
      },
    );
  });
}

/**
 * Turns scores into weights, and cotangents of weights into those of scores, both in place:
 * `(scratch, words, rows, position, guideStride, columns, logarithms, products)`.
 *
 * `logarithms` lists the logarithms of the rows' sums, `products` those of output and cotangent of
 * each row. All columns are written, with zeros where they are not seen.
 */
export function weightGradientsFunction(
  module: ModuleBuilder,
  spec: WeightsSpec<"gradients">,
): Routine {
  const { key, places } = spec;
  return routine(
    module,
    `${key} gradients`,
    (f, scratch, words, rows, position, guideStride, columns, logarithms, products) => {
      const c: MathContext = { module, f };
      const [shift, product, weights, gradient] = vectors(f, 4);
      const clearAt = f.local(i32);
      const toGradient = places.gradients[0] - places.weights[0];
      eachRow(
        c,
        spec,
        [scratch, words, rows, position, guideStride],
        ({ number, at, range, each, drop }) => {
          const clear = (from: I32, to: I32): void => {
            f.for(clearAt, from, to, 16, () => {
              f.storeV128(at.add(clearAt), v128.zero());
              f.storeV128(at.add(clearAt), v128.zero(), toGradient);
            });
          };
          f.set<V128>(shift, v128.load32Splat(entryAt(logarithms, number)));
          f.set<V128>(shift, finiteShift(c, shift));
          f.set<V128>(product, v128.load32Splat(entryAt(products, number)));
          clear(i32.const(0), range[0]);
          each((offset) => {
            const scores = f.let<V128>(v128.load(at.add(offset)));
            f.set<V128>(weights, expOfNegative(c, f.let(f32x4.subtract(scores, shift))));
            // What is hidden has no weight, even in a row whose sum is not a number.
            f.set<V128>(weights, weights.andNot(f32x4.equal(scores, float(c, -Infinity))));
            const dropped = drop();
            f.set<V128>(gradient, dropped(v128.load(at.add(offset), toGradient)));
            // Nothing comes from what has no weight, even where the cotangent is not a number.
            const seen = f32x4.notEqual(weights, v128.zero());
            const own = f32x4.multiply(weights, f32x4.subtract(gradient, product)).and(seen);
            f.storeV128(at.add(offset), own, toGradient);
            f.storeV128(at.add(offset), dropped(weights));
          });
          clear(range[1], roundUpI32(columns, 4).shiftLeft(2));
        },
      );
    },
  );
}

/** `largest`, but 0 where it is −∞: a shift must not make NaN of a row that sees nothing. */
function finiteShift(c: MathContext, largest: Local<V128>): V128 {
  return largest.andNot(f32x4.equal(largest, float(c, -Infinity)));
}

/** The lanes joined, in all lanes. */
export function overLanes(
  f: FunctionBuilder,
  x: Local<V128>,
  join: (a: V128, b: V128) => V128,
): V128 {
  const pairs = f.let(join(x, i32x4.shuffle(x, x, [1, 0, 3, 2])));
  return join(pairs, i32x4.shuffle(pairs, pairs, [2, 3, 0, 1]));
}

/** The sum of the lanes in all lanes. */
export function sumOfLanes(f: FunctionBuilder, x: Local<V128>): V128 {
  return overLanes(f, x, (a, b) => f32x4.add(a, b));
}

/**
 * Divides rows of the output, `rowBytes` apart, by their sums, and lists the logarithms of the sums:
 * 0 and −∞ where a row has seen nothing.
 */
export function finish(
  c: MathContext,
  [output, rowBytes]: Matrix,
  rows: I32,
  [maxima, sums, logarithms]: readonly [I32, I32, I32],
): void {
  const { f } = c;
  const [row, at, end] = integers(f, 3);
  const [sum, inverse, logarithm] = vectors(f, 3);
  f.set<I32>(at, output);
  f.for(row, 0, rows, 1, () => {
    f.set<V128>(sum, v128.load32Splat(entryAt(sums, row)));
    const isEmpty = f.let(f32x4.equal(sum, v128.zero()));
    f.set<V128>(inverse, f32x4.divide(f32x4.splat(1), sum).andNot(isEmpty));
    f.set<V128>(logarithm, log(c, sum));
    f.set<V128>(logarithm, f32x4.add(logarithm, v128.load32Splat(entryAt(maxima, row))));
    f.storeLane(32, entryAt(logarithms, row), logarithm, 0);
    f.set<I32>(end, at.add(rowBytes));
    f.forAddress(at, at, end, 16, () => {
      f.storeV128(at, f32x4.multiply(v128.load(at), inverse));
    });
  });
}
