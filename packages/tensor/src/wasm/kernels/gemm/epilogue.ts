/** Work on finished rows of a product while they are in the cache. */

import type { FunctionReference, ModuleBuilder } from "../../assembler/index.js";
import type { kernelSignature } from "../../assembler/index.js";
import type { KernelCode, LaunchArgument } from "../../launch.js";

/**
 * What is done to the rows of the output after all their columns are computed: bias, activation,
 * residual. Its work items are the rows of the output, counted through the batch; its code is called
 * by the thread that computed them, or launched on its own where rows are shared out.
 */
export interface Epilogue {
  /** For profiles. */
  readonly name: string;
  readonly code: KernelCode;
  readonly arguments: readonly LaunchArgument[];
  readonly scratchBytes: number;
  /** Plan buffers it reads besides the product, and those it writes. */
  readonly reads: readonly number[];
  readonly writes: readonly number[];
  /** Floating-point operations over all rows. */
  readonly work: number;
}

/** The function of a kernel code, added to the module if it is not there yet. */
export function kernelFunction(
  module: ModuleBuilder,
  code: KernelCode,
): FunctionReference<(typeof kernelSignature)["parameters"], null> {
  if (!module.has(code.key)) code.emit(module);
  return module.get(code.key) as FunctionReference<(typeof kernelSignature)["parameters"], null>;
}
