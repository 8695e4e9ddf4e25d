/** The counter-based generator Threefry 2x32 with 20 rounds (Salmon et al., 2011). */

const rotations = [
  [13, 15, 26, 6],
  [17, 29, 16, 24],
] as const;

/** Keeps the sum of all key words from being 0 for key 0. */
const parity = 0x1bd11bda;

const rotateLeft = (x: number, bits: number): number => (x << bits) | (x >>> (32 - bits));

/** The two uint32 words of the block that belongs to a key and a counter. */
export function threefry(
  key0: number,
  key1: number,
  counter0: number,
  counter1: number,
): [number, number] {
  const keys = [key0 | 0, key1 | 0, key0 ^ key1 ^ parity];
  let x0 = (counter0 + key0) | 0;
  let x1 = (counter1 + key1) | 0;
  for (let group = 0; group < 5; group++) {
    for (const bits of rotations[group % 2]!) {
      x0 = (x0 + x1) | 0;
      x1 = rotateLeft(x1, bits) ^ x0;
    }
    x0 = (x0 + keys[(group + 1) % 3]!) | 0;
    x1 = (x1 + keys[(group + 2) % 3]! + group + 1) | 0;
  }
  return [x0 >>> 0, x1 >>> 0];
}
