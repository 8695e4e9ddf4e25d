/**
 * From scores to weights, row by row: the online softmax of the forward pass.
 *
 * For each row it keeps the largest score so far and the sum of e^(score − largest). A block that
 * brings a larger score makes all earlier sums smaller by a factor, with which the output of earlier
 * blocks has to be multiplied too.
 */

import {
  f32x4,
  type FunctionBuilder,
  type FunctionReference,
  i32,
  type I32,
  i32x4,
  type Local,
  type ModuleBuilder,
  v128,
  type V128,
} from "../../assembler/index.js";
import { expOfNegative, log, type MathContext, threefry } from "../../math/index.js";
import { procedure } from "./pack.js";
import { tileRows } from "./register-tile.js";
import { type Guide, laneNumbers, minusInfinity } from "./visibility.js";

/** What makes the code of the weights. */
export interface WeightsSpec {
  readonly guide: Guide;
  readonly dropout: boolean;
  /** Bytes between rows of the scores. */
  readonly rowBytes: number;
}

type I = typeof i32;
type WeightsParameters = readonly [I, I, I, I, I, I, I, I, I, I, I, I];

const weightsParameters: WeightsParameters = [
  ...[i32, i32, i32, i32, i32, i32],
  ...[i32, i32, i32, i32, i32, i32],
] as const;

/**
 * `(scores, rows, lows, highs, guide, guideStride, maxima, sums, factors, draw, position, stride)`.
 *
 * `draw`: see `drawWords`; `position` is the number of the first score among all, `stride` what is
 * added to it from row to row.
 */
export type WeightsFunction = FunctionReference<WeightsParameters, null>;

/** Words of a draw in memory: the key and counter of the generator, what drops, what scales. */
export const drawWords = {
  key0: 0,
  key1: 4,
  counter: 8,
  threshold: 12,
  scale: 16,
  bytes: 20,
} as const;

/** Turns the scores of a block into weights that are still to be divided by the row's sum. */
export function weightsFunction(module: ModuleBuilder, spec: WeightsSpec): WeightsFunction {
  const { guide, dropout, rowBytes } = spec;
  const key = `attention/weights ${guide}${dropout ? " dropout" : ""} ${rowBytes}`;
  return procedure(
    module,
    key,
    weightsParameters,
    (
      f,
      scores,
      rows,
      lows,
      highs,
      guides,
      guideStride,
      maxima,
      sums,
      factors,
      draw,
      position,
      stride,
    ) => {
      const c: MathContext = { module, f };
      const row = f.local(i32);
      const [rowAt, guideAt] = [f.let(scores), f.let(guides)];
      const rowPosition = f.let(position);
      const [most, shift, total] = [f.local(v128), f.local(v128), f.local(v128)];
      const [old, weights] = [f.local(v128), f.local(v128)];
      f.for(row, 0, rows, 1, () => {
        const range = new RowRange(f, row, lows, highs, tileRows);
        f.set<V128>(most, minusInfinity(f));
        const visit = (isPartial: boolean): void => {
          range.eachVector((offset) => {
            const at = rowAt.add(offset);
            const original = v128.load(at);
            const guided =
              guide === null
                ? original
                : f.let(guideScores(f, guide, original, guideAt.add(offset)));
            const score = isPartial ? f.let(range.visible(f, offset, guided)) : f.keep(guided);
            if (isPartial || guide !== null) f.storeV128(at, score);
            f.set<V128>(most, f32x4.pseudoMaximum(most, score));
          });
        };
        f.if(
          range.isPartial,
          () => {
            visit(true);
          },
          () => {
            visit(false);
          },
        );
        f.set<V128>(most, largestOfLanes(f, most));
        const list = (base: I32): I32 => base.add(row.shiftLeft(2));
        f.set<V128>(old, v128.load32Splat(list(maxima)));
        f.set<V128>(most, f32x4.pseudoMaximum(old, most));
        f.storeLane(32, list(maxima), most, 0);
        f.set<V128>(shift, finiteShift(f, most));
        f.set<V128>(weights, expOfNegative(c, f.let(f32x4.subtract(old, shift))));
        f.storeLane(32, list(factors), weights, 0);
        f.set<V128>(total, v128.zero());
        f.set<V128>(old, f32x4.multiply(v128.load32Zero(list(sums)), weights));
        range.eachVector((offset) => {
          const at = rowAt.add(offset);
          f.set<V128>(weights, expOfNegative(c, f.let(f32x4.subtract(v128.load(at), shift))));
          f.set<V128>(total, f32x4.add(total, weights));
          if (dropout) {
            const kept = keptWeights(c, draw, rowPosition.add(offset.shiftRightUnsigned(2)));
            const scale = v128.load32Splat(draw, drawWords.scale);
            f.set<V128>(weights, f32x4.multiply(weights, scale).and(kept));
          }
          f.storeV128(at, weights);
        });
        f.set<V128>(total, f32x4.add(old, sumOfLanes(f, total)));
        f.storeLane(32, list(sums), total, 0);
        f.increment(rowAt, rowBytes);
        f.increment(guideAt, guideStride);
        if (dropout) f.increment(rowPosition, stride);
      });
    },
  );
}

/** The columns that the rows of a tile use, one of which is `row`, and those that the row sees. */
export class RowRange {
  readonly #f: FunctionBuilder;
  readonly #low: Local<I32>;
  readonly #high: Local<I32>;
  /** Where the columns begin, in bytes, at a whole vector. */
  readonly start: Local<I32>;
  /** Where they end. */
  readonly end: Local<I32>;
  readonly #offset: Local<I32>;

