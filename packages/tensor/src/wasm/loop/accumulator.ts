/** Accumulators of reductions: four running results in the lanes of a vector. */

import type { Reducer } from "../../graph/scalar-function.js";
import type { DType } from "../../tensor/dtype.js";
import { f32x4, i32x4, type Local, v128, type V128 } from "../assembler/index.js";
import { float, integer, type MathContext } from "../math/index.js";
import { type Lanes, lanesOf } from "./storage.js";

type Join = (a: V128, b: V128) => V128;

interface Rule {
  readonly neutral: number;
  readonly join: Join;
}

// How two partial results are joined, and what changes nothing. Float extremes let NaN go by; it
// is noted apart, which is cheaper than instructions that keep it.
function ruleOf(reducer: Reducer, lanes: Lanes): Rule {
  const isMax = reducer === "max" || reducer === "argmax";
  switch (reducer) {
    case "sum":
      return lanes === "float"
        ? { neutral: 0, join: (a, b) => f32x4.add(a, b) }
        : { neutral: 0, join: (a, b) => i32x4.add(a, b) };
    case "product":
      return lanes === "float"
        ? { neutral: 1, join: (a, b) => f32x4.multiply(a, b) }
        : { neutral: 1, join: (a, b) => i32x4.multiply(a, b) };
    default:
  }
  switch (lanes) {
    case "float":
      return isMax
        ? { neutral: -Infinity, join: (a, b) => f32x4.pseudoMaximum(a, b) }
        : { neutral: Infinity, join: (a, b) => f32x4.pseudoMinimum(a, b) };
    case "int":
      return isMax
        ? { neutral: -0x80000000, join: (a, b) => i32x4.maximum(a, b) }
        : { neutral: 0x7fffffff, join: (a, b) => i32x4.minimum(a, b) };
    case "uint":
      return isMax
        ? { neutral: 0, join: (a, b) => i32x4.maximumUnsigned(a, b) }
        : { neutral: -1, join: (a, b) => i32x4.minimumUnsigned(a, b) };
    case "bool":
      return isMax
        ? { neutral: 0, join: (a, b) => a.or(b) }
        : { neutral: -1, join: (a, b) => a.and(b) };
  }
}

/** Whether a reducer gives positions. */
export function isArgReducer(reducer: Reducer): boolean {
  return reducer === "argmax" || reducer === "argmin";
}

/** Four running results. */
export class Accumulator {
  private readonly c: MathContext;
  private readonly reducer: Reducer;
  private readonly lanes: Lanes;
  private readonly rule: Rule;
  // Positions of bools are found among 0 and 1.
  private readonly fromMask: boolean;
  private readonly value: Local<V128>;
  // Of float extremes: lanes that saw NaN.
  private readonly sawNaN: Local<V128> | null;
  // Of arg reducers: where the extreme was.
  private readonly position: Local<V128> | null;
  // Of long float sums: what was flushed.
  private readonly total: Local<V128> | null;

  constructor(c: MathContext, reducer: Reducer, dtype: DType, flushes: boolean) {
    this.c = c;
    this.reducer = reducer;
    const isArg = isArgReducer(reducer);
    this.fromMask = isArg && dtype === "bool";
    this.lanes = this.fromMask ? "int" : lanesOf(dtype);
    this.rule = ruleOf(reducer, this.lanes);
    this.value = c.f.local(v128);
    const isExtreme = reducer === "max" || reducer === "min";
    this.sawNaN = isExtreme && this.lanes === "float" ? c.f.local(v128) : null;
    this.position = isArg ? c.f.local(v128) : null;
    this.total = flushes ? c.f.local(v128) : null;
  }

  private get neutral(): V128 {
    return this.lanes === "float"
      ? float(this.c, this.rule.neutral)
      : integer(this.c, this.rule.neutral);
  }

  /** Starts anew. */
  reset(): void {
    const { f } = this.c;
    f.set(this.value, this.neutral);
    for (const extra of [this.sawNaN, this.position, this.total]) {
      if (extra) f.set(extra, integer(this.c, 0));
    }
  }

