/** Accumulators of reductions: four running results in the lanes of a vector. */

import type { Reducer } from "../../graph/scalar-function.js";
import type { DType } from "../../tensor/dtype.js";
import { f32x4, i32x4, type Local, v128, type V128 } from "../assembler/index.js";
import { float, integer, type MathContext } from "../math/index.js";
import { type Lanes, lanesOf } from "./storage.js";

type Join = (a: V128, b: V128) => V128;

// How two partial results are joined, and what changes nothing.
type Rule = readonly [neutral: number, join: Join];

const and: Join = (a, b) => a.and(b);
const or: Join = (a, b) => a.or(b);

function ruleOf(reducer: Reducer, lanes: Lanes): Rule {
  const shape = lanes === "float" ? f32x4 : i32x4;
  if (reducer === "sum") return [0, shape.add];
  if (reducer === "product") return [1, shape.multiply];
  // Float extremes let NaN go by; it is noted apart, which is cheaper than instructions that keep it.
  const rules: Record<Lanes, readonly [Rule, Rule]> = {
    float: [
      [-Infinity, f32x4.pseudoMaximum],
      [Infinity, f32x4.pseudoMinimum],
    ],
    int: [
      [-0x80000000, i32x4.maximum],
      [0x7fffffff, i32x4.minimum],
    ],
    uint: [
      [0, i32x4.maximumUnsigned],
      [-1, i32x4.minimumUnsigned],
    ],
    bool: [
      [0, or],
      [-1, and],
    ],
  };
  return rules[lanes][reducer.endsWith("max") ? 0 : 1];
}

/** Whether a reducer gives positions. */
export function isArgReducer(reducer: Reducer): boolean {
  return reducer.startsWith("arg");
}

/**
 * Four running results: a value, and beside it for float extremes the lanes that saw NaN, for arg
 * reducers where the extreme was, for long float sums the total of what was flushed.
 */
export class Accumulator {
  private readonly c: MathContext;
  private readonly lanes: Lanes;
  private readonly join: Join;
  private readonly neutral: V128;
  private readonly isMax: boolean;
  private readonly isArg: boolean;
  private readonly isMask: boolean;
  private readonly seesNaN: boolean;
  private readonly value: Local<V128>;
  private readonly beside: Local<V128> | null;

  /** Starts with nothing taken in. */
  constructor(c: MathContext, reducer: Reducer, dtype: DType, flushes: boolean) {
    this.c = c;
    this.isArg = isArgReducer(reducer);
    // Positions of bools are found among 0 and 1.
    this.isMask = this.isArg && dtype === "bool";
    this.lanes = this.isMask ? "int" : lanesOf(dtype);
    const [neutral, join] = ruleOf(reducer, this.lanes);
    const isFloat = this.lanes === "float";
    this.join = join;
    this.neutral = (isFloat ? float : integer)(c, neutral);
    this.isMax = reducer.endsWith("max");
    this.seesNaN = isFloat && (reducer === "max" || reducer === "min");
    this.value = c.f.let(this.neutral);
    this.beside = this.isArg || this.seesNaN || flushes ? c.f.let(integer(c, 0)) : null;
  }

  /** Takes in four elements, or those of them where `valid` is set. */
  add(element: V128, valid: V128 | null, position: V128 | null): void {
    const { f } = this.c;
    let x = this.isMask ? element.and(integer(this.c, 1)) : element;
    if (valid) x = v128.bitselect(x, this.neutral, valid);
    if (this.isArg || this.seesNaN) x = f.keep(x);
    this.take(x, this.seesNaN ? f32x4.notEqual(x, x) : position, false);
  }

  // Takes in a value and what stands beside it. Positions may come in any order where `anyOrder`.
  private take(x: V128, beside: V128 | null, anyOrder: boolean): void {
    const { f } = this.c;
    const own = this.value;
    if (!this.isArg) {
      f.set(own, this.join(own, x));
      if (this.beside && beside) {
        f.set(this.beside, (this.seesNaN ? or : this.join)(this.beside, beside));
      }
      return;
    }
    const position = this.beside!;
    let takes = this.beats(x);
    if (anyOrder) {
      let same = i32x4.equal(x, own);
      if (this.lanes === "float") {
        same = f32x4.equal(x, own).or(f32x4.notEqual(x, x).and(f32x4.notEqual(own, own)));
      }
      takes = takes.or(same.and(i32x4.less(beside!, position)));
    }
    const taken = f.let(takes);
    f.set(own, v128.bitselect(x, own, taken));
    f.set(position, v128.bitselect(beside!, position, taken));
  }

  // Whether x comes before what is held; NaN before everything but NaN.
  private beats(x: V128): V128 {
    const held = this.value;
    const [a, b] = this.isMax ? [x, held] : [held, x];
    if (this.lanes === "float") return f32x4.equal(held, held).andNot(f32x4.lessEqual(a, b));
    return (this.lanes === "uint" ? i32x4.greaterUnsigned : i32x4.greater)(a, b);
  }

  /** Moves the running sum to the total, so that small numbers are not added to a large one. */
  flush(): void {
    const { f } = this.c;
    f.set(this.beside!, this.join(this.beside!, this.value));
    f.set(this.value, this.neutral);
  }

  /** Takes in what another accumulator of the same kind holds. */
  merge({ value, beside }: Accumulator): void {
    this.take(value, beside, true);
  }

  /** The result of each lane. */
  result(): V128 {
    const { value, beside } = this;
    if (!beside || this.isArg) return beside ?? value;
    if (this.seesNaN) return v128.bitselect(float(this.c, NaN), value, beside);
    return this.join(beside, value);
  }

  /** The result of all lanes together, in every lane. */
  acrossLanes(): V128 {
    const { f } = this.c;
    for (const turn of [
      [2, 3, 0, 1],
      [1, 0, 3, 2],
    ]) {
      const turned = (vector: V128): V128 => f.let(i32x4.shuffle(vector, vector, turn));
      this.take(turned(this.value), this.beside && turned(this.beside), true);
    }
    return this.result();
  }
}
