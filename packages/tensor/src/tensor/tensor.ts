/** The tensor class. */

import type { Value } from "../graph/node.js";
import { LinearAlgebraTensor } from "./linear-algebra.js";

/**
 * A promise of numbers: an n-dimensional array that is computed when somebody asks for its elements.
 *
 * Operations return at once; `await t.data()`, `await t.item()` or an optimizer step computes.
 *
 * @example
 * ```ts
 * import { tensor } from "@x/tensor";
 *
 * const x = tensor([[1, 2], [3, 4]]);
 * console.log(await x.matmul(x).add(1).toArray()); // → [ [ 8, 11 ], [ 16, 23 ] ]
 * ```
 */
export class Tensor extends LinearAlgebraTensor {
  /** @internal */
  override wrap(value: Value): Tensor {
    return new Tensor(value);
  }
}
