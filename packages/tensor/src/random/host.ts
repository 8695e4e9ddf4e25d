/** Random numbers made on the JavaScript side, for what has to compute with them at once. */

import type { Draw } from "../ops/draw.js";
import { threefry } from "../reference/threefry.js";

/** The top 24 bits as a number in [0, 1). */
const unit = (word: number): number => (word >>> 8) * 2 ** -24;

/** Standard normal numbers: those that `ops/random.ts` gives for the same draw, to rounding. */
export function hostNormal({ key0, key1, counter }: Draw, size: number): Float32Array {
  return Float32Array.from({ length: size }, (_, i) => {
    const [word0, word1] = threefry(key0, key1, i, counter);
    const radius = Math.sqrt(-2 * Math.log(1 - unit(word0)));
    return radius * Math.cos(2 * Math.PI * unit(word1));
  });
}
