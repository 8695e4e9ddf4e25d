/** Methods of tensors that only apply an operation, made from tables; interfaces declare them. */

import type { Value } from "../graph/node.js";
import type { TensorCore } from "./core.js";
import { operandValue, type Operand } from "./operand.js";
import type { Tensor } from "./tensor.js";

interface TensorClass {
  readonly prototype: TensorCore;
}

/** Gives the class a method for each entry of the table. */
export function defineMethods<F>(
  { prototype }: TensorClass,
  table: Readonly<Record<string, F>>,
  make: (name: string, apply: F) => (this: Tensor, ...inputs: never[]) => unknown,
): void {
  for (const [name, apply] of Object.entries(table)) {
    Object.defineProperty(prototype, name, {
      value: make(name, apply),
      configurable: true,
      writable: true,
    });
  }
}

/** Gives the class functions of the tensor alone. */
export function defineUnary(
  target: TensorClass,
  table: Readonly<Record<string, (x: Value) => Value>>,
): void {
  defineMethods(target, table, (_, apply) => {
    return function () {
      return this.wrap(apply(this.value));
    };
  });
}

/** Gives the class functions of the tensor and an operand. */
export function defineBinary(
  target: TensorClass,
  table: Readonly<Record<string, (x: Value, other: Value) => Value>>,
): void {
  defineMethods(target, table, (name, apply) => {
    return function (operand: Operand) {
      return this.wrap(apply(this.value, operandValue(name, this.dtype, operand)));
    };
  });
}
