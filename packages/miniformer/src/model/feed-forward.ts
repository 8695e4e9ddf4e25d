/** The feed-forward part of a layer. */

import { dropout as drop, type Tensor } from "@x/tensor";
import { checkChoice, checkNumbers, count, probability } from "@x/tensor/checks";
import { Linear, Module, type TensorModule } from "@x/tensor/nn";
import { activationKinds, type ActivationKind } from "../config/fields.js";
import { activate, isGated } from "./activation.js";

const owner = "FeedForward";

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
    checkChoice(owner, "activation", activation, activationKinds);
    const hasGate = isGated(activation);
    this.activation = activation;
    this.dropout = dropout;
    this.linear1 = hasGate ? null : new Linear(dModel, dFf, { bias });
    this.linear2 = hasGate ? null : new Linear(dFf, dModel, { bias });
    this.w12 = hasGate ? new Linear(dModel, 2 * dFf, { bias }) : null;
    this.proj = hasGate ? new Linear(dFf, dModel, { bias }) : null;
  }

  /** From [..., dModel] to the same shape. */
  forward(x: Tensor): Tensor {
    const { activation, training, dropout: p } = this;
    // A gated function has two maps of its own, any other the first two.
    const [first, second] = [this.w12 ?? this.linear1!, this.proj ?? this.linear2!];
    return second.forward(drop(activate(activation, first.forward(x)), { p, training }));
  }
}
