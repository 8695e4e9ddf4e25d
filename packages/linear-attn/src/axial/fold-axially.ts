/** Attention along every nth position. */

import type { Tensor } from "@x/tensor";
import type { AttentionState } from "@x/tensor/nn";
import { Module, XError } from "../engine.js";
import { checkCounts, checkMultiple, checkSequence } from "../checks.js";
import type { Layer, LayerCall } from "../stack/layer.js";

const owner = "FoldAxially";

/**
 * A layer that is applied to every `axialDim`th position at a time: the sequence is cut into rows of
 * `axialDim` positions, and the columns become sequences of their own.
 *
 * @example
 * ```ts
 * const layer = new FoldAxially(4, new SelfAttention(8, 2));
 * console.log(layer.forward(ones([2, 12, 8])).shape); // → [ 2, 12, 8 ]
 * ```
 */
export class FoldAxially extends Module {
  /** How many positions a row has, and so how many columns there are. */
  readonly axialDim: number;
  /** What is applied to the columns. */
  readonly fn: Layer;

  /** @throws XError `argument` if `axialDim` is not a whole number of at least 1 */
  constructor(axialDim: number, fn: Layer) {
    super();
    checkCounts(owner, { axialDim });
    this.axialDim = axialDim;
    this.fn = fn;
  }

  /**
   * From [batch, length, dim] to the same shape. The layer is called with the folded input mask, and
   * with the folded `axialPosEmb` as `posEmb`: rotations are by the positions in the whole sequence.
   *
   * @throws XError `shape` if `axialDim` does not divide the length, or a mask does not fit
   */
  forward(x: Tensor, call: LayerCall = {}): Tensor {
    const { axialDim } = this;
    const { inputMask = null, axialPosEmb = null, posEmb: _, ...rest } = call;
    checkSequence(owner, "input", x, null, inputMask);
    const [batch, length] = x.shape as [number, number];
    checkMultiple(owner, x, axialDim);
    const folded = this.fn.forward(this.fold(x), {
      ...rest,
      inputMask: inputMask && this.fold(inputMask),
      posEmb: axialPosEmb && this.fold(axialPosEmb.expand([batch, length, -1])),
    });
    return folded.unflatten(0, [batch, axialDim]).transpose(1, 2).flatten(1, 2);
  }

  /** @throws XError `argument`: there is no state of constant size that goes on token by token */
  initState(): AttentionState {
    throw new XError(
      "argument",
      `${owner}: layers that attend axially have no decode state, got a call of initState(). Compute the whole sequence instead.`,
    );
  }

  /** From [batch, length, …] to [batch · axialDim, length / axialDim, …]. */
  private fold(x: Tensor): Tensor {
    return x.unflatten(1, [-1, this.axialDim]).transpose(1, 2).flatten(0, 1);
  }
}
