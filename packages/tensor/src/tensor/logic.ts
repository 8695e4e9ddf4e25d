/** Elementwise methods of tensors: comparisons, logic, bits, selection, casts. */

/* eslint-disable @typescript-eslint/no-unsafe-declaration-merging --
   What the interface declares is defined from a table at the end of the file. */

import { check, XError } from "../error.js";
import type { Value } from "../graph/node.js";
import * as elementwise from "../ops/elementwise.js";
import { constant } from "../ops/leaf.js";
import { dtypes, isFloat, type DType } from "./dtype.js";
import { ElementwiseTensor } from "./elementwise.js";
import { defineBinary, defineUnary } from "./methods.js";
import { operandValue, type Operand } from "./operand.js";
import type { Tensor } from "./tensor.js";

/** The methods of `LogicTensor` that only apply an operation. */
export interface LogicTensor {
  /** Whether x = other; NaN equals nothing. */
  eq(other: Operand): Tensor;

  /** Whether x ≠ other. */
  ne(other: Operand): Tensor;

  /** Whether x < other. */
  lt(other: Operand): Tensor;

  /** Whether x ≤ other. */
  le(other: Operand): Tensor;

  /**
   * Whether x > other.
   *
   * @example
   * ```ts
   * import { tensor } from "@x/tensor";
   *
   * console.log(await tensor([1, 2, 3]).gt(2).toArray()); // → [ false, false, true ]
   * ```
   */
  gt(other: Operand): Tensor;

  /** Whether x ≥ other. */
  ge(other: Operand): Tensor;

  /** Bits set in both; for integers and bool. */
  bitwiseAnd(other: Operand): Tensor;

  /** Bits set in at least one; for integers and bool. */
  bitwiseOr(other: Operand): Tensor;

  /** Bits set in exactly one; for integers and bool. */
  bitwiseXor(other: Operand): Tensor;

  /**
   * Bits moved left by `count`; for integers.
   *
   * @example
   * ```ts
   * import { tensor } from "@x/tensor";
   *
   * console.log(await tensor([3], { dtype: "int32" }).bitwiseLeftShift(2).toArray()); // → [ 12 ]
   * ```
   */
  bitwiseLeftShift(count: Operand): Tensor;

  /** Bits moved right by `count`; for integers; int32 keeps its sign. */
  bitwiseRightShift(count: Operand): Tensor;

  /** Whether x is NaN. */
  isnan(): Tensor;

  /** Whether x is ∞ or −∞. */
  isinf(): Tensor;

  /** Whether x is neither infinite nor NaN. */
  isfinite(): Tensor;

  /** Whether x is 0. */
  logicalNot(): Tensor;
}

/** The part of `Tensor` about truth and types. */
export abstract class LogicTensor extends ElementwiseTensor {
  /** Whether both are non-zero. */
  logicalAnd(other: Tensor): Tensor {
    return this.#logical(other, elementwise.and);
  }

  /** Whether at least one is non-zero. */
  logicalOr(other: Tensor): Tensor {
    return this.#logical(other, elementwise.or);
  }

  /** Whether exactly one is non-zero. */
  logicalXor(other: Tensor): Tensor {
    return this.#logical(other, elementwise.xor);
  }

  #logical(other: Tensor, apply: (a: Value, b: Value) => Value): Tensor {
    const left = elementwise.cast(this.value, "bool");
    return this.wrap(apply(left, elementwise.cast(other.value, "bool")));
  }

  /** All bits inverted; for integers and bool. */
  bitwiseNot(): Tensor {
    if (this.dtype === "bool") return this.logicalNot();
    const ones = this.dtype === "uint32" ? constant(0xffffffff, "uint32") : constant(-1, "int32");
    return this.wrap(elementwise.xor(this.value, ones));
  }

  /**
   * x where `condition` holds, else other; all three broadcast.
   *
   * @example
   * ```ts
   * import { tensor } from "@x/tensor";
   *
   * const x = tensor([-1, 4]);
   * console.log(await x.where(x.gt(0), 0).toArray()); // → [ 0, 4 ]
   * ```
   */
  where(condition: Tensor, other: Operand): Tensor {
    const otherwise = operandValue("where", this.dtype, other);
    return this.wrap(elementwise.where(condition.value, this.value, otherwise));
  }

  /**
   * x with `value` wherever the bool tensor `mask` holds; the mask broadcasts, the type stays.
   *
   * @example
   * ```ts
   * import { tensor } from "@x/tensor";
   *
   * const mask = tensor([false, true]);
   * console.log(await tensor([1, 2]).maskedFill(mask, -Infinity).toArray()); // → [ 1, -Infinity ]
   * ```
   */
  maskedFill(mask: Tensor, value: Operand): Tensor {
    check(
      mask.dtype === "bool",
      "dtype",
      () => `maskedFill: the mask must be bool, got ${mask.dtype}. Compare or cast it.`,
    );
    if (typeof value === "number" && !isFloat(this.dtype) && !Number.isInteger(value)) {
      throw new XError(
        "dtype",
        `maskedFill: an integer tensor takes whole numbers only, got ${value}. Cast the tensor to float32.`,
      );
    }
    const filling = operandValue("maskedFill", this.dtype, value);
    const filled = elementwise.where(mask.value, filling, this.value);
    return this.wrap(elementwise.cast(filled, this.dtype));
  }

  /**
   * The same numbers as another element type. Floating point to integer cuts the fraction off and
   * saturates, NaN becomes 0; anything to bool asks whether it is not 0.
   *
   * @example
   * ```ts
   * import { tensor } from "@x/tensor";
   *
   * const x = tensor([1.7, -1.7, NaN]).cast("int32");
   * console.log(await x.toArray(), x.dtype); // → [ 1, -1, 0 ] int32
   * ```
   */
  cast(dtype: DType): Tensor {
    check(
      dtypes.includes(dtype),
      "dtype",
      () => `cast: the type must be one of ${dtypes.join(", ")}, got ${dtype}. Choose one of them.`,
    );
    return this.wrap(elementwise.cast(this.value, dtype));
  }

  /** As float32. */
  float(): Tensor {
    return this.cast("float32");
  }

  /** As float16: half the memory, widened to float32 by every operation that reads it. */
  half(): Tensor {
    return this.cast("float16");
  }

  /** As int32. */
  int(): Tensor {
    return this.cast("int32");
  }

  /** As bool: whether x is not 0. */
  bool(): Tensor {
    return this.cast("bool");
  }
}

defineBinary(LogicTensor, {
  eq: elementwise.equal,
  ne: elementwise.notEqual,
  lt: elementwise.less,
  le: elementwise.lessEqual,
  gt: (a, b) => elementwise.less(b, a),
  ge: (a, b) => elementwise.lessEqual(b, a),
  bitwiseAnd: elementwise.and,
  bitwiseOr: elementwise.or,
  bitwiseXor: elementwise.xor,
  bitwiseLeftShift: elementwise.shiftLeft,
  bitwiseRightShift: elementwise.shiftRight,
});

defineUnary(LogicTensor, {
  isnan: (x) => elementwise.notEqual(x, x),
  isinf: (x) => elementwise.equal(elementwise.abs(x), Infinity),
  isfinite: (x) => elementwise.less(elementwise.abs(x), Infinity),
  logicalNot: elementwise.not,
});
