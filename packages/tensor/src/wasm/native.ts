/** How the CPU device offers a native kernel for an operation. */

import type { Node } from "../graph/node.js";
import type { NativeStep, Operand } from "../plan/schedule.js";
import type { DType } from "../tensor/dtype.js";
import type { Launch } from "./launch.js";

/** What a kernel may know and ask for while it turns a step into launches. */
export interface LoweringContext {
  /** Threads that will share the work; code and results must not depend on it, only the split. */
  readonly threads: number;
  /** Whether relaxed SIMD (fused multiply-add) is available. */
  readonly relaxed: boolean;
  /** Whether V8 pairs 128-bit operations into 256-bit ones. */
  readonly revectorized: boolean;
  /** A new temporary plan buffer of this many bytes, 64-byte aligned; lives as long as launches use it. */
  workspace(bytes: number): number;
}

/** A native kernel: the device's own way to do one operation. */
export interface NativeKernel {
  /** Name of the operation in `ops/`. */
  readonly op: string;
  /** Whether this node can be done; without it every node of the operation can. */
  readonly supports?: (node: Node) => boolean;
  /** Whether input `input` may be read through this view; without it inputs are dense. */
  readonly acceptsView?: (node: Node, input: number, view: Operand) => boolean;
  /** Whether input `input` may be kept in this narrower type, which `lower` then finds in the view. */
  readonly widens?: (node: Node, input: number, stored: DType) => boolean;
  /** Whether `lower` deals with the step's epilogue. */
  readonly takesEpilogue?: boolean;
  /** The launches, in order; each sees what earlier ones wrote. */
  readonly lower: (step: NativeStep, context: LoweringContext) => readonly Launch[];
}
