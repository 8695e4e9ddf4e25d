/** Methods of tensors that put elements in order. */

import * as sorting from "../ops/sort.js";
import type { ValuesAndIndices } from "./reduce.js";
import { ScanTensor } from "./scan.js";
import { normalizeAxis } from "./shape.js";
import type { Tensor } from "./tensor.js";

/** Options of `sort` and `argsort`. */
export interface SortOptions {
  /** Largest first. Default false. */
  readonly descending?: boolean;
}

/** Options of `topk`. */
export interface TopkOptions {
  /** Largest (default) or, if false, smallest elements. */
  readonly largest?: boolean;
}

/** The ordering part of `Tensor`. */
export abstract class SortTensor extends ScanTensor {
  /**
   * The elements along `dim` in order, and the positions they came from. Equal elements keep their
   * order; NaN counts as larger than every number.
   *
   * @example
   * ```ts
   * import { tensor } from "@x/tensor";
   *
   * const { values, indices } = tensor([3, 1, 2]).sort();
   * console.log(await values.toArray(), await indices.toArray()); // → [ 1, 2, 3 ] [ 1, 2, 0 ]
   * ```
   */
  sort(dim: number = -1, options: SortOptions = {}): ValuesAndIndices {
    const axis = normalizeAxis("sort", dim, this.rank);
    const [values, indices] = sorting.sort(this.value, axis, options.descending === true);
    return { values: this.wrap(values), indices: this.wrap(indices) };
  }

  /**
   * The positions along `dim` that put the elements in order.
   *
   * @example
   * ```ts
   * import { tensor } from "@x/tensor";
   *
   * console.log(await tensor([3, 1, 2]).argsort().toArray()); // → [ 1, 2, 0 ]
   * ```
   */
  argsort(dim: number = -1, options: SortOptions = {}): Tensor {
    return this.sort(dim, options).indices;
  }

  /**
   * The `k` largest (or smallest) elements along `dim`, in order, and their positions.
   *
   * @example
   * ```ts
   * import { tensor } from "@x/tensor";
   *
   * const { values, indices } = tensor([3, 1, 2]).topk(2);
   * console.log(await values.toArray(), await indices.toArray()); // → [ 3, 2 ] [ 0, 2 ]
   * ```
   */
  topk(k: number, dim: number = -1, options: TopkOptions = {}): ValuesAndIndices {
    const axis = normalizeAxis("topk", dim, this.rank);
    const [values, indices] = sorting.topk(this.value, k, axis, options.largest !== false);
    return { values: this.wrap(values), indices: this.wrap(indices) };
  }
}
