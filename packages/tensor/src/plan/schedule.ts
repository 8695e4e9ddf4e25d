/** The schedule: an ordered list of kernels over numbered buffers, before memory is assigned. */

import type { Node } from "../graph/node.js";
import type { DType } from "../tensor/dtype.js";
import type { Shape } from "../tensor/shape.js";
import type { LoopKernel } from "./loop.js";

/** Memory bound at every run to a graph input. */
export interface InputBuffer {
  /** Tells buffers apart. */
  readonly kind: "input";
  /** Number of the graph input. */
  readonly input: number;
  /** Its size. */
  readonly bytes: number;
}

/** Memory bound at every run to a graph output. */
export interface OutputBuffer {
  /** Tells buffers apart. */
  readonly kind: "output";
  /** Number of the graph output. */
  readonly output: number;
  /** Its size. */
  readonly bytes: number;
}

/** An intermediate in the arena. */
export interface TemporaryBuffer {
  /** Tells buffers apart. */
  readonly kind: "temporary";
  /** Its size. */
  readonly bytes: number;
}

/** Memory a plan works on. */
export type PlanBuffer = InputBuffer | OutputBuffer | TemporaryBuffer;

/** What a native kernel reads: a view of a buffer. Strides and offset count elements. */
export interface Operand {
  /** The plan buffer. */
  readonly buffer: number;
  /** Element type; narrower than the node's where the kernel widens. */
  readonly dtype: DType;
  /** Size along each axis of the view. */
  readonly shape: Shape;
  /** One per axis; 0 where broadcast, negative where reversed. */
  readonly strides: readonly number[];
  /** The position of the first element. */
  readonly offset: number;
}

/** A fused loop. */
export interface LoopStep {
  /** Tells steps apart. */
  readonly kind: "loop";
  /** For profiles. */
  readonly name: string;
  /** What is computed. */
  readonly kernel: LoopKernel;
  /** Plan buffer of each slot. */
  readonly buffers: readonly number[];
  /** Plan scalar of each scalar slot. */
  readonly scalars: readonly number[];
}

/** A node the device has its own kernel for. */
export interface NativeStep {
  /** Tells steps apart. */
  readonly kind: "native";
  /** For profiles. */
  readonly name: string;
  /** What is computed. */
  readonly node: Node;
  /** What it reads, one per input of the node. */
  readonly inputs: readonly Operand[];
  /** Plan buffer of each output, dense and row-major; `null` where nobody reads that output. */
  readonly outputs: readonly (number | null)[];
  /**
   * Elementwise work on the first output that follows at once and stays in its buffer: whose loads
   * and stores of that buffer are at the same place.
   */
  readonly epilogue: LoopStep | null;
}

/** One piece of work. */
export type Step = LoopStep | NativeStep;

/** Everything a device needs to make a plan runnable. */
export interface Schedule {
  /** The memory the steps work on, by number. */
  readonly buffers: readonly PlanBuffer[];
  /** The work, in order. */
  readonly steps: readonly Step[];
}

/** What the scheduler asks about a device and its native kernels. */
export interface NativeSupport {
  /** The most buffers that a fused loop may use, at least 4; default: any number. */
  readonly mostBuffers?: number;
  /** Whether the device has a kernel for this node. */
  has(node: Node): boolean;
  /** Whether that kernel can read input `input` through this view; otherwise a dense copy is made. */
  acceptsView(node: Node, input: number, view: Operand): boolean;
  /**
   * Whether that kernel can read input `input` where it is kept in a narrower type and do the cast
   * itself; the operand then has that type. Without it, casts are kernels of their own.
   */
  widens?(node: Node, input: number, stored: DType): boolean;
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
