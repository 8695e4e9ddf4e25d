/** Methods of tensors that join every element with those before it. */

import type { Value } from "../graph/node.js";
import * as scan from "../ops/scan.js";
import { IndexingTensor } from "./indexing.js";
import type { ValuesAndIndices } from "./reduce.js";
import { normalizeAxis } from "./shape.js";
import type { Tensor } from "./tensor.js";

/** The scanning part of `Tensor`. */
export abstract class ScanTensor extends IndexingTensor {
  /**
   * Running sum along `dim`: y_i = x_0 + … + x_i. bool and int8 are summed as int32.
   *
   * @example
   * ```ts
   * import { tensor } from "@x/tensor";
   *
   * console.log(await tensor([1, 2, 3]).cumsum(0).toArray()); // → [ 1, 3, 6 ]
   * ```
   */
  cumsum(dim: number): Tensor {
    const axis = normalizeAxis("cumsum", dim, this.rank);
    return this.wrap(scan.cumulativeSum(this.value, axis));
  }

  /**
   * Running product along `dim`: y_i = x_0 · … · x_i.
   *
   * @example
   * ```ts
   * import { tensor } from "@x/tensor";
   *
   * console.log(await tensor([1, 2, 3]).cumprod(0).toArray()); // → [ 1, 2, 6 ]
   * ```
   */
  cumprod(dim: number): Tensor {
    const axis = normalizeAxis("cumprod", dim, this.rank);
    return this.wrap(scan.cumulativeProduct(this.value, axis));
  }

  /**
   * Running maximum along `dim` and where it was found: the last place at ties. NaN wins.
   *
   * @example
   * ```ts
   * import { tensor } from "@x/tensor";
   *
   * const { values, indices } = tensor([2, 1, 3]).cummax(0);
   * console.log(await values.toArray(), await indices.toArray()); // → [ 2, 2, 3 ] [ 0, 0, 2 ]
   * ```
   */
  cummax(dim: number): ValuesAndIndices {
    return this.#extremes("cummax", dim, scan.cumulativeMax);
  }

  /** Running minimum along `dim` and where it was found: the last place at ties. NaN wins. */
  cummin(dim: number): ValuesAndIndices {
    return this.#extremes("cummin", dim, scan.cumulativeMin);
  }

  #extremes(
    op: string,
    dim: number,
    apply: (x: Value, axis: number) => readonly [Value, Value],
  ): ValuesAndIndices {
    const [values, indices] = apply(this.value, normalizeAxis(op, dim, this.rank));
    return { values: this.wrap(values), indices: this.wrap(indices) };
  }
}
