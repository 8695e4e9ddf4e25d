/** Squared lengths of normally distributed vectors. */

import { randn, type Tensor } from "@x/tensor";
import type { Generator } from "@x/tensor/random";

/** `count` numbers distributed chi-square with `degrees` degrees of freedom. */
export function chiSquare(
  count: number,
  degrees: number,
  generator: Generator | undefined,
): Tensor {
  return randn([count, degrees], generator && { generator })
    .square()
    .sum(-1);
}
