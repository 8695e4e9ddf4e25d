/** How the GPU device offers a native kernel for an operation. */

import type { DType } from "@x/tensor";
import type { Node, NativeStep, Operand } from "@x/tensor/device";
import type { Launch } from "./launch.js";
import type { ShaderBuilder } from "./wgsl/shader.js";

/** A way to do a step that a kernel offers to the tuner. */
export interface Candidate {
  /** Tells the candidates of a key apart; choices are kept by it. */
  readonly name: string;
}

/** What a kernel may know and ask for while it turns a step into launches. */
export interface LoweringContext {
  /** Names of the optional features of WebGPU that the device has, such as `subgroups`. */
  readonly features: ReadonlySet<string>;
  /** Bytes of workgroup memory a shader may use. */
  readonly workgroupBytes: number;
  /** Most invocations of a workgroup. */
  readonly workgroupSize: number;
  /** Most buffers of a shader. */
  readonly mostBuffers: number;
  /** A new shader, which may use the features of the device. */
  shader(): ShaderBuilder;
  /** A new temporary plan buffer of this many bytes; lives as long as launches use it. */
  workspace(bytes: number): number;
  /**
   * One of several ways to do a step: the first, or with tuning the one that was fastest on this
   * device for this `key`, which names the kernel and all of the problem that the choice depends on.
   * `lower` then runs once for each candidate, and must give launches with the same meaning.
   */
  choose<T extends Candidate>(key: string, candidates: readonly [T, ...T[]]): T;
}

/** What a device can do, as far as prologues depend on it. */
export type PrologueContext = Pick<
  LoweringContext,
  "workgroupBytes" | "workgroupSize" | "mostBuffers"
>;

/** A native step as its kernel is given it. */
export interface KernelStep extends NativeStep {
  /**
   * For each input a norm of which it is the result, where the kernel is to compute that itself: the
   * buffer of the operand is never written.
   */
  readonly prologues?: readonly (NativeStep | null)[];
}

/** A native kernel: the device's own way to do one operation. */
export interface NativeKernel {
  /** Name of the operation. */
  readonly op: string;
  /** Whether this node can be done; without it every node of the operation can. */
  readonly supports?: (node: Node) => boolean;
  /** Whether input `input` may be read through this view; without it inputs are dense. */
  readonly acceptsView?: (node: Node, input: number, view: Operand) => boolean;
  /** Whether input `input` may be read as this narrower type; without it casts are loops of their own. */
  readonly widens?: (node: Node, input: number, stored: DType) => boolean;
  /** Whether it does the step's epilogue; without it epilogues are loops of their own. */
  readonly takesEpilogue?: boolean;
  /** Whether outputs that nobody reads may be `null`; without it they get memory that nobody reads. */
  readonly omitsOutputs?: boolean;
  /** Whether other kernels may do its work for themselves: norms of rows. */
  readonly canBePrologue?: boolean;
  /** Whether it does the step's prologues; without it none. */
  readonly takesPrologues?: (step: KernelStep, context: PrologueContext) => boolean;
  /** The launches, in order; each sees what earlier ones wrote. */
  readonly lower: (step: KernelStep, context: LoweringContext) => readonly Launch[];
}
