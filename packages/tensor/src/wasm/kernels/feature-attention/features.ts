/**
 * The feature maps on rows in scratch memory: from queries and keys to their features, and from
 * cotangents of features back.
 *
 * Rows are multiplied by the projection, if there is one; then the largest number of each row and
 * half its squared norm are listed, from which the caller makes what is subtracted from the row
 * before its exponentials are taken.
 */

import {
  f32x4,
  type FunctionBuilder,
  i32x4,
  type I32,
  type I32Like,
  type Local,
  type ModuleBuilder,
  v128,
  type V128,
} from "../../assembler/index.js";
import { expOfNegative, float, type MathContext } from "../../math/index.js";
import { type Matrix, word } from "../attention/matrix.js";
import { overLanes, sumOfLanes } from "../attention/weights.js";
import { type Routine, routine, vectors } from "../code.js";
import { changeRow, eachRow, eachVector, splatEntry, storeEntry } from "./rows.js";

/** What makes the code of a feature map. */
export interface FeatureSpec {
  readonly map: "exponential" | "random";
  /** d: numbers in a query and in a key. */
  readonly size: number;
  /** F: numbers in their features; d for `"exponential"`. */
  readonly features: number;
}

function specText({ map, size, features }: FeatureSpec): string {
  return `${map} ${size} ${features}`;
}

/** `(rows, count, raw, maxima, norms, factor)`; see `listBounds`. */
function boundsFunction(
  module: ModuleBuilder,
  spec: FeatureSpec,
  rowBytes: number,
  rawBytes: number,
): Routine {
  const key = `feature/bounds ${specText(spec)} ${rowBytes} ${rawBytes}`;
  return routine(module, key, (f, rows, count, raw, maxima, norms, factorWord) => {
    const c: MathContext = { module, f };
    const factor = f.let(i32x4.splat(factorWord));
    const lowest = float(c, -Infinity);
    const [most, sum] = vectors(f, 2);
    const rawAt = f.let(raw);
    eachRow(f, [rows, rowBytes], count, (row, at) => {
      f.set<V128>(most, lowest);
      f.set<V128>(sum, v128.zero());
      const whole = spec.features & -4;
      eachVector(f, whole, (offset) => {
        f.set<V128>(most, f32x4.pseudoMaximum(most, v128.load(at.add(offset))));
      });
      for (let i = whole; i < spec.features; i++) {
        f.set<V128>(most, f32x4.pseudoMaximum(most, v128.load32Splat(at, 4 * i)));
      }
      const largest = overLanes(f, most, (a, b) => f32x4.pseudoMaximum(a, b));
      storeEntry(f, maxima, row, largest);
      if (spec.map === "random") {
        eachVector(f, spec.size, (offset, keep) => {
          const own = f.let(keep(v128.load(rawAt.add(offset))));
          f.set<V128>(sum, module.madd(own, own, sum));
        });
        f.increment(rawAt, rawBytes);
      }
      storeEntry(f, norms, row, f32x4.multiply(sumOfLanes(f, sum), factor));
    });
  });
}

/** Lists the largest number of each row, and `factor` (a word) times the square of each raw row. */
export function listBounds(
  { module, f }: MathContext,
  spec: FeatureSpec,
  [rows, rowBytes]: Matrix,
  count: I32,
  [raw, rawBytes]: Matrix,
  [maxima, norms]: readonly [I32, I32],
  factor: I32,
): void {
  const bounds = boundsFunction(module, spec, rowBytes, rawBytes);
  f.call(bounds, rows, count, raw, maxima, norms, factor);
}

/** `(rows, count, shifts, epsilon, sums)`; see `exponentiate`. */
function powersFunction(
  module: ModuleBuilder,
  features: number,
  rowBytes: number,
  normalises: boolean,
): Routine {
  const key = `feature/powers ${features} ${rowBytes} ${normalises}`;
  return routine(module, key, (f, rows, count, shifts, epsilonWord, sums) => {
    const c: MathContext = { module, f };
    const epsilon = f.let(i32x4.splat(epsilonWord));
    const [shift, sum, odd, value] = vectors(f, 4);
    eachRow(f, [rows, rowBytes], count, (row, at) => {
      f.set<V128>(shift, splatEntry(shifts, row));
      f.set<V128>(sum, v128.zero());
      eachVector(f, features, (offset, keep) => {
        const x = f.let(f32x4.subtract(v128.load(at.add(offset)), shift));
        f.set<V128>(value, keep(f32x4.add(expOfNegative(c, x), epsilon)));
        f.set<V128>(sum, f32x4.add(sum, value));
        // x − x is 0 for finite x and NaN for all others.
        f.set<V128>(odd, odd.or(f32x4.subtract(value, value)));
        f.storeV128(at.add(offset), value);
      });
      f.set<V128>(sum, sumOfLanes(f, sum));
      storeEntry(f, sums, row, sum);
      if (normalises) {
        f.set<V128>(sum, f32x4.divide(float(c, 1), sum));
        changeRow(f, at, features, (x) => f32x4.multiply(x, sum));
      }
    });
    return odd.anyTrue().isZero();
  });
}

