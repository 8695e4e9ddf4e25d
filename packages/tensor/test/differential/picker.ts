/** Choosing operands and parameters for random programs. */

import type { Value } from "../../src/graph/node.js";
import { constant, iota } from "../../src/ops/leaf.js";
import { add, multiply, remainder } from "../../src/ops/elementwise.js";
import { reshape } from "../../src/ops/movement.js";
import { isFloat } from "../../src/tensor/dtype.js";
import { sizeOf, type Shape } from "../../src/tensor/shape.js";

/**
 * Turns a list of numbers into choices that fit the values at hand. What does not fit is skipped
 * rather than refused, so that any list of numbers is a program and programs shrink well.
 */
export class Picker {
  readonly #pool: readonly Value[];
  readonly #choices: readonly number[];
  #next = 0;

  constructor(pool: readonly Value[], choices: readonly number[]) {
    this.#pool = pool;
    this.#choices = choices;
  }

  /** A number from 0 to `limit` − 1. */
  below(limit: number): number {
    const choice = this.#choices[this.#next++ % this.#choices.length] ?? 0;
    return limit <= 0 ? 0 : choice % limit;
  }

  /** A number from `low` to `high`. */
  between(low: number, high: number): number {
    return low + this.below(high - low + 1);
  }

  flip(): boolean {
    return this.below(2) === 1;
  }

  one<T>(options: readonly T[]): T {
    return options[this.below(options.length)]!;
  }

  /** One of the values for which `fits` holds; younger ones are as likely as older ones. */
  value(fits: (value: Value) => boolean = () => true): Value | null {
    const found = this.#pool.filter(fits);
    return found.length === 0 ? null : this.one(found);
  }

  /** A floating-point value of at least `rank` axes. */
  float(rank = 0): Value | null {
    return this.value((value) => isFloat(value.dtype) && value.shape.length >= rank);
  }

  /** A floating-point value without empty axes. */
  filled(rank = 0): Value | null {
    return this.value(
      (value) => isFloat(value.dtype) && value.shape.length >= rank && sizeOf(value.shape) > 0,
    );
  }

  axis(value: Value): number {
    return this.below(value.shape.length);
  }

  /** Some of the axes, perhaps none. */
  axes(value: Value): number[] {
    return value.shape.map((_, axis) => axis).filter(() => this.flip());
  }

  /** Indices from 0 to `limit` − 1 in no particular order; they may repeat. */
  indices(shape: Shape, limit: number): Value {
    const factor = constant(this.between(1, 9), "int32");
    const offset = constant(this.below(7), "int32");
    const spread = add(multiply(iota(sizeOf(shape)), factor), offset);
    return reshape(remainder(spread, constant(Math.max(limit, 1), "int32")), shape);
  }
}
