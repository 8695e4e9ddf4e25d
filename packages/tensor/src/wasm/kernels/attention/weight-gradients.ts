/**
 * The middle of the backward pass, row by row: from scores and the cotangents of weights to weights
 * and the cotangents of scores.
 */

import {
  f32x4,
  type FunctionBuilder,
  type FunctionReference,
  i32,
  type I32,
  type Local,
  type ModuleBuilder,
  v128,
  type V128,
} from "../../assembler/index.js";
import { expOfNegative, type MathContext } from "../../math/index.js";
import { loadPartial, procedure } from "./pack.js";
import {
  drawWords,
  finiteShift,
  guideScores,
  keptWeights,
  RowRange,
  sumOfLanes,
  type WeightsSpec,
} from "./weights.js";
import { minusInfinity } from "./visibility.js";

type I = typeof i32;
type GradientParameters = readonly [I, I, I, I, I, I, I, I, I, I, I, I, I];

const gradientParameters: GradientParameters = [
  ...[i32, i32, i32, i32, i32, i32, i32],
  ...[i32, i32, i32, i32, i32, i32],
] as const;

/**
 * `(scores, cotangents, rows, columns, lows, highs, guide, guideStride, logarithms, products, draw,
 * position, stride)`.
 *
 * `logarithms` lists the logarithms of the rows' sums, `products` those of output and cotangent of
 * each row. All columns are written, with zeros where they are not seen.
 */
export type WeightGradientsFunction = FunctionReference<GradientParameters, null>;

/** Turns scores into weights, and cotangents of weights into those of scores, both in place. */
export function weightGradientsFunction(
  module: ModuleBuilder,
  spec: WeightsSpec,
): WeightGradientsFunction {
  const { guide, dropout, rowBytes } = spec;
  const key = `attention/weight gradients ${guide}${dropout ? " dropout" : ""} ${rowBytes}`;
  return procedure(
    module,
    key,
    gradientParameters,
    (
      f,
      scores,
      cotangents,
      rows,
      columns,
      lows,
      highs,
      guides,
      guideStride,
      logarithms,
      products,
      draw,
      position,
      stride,
    ) => {
      const c: MathContext = { module, f };
      const [row, offset] = [f.local(i32), f.local(i32)];
      const [scoreAt, cotangentAt, guideAt] = [f.let(scores), f.let(cotangents), f.let(guides)];
      const rowPosition = f.let(position);
      const end = f.let(columns.add(3).and(-4).shiftLeft(2));
      const [shift, product] = [f.local(v128), f.local(v128)];
      const [weights, gradient] = [f.local(v128), f.local(v128)];
      const clear = (from: I32, to: I32): void => {
        f.for(offset, from, to, 16, () => {
          f.storeV128(scoreAt.add(offset), v128.zero());
          f.storeV128(cotangentAt.add(offset), v128.zero());
        });
      };
      f.for(row, 0, rows, 1, () => {
        const range = new RowRange(f, row, lows, highs, 1);
        const list = (base: I32): I32 => base.add(row.shiftLeft(2));
        f.set<V128>(shift, v128.load32Splat(list(logarithms)));
        f.set<V128>(shift, finiteShift(f, shift));
        f.set<V128>(product, v128.load32Splat(list(products)));
        const visit = (isPartial: boolean): void => {
          range.eachVector((at) => {
            const original = v128.load(scoreAt.add(at));
            const guided =
              guide === null ? original : f.let(guideScores(f, guide, original, guideAt.add(at)));
            const score = isPartial ? f.let(range.visible(f, at, guided)) : guided;
            f.set<V128>(weights, expOfNegative(c, f.let(f32x4.subtract(score, shift))));
            if (isPartial || guide !== null) {
              // What is hidden has no weight, even in a row whose sum is not a number.
              f.set<V128>(weights, weights.andNot(f32x4.equal(score, minusInfinity(f))));
            }
            f.set<V128>(gradient, v128.load(cotangentAt.add(at)));
            let used: V128 = weights;
            if (dropout) {
              const kept = f.let(keptWeights(c, draw, rowPosition.add(at.shiftRightUnsigned(2))));
              const scale = f.let(v128.load32Splat(draw, drawWords.scale));
              f.set<V128>(gradient, f32x4.multiply(gradient, scale).and(kept));
              used = f32x4.multiply(weights, scale).and(kept);
            }
            // Nothing comes from what has no weight, even where the cotangent is not a number.
            const seen = f32x4.notEqual(weights, v128.zero());
            const own = f32x4.multiply(weights, f32x4.subtract(gradient, product)).and(seen);
            f.storeV128(cotangentAt.add(at), own);
            f.storeV128(scoreAt.add(at), used);
          });
        };
        clear(i32.const(0), range.start);
        f.if(
          range.isPartial,
          () => {
            visit(true);
          },
          () => {
            visit(false);
          },
        );
        clear(range.end, end);
        f.increment(scoreAt, rowBytes);
        f.increment(cotangentAt, rowBytes);
        f.increment(guideAt, guideStride);
        if (dropout) f.increment(rowPosition, stride);
      });
    },
  );
}

type RowProductParameters = readonly [I, I, I];

const rowProductParameters: RowProductParameters = [i32, i32, i32];

/** `(a, b, destination)`. */
export type RowProductFunction = FunctionReference<RowProductParameters, null>;

/** The inner product of two rows of `size` numbers. */
export function rowProductFunction(module: ModuleBuilder, size: number): RowProductFunction {
  const key = `attention/row product ${size}`;
  return procedure(module, key, rowProductParameters, (f, a, b, destination) => {
    const sum: Local<V128> = f.local(v128);
    const [left, right] = [f.let(a), f.let(b)];
    const add = (lanes: number): void => {
      const x = loadPartial(left, 0, lanes);
      f.set<V128>(sum, module.madd(x, loadPartial(right, 0, lanes), sum));
    };
    eachFour(f, size, left, right, add);
    f.set<V128>(sum, sumOfLanes(f, sum));
    f.storeLane(32, destination, sum, 0);
  });
}

function eachFour(
  f: FunctionBuilder,
  size: number,
  left: Local<I32>,
  right: Local<I32>,
  body: (lanes: number) => void,
): void {
  const end = f.let(left.add((size & ~3) * 4));
  f.forAddress(left, left, end, 16, () => {
    body(4);
    f.increment(right, 16);
  });
  if (size % 4 > 0) body(size % 4);
}
