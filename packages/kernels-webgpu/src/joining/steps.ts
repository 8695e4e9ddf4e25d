/** The steps of a plan as the device does them, and what they read and write. */

import type { LoopStep } from "@x/tensor/device";
import type { KernelStep } from "../native.js";

/** A step as the device does it. */
export type DeviceStep = LoopStep | KernelStep;

/** The steps that are done as parts of a step. */
function within({ prologues = [], feed }: KernelStep): readonly KernelStep[] {
  const norms = prologues.filter((norm) => norm !== null);
  return feed === undefined ? norms : [...norms, feed.product];
}

/** The plan buffers that a step reads, or would read if another did not do a part of it. */
export function buffersRead(step: DeviceStep): readonly number[] {
  // A loop may read what it stores.
  if (step.kind === "loop") return step.buffers;
  const { inputs, outputs, epilogue, parts } = step;
  // What an epilogue works on is in the buffer of the result only afterwards.
  const others = epilogue?.buffers.filter((buffer) => !outputs.includes(buffer)) ?? [];
  const own = [...inputs.map(({ buffer }) => buffer), ...others];
  if (parts !== undefined) own.push(parts.buffer);
  return [...own, ...within(step).flatMap(buffersRead)];
}

/** The plan buffers that a step writes, or would write. */
function buffersWritten(step: DeviceStep): readonly number[] {
  if (step.kind === "loop") return step.kernel.stores.map(({ slot }) => step.buffers[slot]!);
  const { outputs, feed, parts } = step;
  const own = [...outputs, feed?.parts ?? null, parts?.sums ?? null];
  return [...own.filter((buffer) => buffer !== null), ...within(step).flatMap(buffersWritten)];
}

/** Whether one of these steps writes what another reads, so that that cannot be done after them. */
export function areOverwritten(
  read: readonly number[],
  steps: readonly (DeviceStep | null)[],
): boolean {
  return steps.some(
    (step) => step !== null && buffersWritten(step).some((buffer) => read.includes(buffer)),
  );
}
