/** The feed-forward part of a layer. */

import { dropout as drop, type Tensor } from "@x/tensor";
import { checkChoice, checkNumbers, count, probability } from "@x/tensor/checks";
import { Linear, Module, type TensorModule } from "@x/tensor/nn";
import type { ActivationKind } from "../config/fields.js";

const owner = "FeedForward";

type Activate = (x: Tensor) => Tensor;

/** @internal Activations of one map. */
export const plain: Readonly<Record<string, Activate>> = {
  gelu: (x) => x.gelu(),
  gelu_tanh: (x) => x.gelu({ approximate: "tanh" }),
  relu: (x) => x.relu(),
  silu: (x) => x.silu(),
  quick_gelu: (x) => x.mul(x.mul(1.702).sigmoid()),
};

/** @internal Activations whose result is multiplied by a second map. */
export const gated: Readonly<Record<string, Activate>> = {
  swiglu: (x) => x.silu(),
  geglu: (x) => x.gelu(),
  geglu_tanh: (x) => x.gelu({ approximate: "tanh" }),
  reglu: (x) => x.relu(),
};

/** Options of {@link FeedForward}. */
export interface FeedForwardOptions {
  /** Size of the vectors. */
  readonly dModel: number;
  /** Size between the maps. Default `4 dModel`. */
  readonly dFf?: number;
  /** The function between the maps. Default `"gelu"`. */
  readonly activation?: ActivationKind;
  /** Whether the maps have biases. Default true. */
  readonly bias?: boolean;
  /** The probability with which an element between the maps is dropped, in training. Default 0. */
  readonly dropout?: number;
}

/**
 * The same small network at every position: `linear2(act(linear1(x)))`, or with a gated activation
 * `proj(act(x₁) · x₂)`, where `x₁` and `x₂` are the halves of `w12(x)`.
 *
 * @example
 * ```ts
 * const network = new FeedForward({ dModel: 8, dFf: 12, activation: "swiglu" });
 * console.log(Object.keys(network.stateDict()));
 * // → [ 'w12.weight', 'w12.bias', 'proj.weight', 'proj.bias' ]
 * console.log(network.forward(ones([2, 3, 8])).shape); // → [ 2, 3, 8 ]
 * ```
 *
 * @see Shazeer: GLU Variants Improve Transformer (2020)
 */
export class FeedForward extends Module {
  /** The function between the maps. */
  readonly activation: ActivationKind;
  /** The probability of dropout between the maps. */
  readonly dropout: number;
  /** The first map, unless the activation is gated; another module may take its place. */
  linear1: TensorModule | null;
  /** The second map, unless the activation is gated. */
  linear2: TensorModule | null;
  /** Both first maps of a gated activation. */
  w12: TensorModule | null;
  /** The map after a gated activation. */
  proj: TensorModule | null;

  /** @throws XError `argument` if an option is out of its range */
  constructor(options: FeedForwardOptions) {
    super();
    const { dModel, dFf = 4 * dModel, activation = "gelu", bias = true, dropout = 0 } = options;
    checkNumbers(owner, count, { dModel, dFf });
    checkNumbers(owner, probability, { dropout });
    checkChoice(owner, "activation", activation, [...Object.keys(plain), ...Object.keys(gated)]);
    const isGated = Object.hasOwn(gated, activation);
    this.activation = activation;
    this.dropout = dropout;
    this.linear1 = isGated ? null : new Linear(dModel, dFf, { bias });
    this.linear2 = isGated ? null : new Linear(dFf, dModel, { bias });
    this.w12 = isGated ? new Linear(dModel, 2 * dFf, { bias }) : null;
    this.proj = isGated ? new Linear(dFf, dModel, { bias }) : null;
  }

  /** From [..., dModel] to the same shape. */
  forward(x: Tensor): Tensor {
    const { activation, training, dropout: p } = this;
    if (this.w12 === null) {
      const inner = plain[activation]!(this.linear1!.forward(x));
      return this.linear2!.forward(drop(inner, { p, training }));
    }
    const [gate, inner] = this.w12.forward(x).chunk(2, -1) as [Tensor, Tensor];
    return this.proj!.forward(drop(gated[activation]!(gate).mul(inner), { p, training }));
  }
}
