/** A linear map with what adaptation adds to it. */

import { dropout, linear, type Tensor } from "@x/tensor";
import { checkLastAxis } from "@x/tensor/checks";
import { Linear, type Buffer, type Parameter } from "@x/tensor/nn";

/** What {@link AdaptedLinear} has besides a weight and a bias. */
export interface Adaptation {
  /** `[out]`: what the rows of an int8 weight are multiplied by, or `null`. */
  readonly scale: Buffer | null;
  /** Bool `[out, in]`: false where the weight is pruned, or `null`. */
  readonly mask: Buffer | null;
  /** `[rank, in]`, or `null` without an adapter. */
  readonly loraA: Parameter | null;
  /** `[out, rank]`, or `null` without an adapter. */
  readonly loraB: Parameter | null;
  /** What the adapter's result is multiplied by: alpha / rank. */
  readonly loraScale: number;
  /** The probability with which the adapter's inputs are dropped in training. */
  readonly loraDropout: number;
}

/**
 * A linear map whose weight may be kept as int8 or float16, have a mask, and have a low-rank adapter:
 * `y = (x (W ∘ mask)ᵀ) ∘ scale + b + (alpha / rank) x Aᵀ Bᵀ`.
 *
 * {@link addLora}, {@link quantize} and {@link prune} put it in the place of a `Linear`. Weight and bias
 * keep their names in the state dictionary; beside them stand `scale`, `mask`, `lora_a` and `lora_b`, as
 * far as there are such. A narrow weight is widened inside the product: there is no float32 copy of it.
 *
 * @example
 * ```ts
 * const model = new Sequential(new Linear(4, 3));
 * addLora(model, { rank: 2, targets: ["0"] });
 * console.log(Object.keys(model.stateDict())); // → [ '0.weight', '0.bias', '0.lora_a', '0.lora_b' ]
 * ```
 */
export class AdaptedLinear extends Linear implements Adaptation {
  /** `[out, in]`; a buffer of int8 or float16 after {@link quantize}. */
  override readonly weight: Parameter | Buffer;
  /** `[out]`, or `null` without a bias. */
  override readonly bias: Parameter | null;
  /** `[out]`: what the rows of an int8 weight are multiplied by, or `null`. */
  readonly scale: Buffer | null;
  /** Bool `[out, in]`: false where the weight is pruned, or `null`. */
  readonly mask: Buffer | null;
  /** `[rank, in]`, or `null` without an adapter. */
  readonly loraA: Parameter | null;
  /** `[out, rank]`, or `null` without an adapter. */
  readonly loraB: Parameter | null;
  /** What the adapter's result is multiplied by: alpha / rank. */
  readonly loraScale: number;
  /** The probability with which the adapter's inputs are dropped in training. */
  readonly loraDropout: number;

  /** A map with the tensors of another, of which `changes` replace some. */
  constructor(map: Linear, changes: Partial<Adaptation> & { weight?: Buffer } = {}) {
    super(map.inFeatures, map.outFeatures, { bias: false });
    const before: Partial<Adaptation> = map instanceof AdaptedLinear ? map : {};
    const all = { ...adaptationOf(before), ...changes };
    this.weight = changes.weight ?? map.weight;
    this.bias = map.bias;
    this.scale = all.scale;
    this.mask = all.mask;
    this.loraA = all.loraA;
    this.loraB = all.loraB;
    this.loraScale = all.loraScale;
    this.loraDropout = all.loraDropout;
    this.training = map.training;
  }

  /** The weight without the adapter, in float32: pruned, and with its scale. */
  denseWeight(): Tensor {
    const weight = this.weight.float();
    const kept = this.mask === null ? weight : weight.mul(this.mask);
    return this.scale === null ? kept : kept.mul(this.scale.unsqueeze(-1));
  }

  /** What the adapter adds to the weight: `(alpha / rank) B A`, or `null` without one. */
  loraWeight(): Tensor | null {
    const { loraA, loraB, loraScale } = this;
    return loraA === null || loraB === null ? null : loraB.matmul(loraA).mul(loraScale);
  }

  /** From `[..., in]` to `[..., out]`. */
  override forward(x: Tensor): Tensor {
    checkLastAxis("Linear", "input", x, this.inFeatures);
    const { weight, mask, scale, bias, loraA, loraB } = this;
    let y = linear(x, mask === null ? weight : weight.mul(mask));
    if (scale !== null) y = y.mul(scale);
    if (bias !== null) y = y.add(bias);
    if (loraA === null || loraB === null) return y;
    const p = this.loraDropout;
    const input = this.training && p > 0 ? dropout(x, { p }) : x;
    return y.add(linear(linear(input, loraA), loraB).mul(this.loraScale));
  }
}

function adaptationOf(map: Partial<Adaptation>): Adaptation {
  return {
    scale: map.scale ?? null,
    mask: map.mask ?? null,
    loraA: map.loraA ?? null,
    loraB: map.loraB ?? null,
    loraScale: map.loraScale ?? 1,
    loraDropout: map.loraDropout ?? 0,
  };
}

/** The map with other parts, as plain a `Linear` as it can be. */
export function withAdaptation(map: Linear, changes: Partial<Adaptation>): Linear {
  const adapted = new AdaptedLinear(map, changes);
  const isPlain =
    adapted.scale === null &&
    adapted.mask === null &&
    adapted.loraA === null &&
    adapted.weight.dtype === "float32";
  return isPlain ? plainLinear(map, adapted.weight, adapted.bias) : adapted;
}

/** A `Linear` of given tensors. */
function plainLinear(map: Linear, weight: Parameter, bias: Parameter | null): Linear {
  const { inFeatures, outFeatures, training } = map;
  const plain = new Linear(inFeatures, outFeatures, { bias: false });
  return Object.assign(plain, { weight, bias, training });
}