/**
 * Takes the exponentials of rows minus their entries of `shifts`, adds `epsilon` (a word) and lists
 * the sums; with `normalises` the rows are divided by them. Gives whether all numbers are finite.
 */
export function exponentiate(
  { module, f }: MathContext,
  features: number,
  [rows, rowBytes]: Matrix,
  count: I32,
  [shifts, sums]: readonly [I32, I32],
  epsilon: I32Like,
  normalises = false,
): Local<I32> {
  const powers = powersFunction(module, features, rowBytes, normalises);
  return f.let(powers.call(rows, count, shifts, word(epsilon), sums));
}

/** `(cotangents, powers, count, sums)`; see `chainPowers`. */
function chainFunction(
  module: ModuleBuilder,
  features: number,
  cotangentBytes: number,
  powerBytes: number,
  normalises: boolean,
): Routine {
  const key = `feature/chain ${features} ${cotangentBytes} ${powerBytes} ${normalises}`;
  return routine(module, key, (f, cotangents, powers, count, sums) => {
    const sum = f.local(v128);
    const powersAt = f.let(powers);
    eachRow(f, [cotangents, cotangentBytes], count, (row, at) => {
      f.set<V128>(sum, v128.zero());
      eachVector(f, features, (offset, keep) => {
        const [own, power] = [v128.load(at.add(offset)), v128.load(powersAt.add(offset))];
        const product = f.let(keep(f32x4.multiply(own, power)));
        f.set<V128>(sum, f32x4.add(sum, product));
        f.storeV128(at.add(offset), product);
      });
      f.set<V128>(sum, sumOfLanes(f, sum));
      storeEntry(f, sums, row, sum);
      if (normalises) {
        changeRow(f, at, features, (x, offset) =>
          module.nmadd(sum, v128.load(powersAt.add(offset)), x),
        );
      }
      f.increment(powersAt, powerBytes);
    });
  });
}

/**
 * Turns cotangents of exponentials into those of exponents, of a softmax with `normalises`, and lists
 * the sums of their products with the exponentials.
 */
export function chainPowers(
  { module, f }: MathContext,
  features: number,
  [cotangents, cotangentBytes]: Matrix,
  [powers, powerBytes]: Matrix,
  count: I32,
  sums: I32,
  normalises = false,
): void {
  const chain = chainFunction(module, features, cotangentBytes, powerBytes, normalises);
  f.call(chain, cotangents, powers, count, sums);
}

/** Adds raw rows times −2 · factor · their entries of `sums`: the gradient through their norms. */
export function addNormCotangent(
  { module, f }: MathContext,
  size: number,
  [gradients, gradientBytes]: Matrix,
  [raw, rawBytes]: Matrix,
  count: I32,
  sums: I32,
  factor: V128,
): void {
  const rawAt = f.let(raw);
  const twice = f.let(f32x4.add(factor, factor));
  const own = f.local(v128);
  eachRow(f, [gradients, gradientBytes], count, (row, at) => {
    f.set<V128>(own, f32x4.multiply(twice, splatEntry(sums, row)));
    changeRow(f, at, size, (x, offset) => module.nmadd(own, v128.load(rawAt.add(offset)), x));
    f.increment(rawAt, rawBytes);
  });
}

/** Makes zeros of the rows whose entry of a list is 0. */
export function clearRows(
  f: FunctionBuilder,
  [rows, rowBytes]: Matrix,
  count: I32,
  taken: I32,
): void {
  eachRow(f, [rows, rowBytes], count, (row, at) => {
    f.if(splatEntry(taken, row).anyTrue().isZero(), () => {
      f.memoryFill(at, 0, rowBytes);
    });
  });
}
