/** Elementwise methods of tensors: arithmetic and functions of one number. */

/* eslint-disable @typescript-eslint/no-unsafe-declaration-merging --
   What the interface declares is defined from a table at the end of the file. */

import { check } from "../error.js";
import * as elementwise from "../ops/elementwise.js";
import { scalar } from "../ops/leaf.js";
import { TensorCore } from "./core.js";
import { defineBinary, defineUnary } from "./methods.js";
import { operandValue, type Operand } from "./operand.js";
import type { Tensor } from "./tensor.js";

/** The methods of `ElementwiseTensor` that only apply an operation. */
export interface ElementwiseTensor {
  /**
   * Sum: x + other, broadcast.
   *
   * @example
   * ```ts
   * import { tensor } from "@x/tensor";
   *
   * console.log(await tensor([1, 2]).add(tensor([[10], [20]])).toArray()); // → [ [ 11, 12 ], [ 21, 22 ] ]
   * ```
   */
  add(other: Operand): Tensor;

  /** Difference: x − other, broadcast. */
  sub(other: Operand): Tensor;

  /** Product of elements: x · other, broadcast. For the matrix product see `matmul`. */
  mul(other: Operand): Tensor;

  /** Quotient in floating point, also of integers: x / other, broadcast. */
  div(other: Operand): Tensor;

  /**
   * Quotient rounded toward −∞: ⌊x / other⌋; integers stay integers.
   *
   * @example
   * ```ts
   * import { tensor } from "@x/tensor";
   *
   * const x = tensor([7, -7], { dtype: "int32" });
   * console.log(await x.floorDivide(2).toArray()); // → [ 3, -4 ]
   * ```
   */
  floorDivide(other: Operand): Tensor;

  /**
   * Remainder with the sign of the divisor: x − other · ⌊x / other⌋.
   *
   * @example
   * ```ts
   * import { tensor } from "@x/tensor";
   *
   * const x = tensor([7, -7], { dtype: "int32" });
   * console.log(await x.remainder(3).toArray()); // → [ 1, 2 ]
   * ```
   */
  remainder(other: Operand): Tensor;

  /**
   * The larger of x and other; NaN wins; at ties each takes half of the gradient.
   *
   * @example
   * ```ts
   * import { tensor } from "@x/tensor";
   *
   * console.log(await tensor([1, 5]).maximum(3).toArray()); // → [ 3, 5 ]
   * ```
   */
  maximum(other: Operand): Tensor;

  /** The smaller of x and other; NaN wins; at ties each takes half of the gradient. */
  minimum(other: Operand): Tensor;

  /** −x */
  neg(): Tensor;

  /** |x|, with derivative 0 at 0. */
  abs(): Tensor;

  /** −1, 0 or 1. */
  sign(): Tensor;

  /** Largest whole number that is not above x. */
  floor(): Tensor;

  /** Smallest whole number that is not below x. */
  ceil(): Tensor;

  /**
   * Nearest whole number; halves go to the even one.
   *
   * @example
   * ```ts
   * import { tensor } from "@x/tensor";
   *
   * console.log(await tensor([0.5, 1.5, 2.4]).round().toArray()); // → [ 0, 2, 2 ]
   * ```
   */
  round(): Tensor;

  /** x without its fraction. */
  trunc(): Tensor;

  /** √x; NaN below 0. */
  sqrt(): Tensor;

  /** 1 / √x */
  rsqrt(): Tensor;

  /** 1 / x */
  reciprocal(): Tensor;

  /** x² */
  square(): Tensor;

  /** eˣ */
  exp(): Tensor;

  /** eˣ − 1, accurate near 0. */
  expm1(): Tensor;

  /** Natural logarithm; −∞ at 0, NaN below. */
  log(): Tensor;

  /** log(1 + x), accurate near 0. */
  log1p(): Tensor;

  /** Logarithm to base 2. */
  log2(): Tensor;

  /** Logarithm to base 10. */
  log10(): Tensor;

  /** Sine, x in radians. */
  sin(): Tensor;

  /** Cosine, x in radians. */
  cos(): Tensor;

  /** Tangent, x in radians. */
  tan(): Tensor;

  /** Hyperbolic tangent. */
  tanh(): Tensor;

  /** 1 / (1 + e⁻ˣ) */
  sigmoid(): Tensor;

  /** The error function, 2/√π ∫₀ˣ e^(−t²) dt. */
  erf(): Tensor;

  /**
   * max(x, 0), with derivative 0 at 0.
   *
   * @example
   * ```ts
   * import { tensor } from "@x/tensor";
   *
   * console.log(await tensor([-1, 2]).relu().toArray()); // → [ 0, 2 ]
   * ```
   */
  relu(): Tensor;

  /** SiLU, also called swish: x · sigmoid(x). */
  silu(): Tensor;

  /** log(sigmoid(x)), without underflow. */
  logSigmoid(): Tensor;
}

