/** Dropout. */

import { drawScalars, dropout as dropoutValue } from "../ops/random.js";
import { getDefaultGenerator, type Generator } from "../random/generator.js";
import { checkNumbers, probability } from "./arguments.js";
import { Tensor } from "./tensor.js";

/** Options of `dropout`. */
export interface DropoutOptions {
  /** The probability with which an element is set to 0. Default 0.5. */
  readonly p?: number;
  /** Outside training nothing happens. Default true. */
  readonly training?: boolean;
  /** Where the random numbers come from; the default generator unless given. */
  readonly generator?: Generator;
}

/**
 * Elements set to 0 with probability p, the others scaled by 1 / (1 − p), so that the mean stays.
 * The mask is never stored: the backward pass draws the same numbers again.
 *
 * @example
 * ```ts
 * import { dropout, manualSeed, ones } from "@x/tensor";
 *
 * manualSeed(1);
 * const y = dropout(ones([10000]), { p: 0.25 });
 * console.log(Math.abs((await y.mean().item()) - 1) < 0.05); // → true
 * ```
 */
export function dropout(x: Tensor, options: DropoutOptions = {}): Tensor {
  const { p = 0.5, training = true, generator = getDefaultGenerator() } = options;
  checkNumbers("dropout", probability, { p });
  if (!training || p === 0) return x;
  return new Tensor(dropoutValue(x.value, p, drawScalars(generator.draw())));
}
