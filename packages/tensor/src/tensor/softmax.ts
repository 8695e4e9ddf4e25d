/** Methods of tensors that turn scores into probabilities. */

import * as probabilities from "../ops/softmax.js";
import { normalizeAxis } from "./shape.js";
import { SortTensor } from "./sort.js";
import type { Tensor } from "./tensor.js";

/** The part of `Tensor` about probabilities. */
export abstract class SoftmaxTensor extends SortTensor {
  /**
   * eˣ / Σ eˣ along `dim`, without overflow. A row of −∞ only gives NaN.
   *
   * @example
   * ```ts
   * import { tensor } from "@x/tensor";
   *
   * console.log(await tensor([[5, 5], [0, -1000]]).softmax(-1).toArray()); // → [ [ 0.5, 0.5 ], [ 1, 0 ] ]
   * ```
   */
  softmax(dim: number): Tensor {
    if (this.rank === 0) return this.unsqueeze(0).softmax(dim).squeeze(0);
    return this.wrap(probabilities.softmax(this.value, normalizeAxis("softmax", dim, this.rank)));
  }

  /**
   * log softmax along `dim`: x − log Σ eˣ, without overflow.
   *
   * @example
   * ```ts
   * import { tensor } from "@x/tensor";
   *
   * console.log(await tensor([0, -1000]).logSoftmax(0).toArray()); // → [ 0, -1000 ]
   * ```
   */
  logSoftmax(dim: number): Tensor {
    if (this.rank === 0) return this.unsqueeze(0).logSoftmax(dim).squeeze(0);
    const axis = normalizeAxis("logSoftmax", dim, this.rank);
    return this.wrap(probabilities.logSoftmax(this.value, axis));
  }
}
