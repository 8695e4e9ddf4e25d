/** Where vector mathematics is written, and what all of its functions share. */

import {
  f32x4,
  f64x2,
  type FunctionBuilder,
  i32x4,
  type ModuleBuilder,
  type V128,
  v128,
} from "../assembler/index.js";

/**
 * Where vector mathematics is written. The functions of this folder append what they need to `f`
 * and give an expression of the result, to be used before anything else changes `f`'s locals.
 */
export interface MathContext {
  /** Takes helper functions (rare, slow paths), and says whether relaxed SIMD is there. */
  readonly module: ModuleBuilder;
  /** The function that is written. */
  readonly f: FunctionBuilder;
}

/** A float32 constant in all lanes, kept in a local. */
export function float(c: MathContext, value: number): V128 {
  return c.f.constantOf(Object.is(value, -0) ? "f-0" : `f${value}`, () => f32x4.splat(value));
}

/** A 32-bit integer constant in all lanes, kept in a local. */
export function integer(c: MathContext, value: number): V128 {
  return c.f.constantOf(`i${value}`, () => i32x4.splat(value));
}

/** `coefficients[0] + coefficients[1] x + …` in float32 lanes; `x` should be a local. */
export function polynomial(c: MathContext, x: V128, coefficients: readonly number[]): V128 {
  return coefficients
    .slice(0, -1)
    .reduceRight(
      (sum, coefficient) => c.module.madd(sum, x, float(c, coefficient)),
      float(c, coefficients.at(-1)!),
    );
}

/** The same in float64 lanes. */
export function polynomialF64(c: MathContext, x: V128, coefficients: readonly number[]): V128 {
  return coefficients
    .slice(0, -1)
    .reduceRight(
      (sum, coefficient) => c.module.maddF64(sum, x, c.f.constant(f64x2.splat(coefficient))),
      c.f.constant(f64x2.splat(coefficients.at(-1)!)),
    );
}

/**
 * Calls a function from vectors to a vector that is added to the module at its first use: for code
 * that is long or rarely run.
 */
export function callHelper(
  c: MathContext,
  name: string,
  operands: readonly V128[],
  code: (c: MathContext, ...operands: V128[]) => V128,
): V128 {
  const key = `math/${name}`;
  const target =
    c.module.get(key) ??
    c.module.function(
      key,
      { parameters: operands.map(() => v128), result: v128 },
      (f, ...parameters) => code({ module: c.module, f }, ...parameters),
      { export: false },
    );
  return target.call(...operands) as V128;
}
