/** Ways to cut a sequence into parts. */

import { randomNumbers } from "@x/tensor/testing";

/** All compositions of n: [n], [n − 1, 1], …, [1, 1, …, 1]. */
export function compositions(n: number): number[][] {
  const found: number[][] = [];
  for (let cuts = 0; cuts < 2 ** (n - 1); cuts++) {
    const parts = [1];
    for (let i = 0; i < n - 1; i++) {
      if ((cuts >> i) & 1) parts.push(1);
      else parts[parts.length - 1]!++;
    }
    found.push(parts);
  }
  return found;
}

/** A random composition of n into parts of at most `largest`. */
export function randomComposition(n: number, largest: number, seed: number): number[] {
  const draw = randomNumbers(seed);
  const parts: number[] = [];
  for (let left = n; left > 0; left -= parts.at(-1)!) {
    parts.push(Math.min(left, 1 + Math.floor(draw() * largest)));
  }
  return parts;
}
