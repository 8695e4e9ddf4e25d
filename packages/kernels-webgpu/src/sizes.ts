/** Refuses, before any work, what is too large for the GPU. */

import { XError } from "@x/tensor";

/** Positions are computed in integers of 32 bits, some of them a workgroup beyond the last. */
const mostElements = 2 ** 31 - 2 ** 16;

/** Most bytes of a tensor: a shader has to bind it as a whole. */
export function mostTensorBytes(limits: GPUSupportedLimits): number {
  const most = Math.min(limits.maxBufferSize, limits.maxStorageBufferBindingSize);
  // Sizes are rounded up to what offsets are multiples of.
  return Math.floor(most / 256) * 256;
}

/** Refuses a tensor that no shader can bind as a whole. */
export function checkTensorBytes(bytes: number, limits: GPUSupportedLimits): void {
  const most = mostTensorBytes(limits);
  if (bytes > most) refuse("one tensor", megabytes(most), megabytes(bytes));
}

/** Refuses more elements than positions can be told apart. */
export function checkElements(what: string, elements: number): void {
  if (elements > mostElements) refuse(what, `${mostElements} elements`, String(elements));
}

function refuse(what: string, most: string, actual: string): never {
  throw new XError(
    "memory",
    `webgpu: ${what} can take at most ${most} on this GPU, got ${actual}. Split it, or use a smaller batch.`,
  );
}

function megabytes(bytes: number): string {
  return `${Math.ceil(bytes / 2 ** 20)} MiB`;
}
