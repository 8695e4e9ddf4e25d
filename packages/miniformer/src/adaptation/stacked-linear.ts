/** Linear maps of several experts in one tensor. */

import { rand, type Tensor } from "@x/tensor";
import { Module, Parameter } from "@x/tensor/nn";

/**
 * As many linear maps as there are experts: `y[e] = x[e] W[e]ᵀ + b[e]`.
 *
 * Weights and biases start evenly distributed in `±1/√in`, as those of `Linear`.
 *
 * @example
 * ```ts
 * const maps = new StackedLinear(4, 8, 16);
 * console.log(maps.forward(ones([4, 10, 8])).shape); // → [ 4, 10, 16 ]
 * ```
 */
export class StackedLinear extends Module {
  /** `[count, out, in]` */
  readonly weight: Parameter;
  /** `[count, out]`, or `null` without biases. */
  readonly bias: Parameter | null;

  /** @param count how many maps there are */
  constructor(
    count: number,
    inFeatures: number,
    outFeatures: number,
    options: { readonly bias?: boolean } = {},
  ) {
    super();
    const bound = 1 / Math.sqrt(inFeatures);
    const draw = (shape: number[]): Parameter =>
      new Parameter(
        rand(shape)
          .mul(2 * bound)
          .sub(bound),
      );
    this.weight = draw([count, outFeatures, inFeatures]);
    this.bias = options.bias === false ? null : draw([count, outFeatures]);
  }

  /**
   * From `[maps, rows, in]` to `[maps, rows, out]`; `experts`, int32 `[maps]`, says whose maps they are.
   * Default: of all, one after the other.
   */
  forward(x: Tensor, experts: Tensor | null = null): Tensor {
    const of = (all: Tensor): Tensor => (experts === null ? all : all.indexSelect(0, experts));
    const y = x.matmul(of(this.weight).transpose(1, 2));
    return this.bias === null ? y : y.add(of(this.bias).unsqueeze(1));
  }
}
