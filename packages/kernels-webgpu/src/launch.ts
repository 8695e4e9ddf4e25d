/** What the GPU device runs: compute shaders over workgroups. */

import type { ShaderBuilder } from "./wgsl/shader.js";

/** What a launch was written from, so that other work can be added to it. */
export interface LaunchSource {
  /** What it binds and declares. */
  readonly shader: ShaderBuilder;
  /** Its workgroups, and their invocations. */
  readonly groups: number;
  readonly size: number;
  /** Sees `group` and `lane`. */
  readonly body: string;
  /**
   * The work of one invocation for each item, which sees `item`, if it can be done in workgroups of
   * any size, beside that of another launch.
   */
  readonly guest: { readonly items: number; readonly body: string } | null;
}

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
  /** Without it the launch stays as it is. */
  readonly source?: LaunchSource;
}