  constructor(f: FunctionBuilder, row: I32, lows: I32, highs: I32, tileRows: number) {
    this.#f = f;
    const entry = (list: I32, number: I32): I32 => i32.load(list.add(number.shiftLeft(2)));
    const first = f.let(row.and(-tileRows));
    this.#low = f.let(entry(lows, row));
    this.#high = f.let(entry(highs, row));
    this.start = f.let(entry(lows, first).and(-4).shiftLeft(2));
    this.end = f.let(
      entry(highs, first.add(tileRows - 1))
        .add(3)
        .and(-4)
        .shiftLeft(2),
    );
    this.#offset = f.local(i32);
  }

  /** Whether the row does not see all these columns. */
  get isPartial(): I32 {
    const low = this.#low.shiftLeft(2).notEqual(this.start);
    return low.or(this.#high.shiftLeft(2).notEqual(this.end));
  }

  /** `body(offset)` for every vector of the tile's columns; the offset is in bytes. */
  eachVector(body: (offset: Local<I32>) => void): void {
    this.#f.for(this.#offset, this.start, this.end, 16, () => {
      body(this.#offset);
    });
  }

  /** The scores at an offset, −∞ where the row does not see the column. */
  visible(f: FunctionBuilder, offset: I32, scores: V128): V128 {
    const columns = f.let(laneNumbers(f, offset.shiftRight(2)));
    const above = i32x4.greaterEqual(columns, i32x4.splat(this.#low));
    const below = i32x4.less(columns, i32x4.splat(this.#high));
    return v128.bitselect(scores, minusInfinity(f), above.and(below));
  }
}

/** Scores with a mask or a bias applied. */
export function guideScores(
  f: FunctionBuilder,
  guide: "mask" | "bias",
  scores: V128,
  guideAt: I32,
): V128 {
  if (guide === "bias") return f32x4.add(scores, v128.load(guideAt));
  return v128.bitselect(scores, minusInfinity(f), v128.load(guideAt));
}

/** `largest`, but 0 where it is −∞: a shift must not make NaN of a row that sees nothing. */
export function finiteShift(f: FunctionBuilder, largest: Local<V128>): V128 {
  return largest.andNot(f32x4.equal(largest, minusInfinity(f)));
}

/**
 * Which of four weights are kept, the first at a position: word 0 of the Threefry block of the draw's
 * key, the weight's position and the draw's counter is not below the threshold.
 */
export function keptWeights(c: MathContext, draw: I32, position: I32): V128 {
  const { f } = c;
  const word = (offset: number): V128 => f.let(v128.load32Splat(draw, offset));
  const positions = f.let(laneNumbers(f, position));
  const [key0, key1] = [word(drawWords.key0), word(drawWords.key1)];
  const [bits] = threefry(c, key0, key1, positions, word(drawWords.counter));
  return i32x4.greaterEqualUnsigned(bits, word(drawWords.threshold));
}

function swapped(
  f: FunctionBuilder,
  x: V128,
  lanes: readonly [number, number, number, number],
): V128 {
  return f.let(i32x4.shuffle(x, x, lanes));
}

/** The largest lane in all lanes. */
function largestOfLanes(f: FunctionBuilder, x: Local<V128>): V128 {
  const pairs = f.let(f32x4.pseudoMaximum(x, swapped(f, x, [1, 0, 3, 2])));
  return f32x4.pseudoMaximum(pairs, swapped(f, pairs, [2, 3, 0, 1]));
}

/** The sum of the lanes in all lanes. */
export function sumOfLanes(f: FunctionBuilder, x: Local<V128>): V128 {
  const pairs = f.let(f32x4.add(x, swapped(f, x, [1, 0, 3, 2])));
  return f32x4.add(pairs, swapped(f, pairs, [2, 3, 0, 1]));
}

type FinishParameters = readonly [I, I, I, I, I];

const finishParameters: FinishParameters = [i32, i32, i32, i32, i32];

/** `(output, rows, maxima, sums, logarithms)`. */
export type FinishFunction = FunctionReference<FinishParameters, null>;

/**
 * Divides rows of the output, `rowBytes` apart, by their sums, and gives the logarithms of the sums:
 * 0 and −∞ where a row has seen nothing.
 */
export function finishFunction(module: ModuleBuilder, rowBytes: number): FinishFunction {
  const key = `attention/finish ${rowBytes}`;
  return procedure(module, key, finishParameters, (f, output, rows, maxima, sums, logarithms) => {
    const c: MathContext = { module, f };
    const [row, at, end] = [f.local(i32), f.let(output), f.local(i32)];
    const [sum, inverse, logarithm] = [f.local(v128), f.local(v128), f.local(v128)];
    f.for(row, 0, rows, 1, () => {
      const list = (base: I32): I32 => base.add(row.shiftLeft(2));
      f.set<V128>(sum, v128.load32Splat(list(sums)));
      const isEmpty = f.let(f32x4.equal(sum, v128.zero()));
      f.set<V128>(inverse, f32x4.divide(f32x4.splat(1), sum).andNot(isEmpty));
      f.set<V128>(logarithm, log(c, sum));
      f.set<V128>(logarithm, f32x4.add(logarithm, v128.load32Splat(list(maxima))));
      f.storeLane(32, list(logarithms), logarithm, 0);
      f.set<I32>(end, at.add(rowBytes));
      f.forAddress(at, at, end, 16, () => {
        f.storeV128(at, f32x4.multiply(v128.load(at), inverse));
      });
    });
  });
}
