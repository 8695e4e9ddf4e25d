/** Profiling: what ran, how long it took, and what the engine itself cost. */

import type { KernelTiming, ProfileSink } from "../device/device.js";
import { compileCount, setProfileSink } from "./realize.js";

/** What `profile` found out. */
export interface Profile<T> {
  /** What the profiled function returned. */
  readonly result: T;
  /** Kernels by total time, longest first. */
  readonly kernels: readonly KernelTiming[];
  /** Plans compiled meanwhile; 0 for a step that was seen before. */
  readonly compileCount: number;
  /** Wall time of the whole function, in milliseconds. */
  readonly totalMilliseconds: number;
  /** Wall time inside kernels. */
  readonly kernelMilliseconds: number;
  /** Wall time outside kernels: recording, keying, launching, reading. */
  readonly overheadMilliseconds: number;
}

class KernelTable implements ProfileSink {
  readonly rows = new Map<string, { calls: number; milliseconds: number; bytes: number }>();

  kernel(name: string, milliseconds: number, bytes: number): void {
    const row = this.rows.get(name) ?? { calls: 0, milliseconds: 0, bytes: 0 };
    row.calls++;
    row.milliseconds += milliseconds;
    row.bytes += bytes;
    this.rows.set(name, row);
  }
}

/**
 * Runs `body` and reports every kernel it ran, with times, bytes, compilations and the time spent
 * outside kernels. Kernels run one by one while profiling, so totals are a little higher than usual.
 *
 * @example
 * ```ts
 * import { ones, profile } from "@x/tensor";
 *
 * const { result, kernels } = await profile(() => ones([4, 4]).add(1).sum().item());
 * console.log(result, kernels.length > 0); // → 32 true
 * ```
 */
export async function profile<T>(body: () => T | Promise<T>): Promise<Profile<T>> {
  const table = new KernelTable();
  const compiledBefore = compileCount();
  const before = setProfileSink(table);
  const start = performance.now();
  try {
    const result = await body();
    const totalMilliseconds = performance.now() - start;
    const kernels = [...table.rows]
      .map(([name, row]) => ({ name, ...row }))
      .sort((a, b) => b.milliseconds - a.milliseconds);
    const kernelMilliseconds = kernels.reduce((sum, kernel) => sum + kernel.milliseconds, 0);
    return {
      result,
      kernels,
      compileCount: compileCount() - compiledBefore,
      totalMilliseconds,
      kernelMilliseconds,
      overheadMilliseconds: totalMilliseconds - kernelMilliseconds,
    };
  } finally {
    setProfileSink(before);
  }
}
