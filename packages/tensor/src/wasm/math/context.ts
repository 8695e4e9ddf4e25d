/** Where vector mathematics is written, and what all of its functions share. */

import {
  type Expression,
  f32x4,
  f64x2,
  type FunctionBuilder,
  type FunctionReference,
  i32x4,
  type ModuleBuilder,
  type Signature,
  type V128,
  v128,
  type ValueType,
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

/** A float64 constant in both lanes, kept in a local. */
export function double(c: MathContext, value: number): V128 {
  return c.f.constantOf(`d${value}`, () => f64x2.splat(value));
}

/** `coefficients[0] + coefficients[1] x + …` in float32 lanes; `x` should be a local. */
export function polynomial(c: MathContext, x: V128, coefficients: readonly number[]): V128 {
  return coefficients
    .map((coefficient) => float(c, coefficient))
    .reduceRight((sum, coefficient) => c.module.madd(sum, x, coefficient));
}

/**
 * Computes in float64 lanes: `code` gets the two low lanes of each operand, then the two high ones,
 * and gives vectors in whose low lanes the results are.
 */
export function byHalves(
  c: MathContext,
  operands: readonly V128[],
  code: (...halves: V128[]) => readonly V128[],
): V128[] {
  const { f } = c;
  const kept = operands.map((operand) => f.keep(operand));
  const low = code(...kept).map((value) => f.let(value));
  const high = code(...kept.map((v) => i32x4.shuffle(v, v, [2, 3, 2, 3])));
  return low.map((value, i) => i32x4.shuffle(value, high[i]!, [0, 1, 4, 5]));
}

/** The function of that name, added to the module at its first use: for what is long or rarely run. */
export function helper<const P extends readonly ValueType[], R extends Expression>(
  module: ModuleBuilder,
  name: string,
  signature: Signature<P, R>,
  code: Parameters<typeof module.function<P, R>>[2],
): FunctionReference<P, R> {
  const key = `math/${name}`;
  const found = module.get(key) as FunctionReference<P, R> | undefined;
  return found ?? module.function(key, signature, code, { export: false });
}

/** Calls a helper from vectors to a vector. */
export function callHelper(
  c: MathContext,
  name: string,
  operands: readonly V128[],
  code: (c: MathContext, ...operands: V128[]) => V128,
): V128 {
  const { module } = c;
  const signature = { parameters: operands.map(() => v128), result: v128 };
  return helper(module, name, signature, (f, ...parameters) =>
    code({ module, f }, ...parameters),
  ).call(...operands);
}
