/** The feed-forward network of a transformer. */

import type { Tensor } from "@x/tensor";
import type { Activation, ActivationName } from "@x/tensor/nn";
import { activationByName, Dropout, Linear, Module } from "../engine.js";
import { checkCounts } from "../checks.js";

/** Options of {@link FeedForward}. */
export interface FeedForwardOptions {
  /** How many times wider the hidden layer is. Default 4. */
  readonly mult?: number;
  /** The probability with which hidden elements are dropped in training. Default 0. */
  readonly dropout?: number;
  /** What is applied to the hidden layer: a name or a function. Default `"gelu"`. */
  readonly activation?: ActivationName | Activation | null;
  /** Whether half of a layer of twice the width gates the other half. Default false. */
  readonly glu?: boolean;
}

/**
 * Two affine maps with an activation between them: `y = w2(act(w1(x)))`, or with `glu`
 * `y = w2(act(a) · b)`, where `a` and `b` are the halves of `w1(x)`.
 *
 * @example
 * ```ts
 * const layer = new FeedForward(16, { glu: true, dropout: 0.1 });
 * console.log(layer.forward(ones([2, 5, 16])).shape); // → [ 2, 5, 16 ]
 * ```
 *
 * @see Shazeer: GLU Variants Improve Transformer (2020)
 */
export class FeedForward extends Module {
  /** Whether half of the hidden layer gates the other half. */
  readonly glu: boolean;
  /** To the hidden layer, or two of them with `glu`. */
  readonly w1: Linear;
  /** Drops elements of the hidden layer. */
  dropout: Dropout;
  /** From the hidden layer. */
  readonly w2: Linear;
  private readonly activation: Activation;

  /** @throws XError `argument` if a number is out of range or the activation is unknown */
  constructor(dim: number, options: FeedForwardOptions = {}) {
    super();
    const { mult = 4, dropout = 0, glu = false } = options;
    checkCounts("FeedForward", { dim, mult });
    this.activation = activationByName(options.activation ?? "gelu");
    this.glu = glu;
    this.w1 = new Linear(dim, dim * mult * (glu ? 2 : 1));
    this.dropout = new Dropout(dropout);
    this.w2 = new Linear(dim * mult, dim);
  }

  /** From [..., dim] to [..., dim]. */
  forward(x: Tensor): Tensor {
    const [first, second] = this.w1.forward(x).chunk(this.glu ? 2 : 1, -1) as [Tensor, Tensor?];
    const active = this.activation(first);
    const hidden = second ? active.mul(second) : active;
    return this.w2.forward(this.dropout.forward(hidden));
  }
}
