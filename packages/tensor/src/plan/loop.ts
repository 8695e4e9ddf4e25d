/**
 * The loop kernel: the small language between the plan and the devices.
 *
 * One loop kernel is a nest of loops over `extents`. At every iteration point it evaluates a list of
 * scalar expressions and stores some of them; with a `reducer`, the trailing loops are reduced first
 * and the `epilogue` works on the reduced value. All addressing is affine in the loop counters, so a
 * device can vectorise it without looking at anything else. The WASM device turns loop kernels into
 * bytecode, the WebGPU device into WGSL.
 */

import type { Reducer, ScalarFunction } from "../graph/scalar-function.js";
import type { DType } from "../tensor/dtype.js";

/** `offset + Σ strides[d] · counter[d]`, in elements (or in steps, for conditions). */
export interface Affine {
  /** Its value where all counters are 0. */
  readonly offset: number;
  /** One stride per loop, outermost first; 0 where the counter plays no part. */
  readonly strides: readonly number[];
}

/** An element of a buffer. */
export interface LoadExpression {
  /** Tells expressions apart. */
  readonly kind: "load";
  /** The buffer slot. */
  readonly slot: number;
  /** The position of the element. */
  readonly index: Affine;
  /** Its type in memory. */
  readonly stored: DType;
  /** Its arithmetic type. */
  readonly dtype: DType;
  /**
   * Position of a bool expression that says where the element may be read; elsewhere the value is 0
   * and memory is not touched.
   */
  readonly guard?: number;
}

/** A number fixed when the plan is made. */
export interface ConstantExpression {
  /** Tells expressions apart. */
  readonly kind: "constant";
  /** The number. */
  readonly value: number;
  /** Its type. */
  readonly dtype: DType;
}

/** A number given anew at every run. */
export interface ScalarExpression {
  /** Tells expressions apart. */
  readonly kind: "scalar";
  /** The scalar slot. */
  readonly slot: number;
  /** Its type. */
  readonly dtype: DType;
}

/** The value of an affine function of the counters. */
export interface IndexExpression {
  /** Tells expressions apart. */
  readonly kind: "index";
  /** The function. */
  readonly index: Affine;
  /** Always int32. */
  readonly dtype: "int32";
}

/** One bound of an {@link InsideExpression}: `0 ≤ index < size`. */
export interface InsideCondition {
  /** What is bounded. */
  readonly index: Affine;
  /** The bound. */
  readonly size: number;
}

/** Whether every condition holds. */
export interface InsideExpression {
  /** Tells expressions apart. */
  readonly kind: "inside";
  /** The conditions. */
  readonly conditions: readonly InsideCondition[];
  /** Always bool. */
  readonly dtype: "bool";
}

/** A scalar function of earlier expressions. */
export interface ApplyExpression {
  /** Tells expressions apart. */
  readonly kind: "apply";
  /** The function. */
  readonly function: ScalarFunction;
  /** Positions of its operands in the same list. */
  readonly operands: readonly number[];
  /** The type of the result. */
  readonly dtype: DType;
}

/** In an epilogue: the result of the reduction (int32 for the arg reducers). */
export interface ReducedExpression {
  /** Tells expressions apart. */
  readonly kind: "reduced";
  /** The type of the result. */
  readonly dtype: DType;
}

/** One value of a loop body. Operands are positions of earlier expressions in the same list. */
export type Expression =
  | LoadExpression
  | ConstantExpression
  | ScalarExpression
  | IndexExpression
  | InsideExpression
  | ApplyExpression
  | ReducedExpression;

/** Writes an expression to buffer slot `slot`, converted from its arithmetic type to `stored`. */
export interface Store {
  /** The buffer slot. */
  readonly slot: number;
  /** The position of the element. */
  readonly index: Affine;
  /** The position of the expression. */
  readonly expression: number;
  /** The element's type in memory. */
  readonly stored: DType;
}

/** A nest of fused loops. */
export interface LoopKernel {
  /** Size of every loop, outermost first; none is 0. */
  readonly extents: readonly number[];
  /** The first `outputRank` loops give one result each; the others are reduced. */
  readonly outputRank: number;
  /** How the trailing loops are joined, or `null` if `outputRank` covers all loops. */
  readonly reducer: Reducer | null;
  /** Evaluated at every iteration point. With a reducer the last expression is what is reduced. */
  readonly body: readonly Expression[];
  /** With a reducer: evaluated once per output point; strides of reduced loops are 0. Else empty. */
  readonly epilogue: readonly Expression[];
  /** Refer to `epilogue` with a reducer, to `body` without. A slot that is also loaded is loaded with the same index (an in-place update). */
  readonly stores: readonly Store[];
  /** Number of buffer slots. */
  readonly slots: number;
  /** Types of the scalar slots; every scalar is one 32-bit word. */
  readonly scalars: readonly DType[];
}