/** The elementwise part of `Tensor`. */
export abstract class ElementwiseTensor extends TensorCore {
  /**
   * Power: x to the `exponent`, element by element.
   *
   * The numbers −1, 0.5, 0, 1, 2 and 3 become products, a root or a quotient; any other number may
   * change from step to step without a new plan.
   *
   * @example
   * ```ts
   * import { tensor } from "@x/tensor";
   *
   * console.log(await tensor([1, 2, 3]).pow(2).toArray()); // → [ 1, 4, 9 ]
   * ```
   */
  pow(exponent: Operand): Tensor {
    if (typeof exponent === "number") {
      const special = elementwise.constantPower(this.value, exponent);
      if (special !== null) return this.wrap(special);
    }
    const operand = operandValue("pow", this.dtype, exponent);
    return this.wrap(elementwise.power(this.value, operand));
  }

  /**
   * GELU: x Φ(x) with the normal distribution Φ, exact or, with `approximate: "tanh"`,
   * x/2 (1 + tanh(√(2/π) (x + 0.044715 x³))).
   *
   * @example
   * ```ts
   * import { tensor } from "@x/tensor";
   *
   * console.log((await tensor(1).gelu().item()).toFixed(4)); // → 0.8413
   * ```
   */
  gelu(options: { approximate?: "none" | "tanh" } = {}): Tensor {
    const { approximate = "none" } = options;
    check(
      ["none", "tanh"].includes(approximate),
      "argument",
      () => `gelu: approximate must be "none" or "tanh", got "${approximate}". Choose one of them.`,
    );
    return this.wrap(elementwise.gelu(this.value, approximate));
  }

  /**
   * log(1 + e^(βx)) / β, and x itself where βx > threshold.
   *
   * @example
   * ```ts
   * import { tensor } from "@x/tensor";
   *
   * console.log((await tensor(0).softplus().item()).toFixed(4)); // → 0.6931
   * ```
   */
  softplus(options: { beta?: number; threshold?: number } = {}): Tensor {
    return this.wrap(elementwise.softplus(this.value, options.beta ?? 1, options.threshold ?? 20));
  }

  /**
   * x where x > 0, else x · negativeSlope.
   *
   * @example
   * ```ts
   * import { tensor } from "@x/tensor";
   *
   * console.log(await tensor([-4, 2]).leakyRelu(0.25).toArray()); // → [ -1, 2 ]
   * ```
   */
  leakyRelu(negativeSlope: number = 0.01): Tensor {
    return this.wrap(elementwise.leakyRelu(this.value, scalar(negativeSlope)));
  }

  /** x where x > 0, else α (eˣ − 1). */
  elu(alpha: number = 1): Tensor {
    return this.wrap(elementwise.elu(this.value, scalar(alpha)));
  }

  /**
   * x limited to [min, max]; leave one out for a one-sided limit. The gradient passes at the
   * bounds themselves.
   *
   * @example
   * ```ts
   * import { tensor } from "@x/tensor";
   *
   * console.log(await tensor([-3, 0, 3]).clamp(-1, 1).toArray()); // → [ -1, 0, 1 ]
   * ```
   */
  clamp(min?: Operand | null, max?: Operand | null): Tensor {
    const low = min ?? null;
    const high = max ?? null;
    check(
      low !== null || high !== null,
      "argument",
      () => "clamp: a lower or an upper bound is needed, got neither. Pass min, max or both.",
    );
    return this.wrap(
      elementwise.clamp(
        this.value,
        low === null ? null : operandValue("clamp", this.dtype, low),
        high === null ? null : operandValue("clamp", this.dtype, high),
      ),
    );
  }

  /**
   * Linear interpolation: x + weight · (end − x).
   *
   * @example
   * ```ts
   * import { tensor } from "@x/tensor";
   *
   * console.log(await tensor([0, 10]).lerp(tensor([4, 20]), 0.25).toArray()); // → [ 1, 12.5 ]
   * ```
   */
  lerp(end: Tensor, weight: Operand): Tensor {
    const difference = elementwise.subtract(end.value, this.value);
    const scaled = elementwise.multiply(difference, operandValue("lerp", difference.dtype, weight));
    return this.wrap(elementwise.add(this.value, scaled));
  }
}

defineBinary(ElementwiseTensor, {
  add: elementwise.add,
  sub: elementwise.subtract,
  mul: elementwise.multiply,
  div: elementwise.divide,
  floorDivide: elementwise.floorDivide,
  remainder: elementwise.remainder,
  maximum: elementwise.maximum,
  minimum: elementwise.minimum,
});

defineUnary(ElementwiseTensor, {
  neg: elementwise.negate,
  abs: elementwise.abs,
  sign: elementwise.sign,
  floor: elementwise.floor,
  ceil: elementwise.ceil,
  round: elementwise.round,
  trunc: elementwise.trunc,
  sqrt: elementwise.sqrt,
  rsqrt: elementwise.reciprocalSqrt,
  reciprocal: elementwise.reciprocal,
  square: elementwise.square,
  exp: elementwise.exp,
  expm1: elementwise.expm1,
  log: elementwise.log,
  log1p: elementwise.log1p,
  log2: (x) => elementwise.multiply(elementwise.log(x), Math.LOG2E),
  log10: (x) => elementwise.multiply(elementwise.log(x), Math.LOG10E),
  sin: elementwise.sin,
  cos: elementwise.cos,
  tan: (x) => elementwise.divide(elementwise.sin(x), elementwise.cos(x)),
  tanh: elementwise.tanh,
  sigmoid: elementwise.sigmoid,
  erf: elementwise.erf,
  relu: elementwise.relu,
  silu: elementwise.silu,
  logSigmoid: elementwise.logSigmoid,
});
