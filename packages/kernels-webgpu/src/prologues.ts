/**
 * Norms that their readers compute: a kernel of few rows reads all of them anyway, and computing a
 * norm again takes it less time than waiting for another launch.
 */

import type { LoopStep, NativeStep, PlanBuffer, Step } from "@x/tensor/device";
import { kernelFor } from "./kernels/index.js";
import type { KernelStep, PrologueContext } from "./native.js";

/** A step as the device does it. */
export type DeviceStep = LoopStep | KernelStep;

/** Makes norms the prologues of the steps that read them, where all of these can take them. */
export function joinPrologues(
  scheduled: readonly Step[],
  buffers: readonly PlanBuffer[],
  context: PrologueContext,
): readonly DeviceStep[] {
  const steps: (DeviceStep | null)[] = [...scheduled];
  scheduled.forEach((norm, at) => {
    if (norm.kind !== "native" || !canBePrologue(norm, buffers)) return;
    const readers = readersOf(norm, at, steps, context);
    if (readers === null) return;
    for (const [place, step] of readers) steps[place] = step;
    steps[at] = null;
  });
  return steps.filter((step) => step !== null);
}

function canBePrologue(
  { node, outputs, epilogue }: NativeStep,
  buffers: readonly PlanBuffer[],
): boolean {
  const isOwn = (buffer: number | null): boolean =>
    buffer === null || buffers[buffer]!.kind === "temporary";
  return kernelFor(node)?.canBePrologue === true && epilogue === null && outputs.every(isOwn);
}

/** The steps that read a norm, by their places, with it as their prologue; `null` if that cannot be. */
function readersOf(
  norm: NativeStep,
  at: number,
  steps: readonly (DeviceStep | null)[],
  context: PrologueContext,
): ReadonlyMap<number, KernelStep> | null {
  const [result, ...statistics] = norm.outputs;
  const readers = new Map<number, KernelStep>();
  for (let place = at + 1; place < steps.length; place++) {
    const step = steps[place] ?? null;
    if (step === null) continue;
    const read = buffersRead(step);
    if (statistics.some((buffer) => buffer !== null && read.includes(buffer))) return null;
    if (!read.includes(result!)) continue;
    if (step.kind === "loop" || step.epilogue?.buffers.includes(result!) === true) return null;
    const prologues = step.inputs.map(({ buffer }, input) =>
      buffer === result ? norm : (step.prologues?.[input] ?? null),
    );
    const reader: KernelStep = { ...step, prologues };
    if (kernelFor(step.node)?.takesPrologues?.(reader, context) !== true) return null;
    readers.set(place, reader);
  }
  // What the norm reads must still be there.
  const last = Math.max(...readers.keys());
  const kept = norm.inputs.map(({ buffer }) => buffer);
  for (const step of steps.slice(at + 1, last + 1)) {
    if (step !== null && buffersWritten(step).some((buffer) => kept.includes(buffer))) return null;
  }
  return readers.size === 0 ? null : readers;
}

function buffersRead(step: DeviceStep): readonly number[] {
  // A loop may read what it stores.
  if (step.kind === "loop") return step.buffers;
  return [...step.inputs.map(({ buffer }) => buffer), ...(step.epilogue?.buffers ?? [])];
}

function buffersWritten(step: DeviceStep): readonly number[] {
  if (step.kind === "loop") return step.kernel.stores.map(({ slot }) => step.buffers[slot]!);
  return step.outputs.filter((buffer) => buffer !== null);
}
