/** Kernel halving; see `ops/kernel-halving.ts` for what it computes. */

import { halvingRounds, halvingTotals } from "../ops/kernel-halving.js";
import type { ReferenceArray } from "./array.js";

/** The rows of one head, and what goes with them. */
interface Head {
  readonly key: (position: number) => Float64Array;
  readonly value: (position: number) => Float64Array;
  readonly takesPart: (position: number) => boolean;
}

function dot(a: Float64Array, b: Float64Array): number {
  return a.reduce((sum, x, i) => sum + x * b[i]!, 0);
}

/** The positions that every round keeps, for each batch and head. */
export function computeKernelHalving(
  inputs: readonly ReferenceArray[],
  bucket: number,
  rounds: number,
): Float64Array {
  const [key, value, weights, offsets, draws] = inputs as Repeat5<ReferenceArray>;
  const [batch, heads, length] = key.shape as [number, number, number];
  const list = halvingRounds(length, bucket, rounds);
  const [entries, buckets] = halvingTotals(list);
  const result = new Float64Array(batch * heads * entries);
  const rowOf = ({ elements, shape }: ReferenceArray, row: number): Float64Array =>
    elements.subarray(row * shape[3]!, (row + 1) * shape[3]!);
  for (let number = 0; number < batch * heads; number++) {
    const head: Head = {
      key: (position) => rowOf(key, number * length + position),
      value: (position) => rowOf(value, number * length + position),
      takesPart: (position) =>
        weights.elements[Math.floor(number / heads) * length + position]! > 0,
    };
    const kept = result.subarray(number * entries, (number + 1) * entries);
    let source = Float64Array.from({ length }, (_, i) => i);
    for (const { size, buckets: count, firstEntry, firstBucket } of list) {
      for (let b = 0; b < count; b++) {
        const start = firstEntry + (b * size) / 2;
        const offset = offsets.elements[number * buckets + firstBucket + b]!;
        const from = number * entries + start;
        const chosen = halve(
          head,
          source.subarray(b * size, (b + 1) * size),
          offset,
          draws.elements.subarray(from, from + size / 2),
        );
        kept.set(chosen, start);
      }
      source = kept.slice(firstEntry, firstEntry + (count * size) / 2);
    }
  }
  return result;
}

type Repeat5<T> = readonly [T, T, T, T, T];

function halve(
  { key, value, takesPart }: Head,
  entries: Float64Array,
  offset: number,
  draws: Float64Array,
): number[] {
  // The choice is the same for any multiple of the kernel; this one does not overflow.
  const shift = entries.reduce((most, x) => Math.max(most, dot(key(x), key(x))), 0);
  const kernel = (x: number, y: number): number =>
    Math.exp(dot(key(x), key(y)) - shift) * (dot(value(x), value(y)) + offset);
  const earlier: { readonly a: number; readonly z: number; readonly sign: number }[] = [];
  const isInverted = draws[0]! < 0;
  let reach = 0;
  return Array.from(draws, (draw, i) => {
    const [a, z] = [entries[2 * i]!, entries[2 * i + 1]!];
    if (!takesPart(a) || !takesPart(z)) return takesPart(z) ? z : a;
    const difference = (x: number, y: number): number =>
      kernel(a, x) - kernel(z, x) - kernel(a, y) + kernel(z, y);
    const radius = Math.sqrt(Math.max(0, difference(a, z)));
    reach = Math.max(reach, radius);
    const sum = earlier.reduce((total, pair) => total + pair.sign * difference(pair.a, pair.z), 0);
    const isSwapped = i > 0 && draw * radius * reach <= sum;
    earlier.push({ a, z, sign: isSwapped ? -1 : 1 });
    return isSwapped === isInverted ? a : z;
  });
}
