/**
 * Products that are computed with those that feed them: few vectors are multiplied with one matrix
 * and at once with another, as in a feed-forward network that decodes. The launch leaves parts of
 * the result; the norm that reads it next adds them up.
 */

import type { PlanBuffer } from "@x/tensor/device";
import { nativeKernels } from "../kernels/index.js";
import type { KernelStep, Parts, DeviceLimits } from "../native.js";
import { areOverwritten, buffersRead, type DeviceStep } from "./steps.js";

/** Steps in order, without those that others do. */
type Steps = readonly (DeviceStep | null)[];

/** Joins products with their feeds where their reader can take parts; adds buffers for these. */
export function joinChains(
  given: readonly DeviceStep[],
  buffers: PlanBuffer[],
  context: DeviceLimits,
): readonly DeviceStep[] {
  const steps: (DeviceStep | null)[] = [...given];
  given.forEach((_, at) => {
    const step = steps[at] ?? null;
    const found = step?.kind === "native" ? feedOf(step, at, steps, buffers) : null;
    if (step?.kind !== "native" || found === null) return;
    const count = nativeKernels.find(step.node)?.partsOf?.(found.feed, step, context) ?? 0;
    const sums = step.outputs[0]!;
    const parts = { buffer: buffers.length, count };
    const reader = count === 0 ? null : readerOf(sums, at, steps, parts, context);
    if (reader === null) return;
    buffers.push({ kind: "temporary", bytes: count * buffers[sums]!.bytes });
    steps[found.at] = null;
    steps[at] = { ...step, feed: { product: found.feed, parts: parts.buffer } };
    steps[reader.at] = reader.step;
  });
  return steps.filter((step) => step !== null);
}

/** The product that gives the first factor of another, which alone needs it, and its place. */
function feedOf(
  { node, inputs, outputs, epilogue }: KernelStep,
  at: number,
  steps: Steps,
  buffers: readonly PlanBuffer[],
): { readonly feed: KernelStep; readonly at: number } | null {
  const [middle, sums] = [inputs[0]?.buffer, outputs[0] ?? null];
  const isOwn = (buffer: number | null): boolean =>
    buffer !== null && buffers[buffer]!.kind === "temporary";
  if (middle === undefined || !isOwn(middle) || !isOwn(sums)) return null;
  const isAgain = inputs[1]?.buffer === middle || epilogue?.buffers.includes(middle) === true;
  const from = steps.findIndex((step) => step?.kind === "native" && step.outputs[0] === middle);
  const feed = steps[from] ?? null;
  if (feed?.kind !== "native" || feed.node.op !== node.op || feed.feed || isAgain) return null;
  if (readersOf(middle, steps).length > 1) return null;
  return areOverwritten(buffersRead(feed), steps.slice(from + 1, at)) ? null : { feed, at: from };
}

/** The places of the steps that read a buffer. */
function readersOf(buffer: number, steps: Steps): readonly number[] {
  return steps.flatMap((step, at) => (step && buffersRead(step).includes(buffer) ? [at] : []));
}

/** The first step that reads a result, with its norm adding up parts; `null` if it cannot. */
function readerOf(
  result: number,
  from: number,
  steps: Steps,
  found: Pick<Parts, "buffer" | "count">,
  context: DeviceLimits,
): { readonly step: KernelStep; readonly at: number } | null {
  const [at, ...others] = readersOf(result, steps);
  const step = at === undefined ? null : steps[at]!;
  if (at === undefined || at < from || step?.kind !== "native") return null;
  // Those who come later find what the first has added up.
  const parts: Parts = { ...found, sums: others.length > 0 ? result : null };
  const summed = (norm: KernelStep): KernelStep | null => {
    const read = buffersRead(norm).filter((buffer) => buffer === result);
    const canSum = nativeKernels.find(norm.node)?.takesParts?.(norm) === true;
    return canSum && read.length === 1 && norm.inputs[0]!.buffer === result
      ? { ...norm, parts }
      : null;
  };
  const itself = summed(step);
  if (itself !== null) return { step: itself, at };
  const prologues = step.prologues?.map((norm) => norm && (summed(norm) ?? norm)) ?? [];
  const readers = prologues.filter((norm) => norm && buffersRead(norm).includes(result));
  const isReadAgain = buffersRead({ ...step, prologues: [] }).includes(result);
  if (isReadAgain || readers.length !== 1 || readers[0]!.parts === undefined) return null;
  const reader: KernelStep = { ...step, prologues };
  const canTake = nativeKernels.find(step.node)?.takesPrologues?.(reader, context) === true;
  return canTake ? { step: reader, at } : null;
}
