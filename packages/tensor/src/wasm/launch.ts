/** What the CPU device runs: calls of WASM functions over a range of work items. */

import type { ModuleBuilder } from "./assembler/module.js";

/**
 * A kernel's code. Two codes with the same `key` are the same function and are compiled once.
 *
 * Calling convention of the emitted function: `(arguments: i32, begin: i32, end: i32, scratch: i32)`.
 * It does the work items `begin … end - 1`; items are independent, so threads share them out.
 * `arguments` points at the launch's argument words, `scratch` at `scratchBytes` bytes of memory of
 * the calling thread (64-byte aligned, contents undefined).
 */
export interface KernelCode {
  /** Identity: encodes every choice that changes the code. */
  readonly key: string;
  /** Adds the function to a module, exported under `key`. */
  readonly emit: (module: ModuleBuilder) => void;
}

/** One 32-bit argument word. */
export type LaunchArgument =
  /** Address of plan buffer `buffer` plus `offset` bytes. */
  | { readonly kind: "buffer"; readonly buffer: number; readonly offset?: number }
  | { readonly kind: "int"; readonly value: number }
  | { readonly kind: "float"; readonly value: number }
  /** A runtime scalar of the plan, by its number; written anew at every run. */
  | { readonly kind: "scalar"; readonly scalar: number };

/** One call of a kernel, shared out over the threads. */
export interface Launch {
  /** For profiles, e.g. `gemm 512x512x512`. */
  readonly name: string;
  readonly code: KernelCode;
  readonly arguments: readonly LaunchArgument[];
  /** Number of independent work items. */
  readonly items: number;
  /** Items a thread takes at a time; chosen so that one grain is at least some microseconds. */
  readonly grain: number;
  /** Scratch bytes each thread needs. */
  readonly scratchBytes: number;
  /** Plan buffers read and written, for liveness. */
  readonly reads: readonly number[];
  readonly writes: readonly number[];
  /** Rough number of floating-point operations, for profiles and for the choice to run on one thread. */
  readonly work: number;
}
