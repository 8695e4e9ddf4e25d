/** What the GPU device runs: compute shaders over workgroups. */

/** One dispatch of a compute shader. */
export interface Launch {
  /** For profiles, e.g. `matmul 512x512x512`. */
  readonly name: string;
  /** The WGSL text; equal texts share a pipeline. Its entry point is `main`. */
  readonly shader: string;
  /** The plan buffer of each binding; no buffer is bound twice. */
  readonly buffers: readonly number[];
  /** The plan scalars in the uniform that follows the buffers, in order; none: no uniform. */
  readonly scalars: readonly number[];
  /** Workgroups along x and y. */
  readonly workgroups: readonly [number, number];
}
