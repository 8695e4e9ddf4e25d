/** Times of kernels for profiles: from the clock of the GPU where it has one for that. */

import type { ProfileSink } from "@x/tensor/device";
import { bufferUsage } from "../adapter/constants.js";
import type { GpuRuntime } from "./runtime.js";

/** A launch to be timed. */
export interface Timed {
  readonly name: string;
  /** Bytes that it may read and write. */
  readonly bytes: number;
  /** Puts it into a pass. */
  dispatch(pass: GPUComputePassEncoder): void;
}

/** Most launches of one query set: it holds 4,096 numbers, and each launch has two. */
const mostQueries = 2048;

/**
 * Runs kernels in a pass each and tells `profile` how long they took. Pages may get times of the GPU
 * in steps of 0.1 ms.
 */
export async function runTimed(
  runtime: GpuRuntime,
  launches: readonly Timed[],
  profile: ProfileSink,
): Promise<void> {
  if (!runtime.device.features.has("timestamp-query")) {
    return runOneByOne(runtime.device, launches, profile);
  }
  for (let first = 0; first < launches.length; first += mostQueries) {
    await runWithQueries(runtime, launches.slice(first, first + mostQueries), profile);
  }
}

async function runWithQueries(
  runtime: GpuRuntime,
  launches: readonly Timed[],
  profile: ProfileSink,
): Promise<void> {
  const { device } = runtime;
  const count = 2 * launches.length;
  const querySet = device.createQuerySet({ type: "timestamp", count });
  const usage = bufferUsage.QUERY_RESOLVE | bufferUsage.COPY_SRC;
  const resolved = device.createBuffer({ size: count * 8, usage });
  try {
    const encoder = device.createCommandEncoder();
    launches.forEach((launch, i) => {
      const pass = encoder.beginComputePass({
        timestampWrites: {
          querySet,
          beginningOfPassWriteIndex: 2 * i,
          endOfPassWriteIndex: 2 * i + 1,
        },
      });
      launch.dispatch(pass);
      pass.end();
    });
    encoder.resolveQuerySet(querySet, 0, count, resolved, 0);
    device.queue.submit([encoder.finish()]);
    const range = { buffer: resolved, offset: 0, size: count * 8 };
    const [numbers] = await runtime.read([{ range, bytes: count * 8 }]);
    const times = new BigUint64Array(numbers!);
    launches.forEach(({ name, bytes }, i) => {
      // Clocks may be set back, which is not the kernel's doing.
      const nanoseconds = Math.max(0, Number(times[2 * i + 1]! - times[2 * i]!));
      profile.kernel(name, nanoseconds / 1e6, bytes);
    });
  } finally {
    querySet.destroy();
    resolved.destroy();
  }
}

async function runOneByOne(
  device: GPUDevice,
  launches: readonly Timed[],
  profile: ProfileSink,
): Promise<void> {
  await device.queue.onSubmittedWorkDone();
  for (const launch of launches) {
    const start = performance.now();
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    launch.dispatch(pass);
    pass.end();
    device.queue.submit([encoder.finish()]);
    await device.queue.onSubmittedWorkDone();
    profile.kernel(launch.name, performance.now() - start, launch.bytes);
  }
}
