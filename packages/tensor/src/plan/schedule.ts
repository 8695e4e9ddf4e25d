/** The schedule: an ordered list of kernels over numbered buffers, before memory is assigned. */

import type { Node } from "../graph/node.js";
import type { DType } from "../tensor/dtype.js";
import type { Shape } from "../tensor/shape.js";
import type { LoopKernel } from "./loop.js";

/** Memory a plan works on. */
export type PlanBuffer =
  /** Bound at every run to graph input `input`. */
  | { readonly kind: "input"; readonly input: number; readonly bytes: number }
  /** Bound at every run to graph output `output`. */
  | { readonly kind: "output"; readonly output: number; readonly bytes: number }
  /** An intermediate in the arena. */
  | { readonly kind: "temporary"; readonly bytes: number };

/** What a native kernel reads: a view of a buffer. Strides and offset count elements. */
export interface Operand {
  readonly buffer: number;
  readonly dtype: DType;
  readonly shape: Shape;
  /** One per axis; 0 where broadcast, negative where reversed. */
  readonly strides: readonly number[];
  readonly offset: number;
}

/** A fused loop. */
export interface LoopStep {
  readonly kind: "loop";
  readonly name: string;
  readonly kernel: LoopKernel;
  /** Plan buffer of each slot. */
  readonly buffers: readonly number[];
  /** Plan scalar of each scalar slot. */
  readonly scalars: readonly number[];
}

/** A node the device has its own kernel for. */
export interface NativeStep {
  readonly kind: "native";
  readonly name: string;
  readonly node: Node;
  readonly inputs: readonly Operand[];
  /** Plan buffer of each output, dense and row-major; `null` where nobody reads that output. */
  readonly outputs: readonly (number | null)[];
  /**
   * Elementwise work on the first output that follows at once and stays in its buffer: whose loads
   * and stores of that buffer are at the same place.
   */
  readonly epilogue: LoopStep | null;
}

export type Step = LoopStep | NativeStep;

/** Everything a device needs to make a plan runnable. */
export interface Schedule {
  readonly buffers: readonly PlanBuffer[];
  readonly steps: readonly Step[];
}

/** What the scheduler asks about a device's native kernels. */
export interface NativeSupport {
  /** Whether the device has a kernel for this node. */
  has(node: Node): boolean;
  /** Whether that kernel can read input `input` through this view; otherwise a dense copy is made. */
  acceptsView(node: Node, input: number, view: Operand): boolean;
  /** Whether that kernel can take an epilogue. */
  acceptsEpilogue(node: Node): boolean;
}

/** Whether a view is dense and row-major. */
export function isDense({ shape, strides }: Pick<Operand, "shape" | "strides">): boolean {
  let expected = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    if (shape[i] !== 1 && strides[i] !== expected) return false;
    expected *= shape[i]!;
  }
  return true;
}
