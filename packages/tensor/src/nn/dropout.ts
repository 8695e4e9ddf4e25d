/** Dropout as a module. */

import { checkNumbers, probability } from "../tensor/arguments.js";
import { dropout } from "../tensor/dropout.js";
import type { Tensor } from "../tensor/tensor.js";
import { Module } from "./module.js";

/**
 * In training, sets elements to 0 with probability `p` and scales the others by `1 / (1 − p)`;
 * otherwise gives back what it gets.
 *
 * @example
 * ```ts
 * const layer = new Dropout(0.5).eval();
 * console.log(await layer.forward(ones([3])).toArray()); // → [ 1, 1, 1 ]
 * ```
 *
 * @see Srivastava et al.: Dropout (2014)
 */
export class Dropout extends Module {
  /** The probability with which an element is set to 0. */
  readonly p: number;

  /** @throws XError `argument` if `p` is not between 0 and 1 */
  constructor(p: number = 0.5) {
    super();
    checkNumbers("Dropout", probability, { p });
    this.p = p;
  }

  /** `x` with elements dropped. */
  forward(x: Tensor): Tensor {
    return dropout(x, { p: this.p, training: this.training });
  }
}
