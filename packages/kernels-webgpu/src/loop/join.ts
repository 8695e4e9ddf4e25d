/** How the elements of a reduction are joined. */

import type { DType } from "@x/tensor";
import type { LoopKernel, Reducer } from "@x/tensor/device";
import { applyFunction, constantCode, wgslType } from "../wgsl/functions.js";
import type { ShaderBuilder } from "../wgsl/shader.js";

/** The variables `total` and, for the arg forms, `place`: what has been joined so far. */
export class Joining {
  /** The type that is joined in: bool as 0 and 1, since WGSL does not order it. */
  readonly dtype: DType;
  /** Whether the place of an extreme is wanted. */
  readonly isArg: boolean;
  readonly #reducer: Reducer;
  readonly #isBool: boolean;
  readonly #shader: ShaderBuilder;

  constructor(shader: ShaderBuilder, kernel: LoopKernel, reducer: Reducer) {
    const { dtype } = kernel.body.at(-1)!;
    this.#isBool = dtype === "bool";
    this.dtype = this.#isBool ? "uint32" : dtype;
    this.isArg = reducer === "argmax" || reducer === "argmin";
    this.#reducer = reducer;
    this.#shader = shader;
  }

  /** The type in WGSL. */
  get type(): string {
    return wgslType(this.dtype);
  }

  /** A value of the loop body in the type that is joined in. */
  lift(value: string): string {
    return this.#isBool ? `u32(${value})` : value;
  }

  /** A statement that names the result. */
  result(): string {
    if (this.isArg) return "let reduced = place;";
    return `let reduced = ${this.#isBool ? "total != 0u" : "total"};`;
  }

  /** Statements that start with nothing; `length` is beyond all places. */
  start(length: number): string {
    const total = `var total: ${this.type} = ${this.neutral};`;
    return this.isArg ? `${total}\nvar place: i32 = ${length};` : total;
  }

  /** What changes nothing. */
  get neutral(): string {
    const { dtype } = this;
    const constant = (value: number): string => constantCode(value, dtype, this.#shader.helpers);
    switch (this.#reducer) {
      case "sum":
        return constant(0);
      case "product":
        return constant(1);
      case "max":
      case "argmax":
        return constant(dtype === "float32" ? -Infinity : dtype === "int32" ? -(2 ** 31) : 0);
      case "min":
      case "argmin":
        return constant(
          dtype === "float32" ? Infinity : dtype === "int32" ? 2 ** 31 - 1 : 2 ** 32 - 1,
        );
    }
  }

  /** A statement that joins `value` (found at `place`) with `total`. */
  join(value: string, place: string): string {
    const { dtype } = this;
    switch (this.#reducer) {
      case "sum":
        return `total += ${value};`;
      case "product":
        return `total *= ${value};`;
      case "max":
      case "min": {
        const operands = ["total", value].map((code) => ({ code, dtype }));
        const name = this.#reducer === "max" ? "maximum" : "minimum";
        return `total = ${applyFunction(name, operands, dtype, this.#shader.helpers)};`;
      }
      default: {
        // The first of equal extremes; NaN, if there is one, is the extreme.
        const better = this.#reducer === "argmax" ? ">" : "<";
        if (dtype !== "float32") {
          return `if (${value} ${better} total || (${value} == total && ${place} < place)) { total = ${value}; place = ${place}; }`;
        }
        this.#shader.helpers.use("isNan");
        return `if (isNan(total) || isNan(${value})) {
if (isNan(${value}) && (!isNan(total) || ${place} < place)) { total = ${value}; place = ${place}; }
} else if (${value} ${better} total || (${value} == total && ${place} < place)) { total = ${value}; place = ${place}; }`;
      }
    }
  }
}