  /** Takes in four elements, or those of them where `valid` is set. */
  add(element: V128, valid: V128 | null, position: V128 | null): void {
    const { f } = this.c;
    if (this.position) {
      const x = f.keep(this.fromMask ? element.and(integer(this.c, 1)) : element);
      let take = this.beats(x);
      if (valid) take = take.and(valid);
      const taken = f.let(take);
      f.set(this.value, v128.bitselect(x, this.value, taken));
      f.set(this.position, v128.bitselect(position!, this.position, taken));
      return;
    }
    const x = valid ? v128.bitselect(element, this.neutral, valid) : element;
    if (this.sawNaN) {
      const kept = f.keep(x);
      f.set(this.value, this.rule.join(this.value, kept));
      f.set(this.sawNaN, this.sawNaN.or(f32x4.notEqual(kept, kept)));
    } else {
      f.set(this.value, this.rule.join(this.value, x));
    }
  }

  // Whether x comes before what is held; NaN before everything but NaN.
  private beats(x: V128): V128 {
    const isMax = this.reducer === "argmax";
    const held = this.value;
    switch (this.lanes) {
      case "float": {
        const keeps = isMax ? f32x4.lessEqual(x, held) : f32x4.greaterEqual(x, held);
        return f32x4.equal(held, held).andNot(keeps);
      }
      case "uint":
        return isMax ? i32x4.greaterUnsigned(x, held) : i32x4.lessUnsigned(x, held);
      default:
        return isMax ? i32x4.greater(x, held) : i32x4.less(x, held);
    }
  }

  /** Moves the running sum to the total, so that small numbers are not added to a large one. */
  flush(): void {
    if (!this.total) return;
    const { f } = this.c;
    f.set(this.total, this.rule.join(this.total, this.value));
    f.set(this.value, this.neutral);
  }

  /** Takes in what another accumulator of the same kind holds. */
  merge(other: Accumulator): void {
    const { f } = this.c;
    if (this.position) {
      this.mergeArg(f.let(other.value), f.let(other.position!));
      return;
    }
    f.set(this.value, this.rule.join(this.value, other.value));
    if (this.sawNaN) f.set(this.sawNaN, this.sawNaN.or(other.sawNaN!));
    if (this.total) f.set(this.total, this.rule.join(this.total, other.total!));
  }

  // Takes the other extreme where it is better, or equal and earlier.
  private mergeArg(value: V128, position: V128): void {
    const { f } = this.c;
    const own = this.value;
    let same = i32x4.equal(value, own);
    if (this.lanes === "float") {
      const bothNaN = f32x4.notEqual(value, value).and(f32x4.notEqual(own, own));
      same = f32x4.equal(value, own).or(bothNaN);
    }
    const better = this.beats(value);
    const earlier = i32x4.less(position, this.position!);
    const taken = f.let(better.or(same.and(earlier)));
    f.set(this.value, v128.bitselect(value, this.value, taken));
    f.set(this.position!, v128.bitselect(position, this.position!, taken));
  }

  /** The result of each lane. */
  result(): V128 {
    if (this.position) return this.position;
    if (this.sawNaN) return v128.bitselect(float(this.c, NaN), this.value, this.sawNaN);
    return this.total ? this.rule.join(this.total, this.value) : this.value;
  }

  /** The result of all lanes together, in every lane. */
  acrossLanes(): V128 {
    const { f } = this.c;
    const turns = [
      [2, 3, 0, 1],
      [1, 0, 3, 2],
    ] as const;
    if (this.position) {
      for (const turn of turns) {
        const value = f.let(i32x4.shuffle(this.value, this.value, turn));
        this.mergeArg(value, f.let(i32x4.shuffle(this.position, this.position, turn)));
      }
      return this.position;
    }
    if (this.sawNaN) {
      for (const turn of turns) {
        const { value, sawNaN } = this;
        f.set(value, this.rule.join(value, i32x4.shuffle(value, value, turn)));
        f.set(sawNaN, sawNaN.or(i32x4.shuffle(sawNaN, sawNaN, turn)));
      }
      return this.result();
    }
    const lanes = f.let(this.result());
    for (const turn of turns)
      f.set(lanes, this.rule.join(lanes, i32x4.shuffle(lanes, lanes, turn)));
    return lanes;
  }

  /** `held` joined with `value`, NaN kept: partial results that went through memory. */
  joinInto(held: Local<V128>, value: V128): void {
    const { f } = this.c;
    if (!this.sawNaN) {
      f.set(held, this.rule.join(held, value));
      return;
    }
    const isMax = this.reducer === "max";
    f.set(held, isMax ? f32x4.maximum(held, value) : f32x4.minimum(held, value));
  }
}
