/** Mixtures of experts in models: how they are made, and what their routers are trained with. */

import { zeros, type Tensor } from "@x/tensor";
import { checkNumbers, nonNegative } from "@x/tensor/checks";
import { init, type Module } from "@x/tensor/nn";
import { FeedForward, type FeedForwardOptions } from "../model/feed-forward.js";
import type { FeedForwardPart, ModelParts, PartPlace } from "../model/parts.js";
import { MixtureOfExperts, type Routing } from "./mixture-of-experts.js";
import { StackedLinear } from "./stacked-linear.js";

/**
 * What makes a model's feed-forward parts as `config.experts` says: mixtures of experts in its `layers`,
 * all by default, and a `FeedForward` elsewhere.
 *
 * @example
 * ```ts
 * const config = TransformerConfig.tiny({ vocabSize: 20, experts: { count: 4, topK: 2, layers: [1] } });
 * const model = new Transformer(config, expertParts());
 * console.log(model.encoder.layers[1]!.feedForward instanceof MixtureOfExperts); // → true
 * console.log(model.encoder.layers[0]!.feedForward instanceof MixtureOfExperts); // → false
 * ```
 */
export function expertParts(): ModelParts {
  return { feedForward: expertLayer };
}

function expertLayer(options: FeedForwardOptions, { layer, config }: PartPlace): FeedForwardPart {
  const { experts, initializerRange } = config;
  if (experts === null || experts.layers?.includes(layer) === false)
    return new FeedForward(options);
  const { count, topK } = experts;
  const part = new MixtureOfExperts({ ...options, count, topK });
  for (const maps of part.modules()) {
    if (!(maps instanceof StackedLinear)) continue;
    init.normal(maps.weight, 0, initializerRange);
    if (maps.bias !== null) init.zeros(maps.bias);
  }
  return part;
}

/** Options of {@link auxiliaryLoss}. */
export interface AuxiliaryLossOptions {
  /** The weight of the load-balancing loss. Default 0.01. */
  readonly balance?: number;
  /** The weight of the z-loss of the router. Default 0. */
  readonly z?: number;
}

/**
 * What the routers of a model are trained with besides: the sum over its mixtures of experts of
 * `balance · count · Σ fᵢ pᵢ + z · mean(logsumexp(logits)²)`, where `fᵢ` is the part of all choices that
 * fell on expert `i`, and `pᵢ` its mean probability. The first is `balance` where all experts are used
 * alike, and more where they are not; the second keeps logits small. Padding counts like other tokens.
 *
 * Takes what the routers decided in the last call in training, so call it once after each forward pass,
 * and add it to the loss. A model without experts, or one that was not called in training, gives 0.
 *
 * @throws XError `argument` if a weight is negative
 * @example
 * ```ts
 * const experts = new MixtureOfExperts({ dModel: 8, count: 4 });
 * const loss = mseLoss(experts.forward(randn([10, 8])), zeros([10, 8]));
 * const extra = auxiliaryLoss(experts, { balance: 1 });
 * loss.add(extra).backward();
 * console.log((await extra.item()).toFixed(0)); // → 1
 * ```
 *
 * @see Fedus et al.: Switch Transformers (2021), equation 4; Zoph et al.: ST-MoE (2022), for the z-loss
 */
export function auxiliaryLoss(model: Module, options: AuxiliaryLossOptions = {}): Tensor {
  const { balance = 0.01, z = 0 } = options;
  checkNumbers("auxiliaryLoss", nonNegative, { balance, z });
  let loss: Tensor | null = null;
  for (const experts of model.modules()) {
    if (!(experts instanceof MixtureOfExperts) || experts.routing === null) continue;
    const { routing } = experts;
    experts.routing = null;
    let own = balanceOf(routing).mul(balance);
    if (z > 0) own = own.add(routing.logits.logsumexp(-1).square().mean().mul(z));
    loss = loss === null ? own : loss.add(own);
  }
  return loss ?? zeros([]);
}

/** `count · Σ fᵢ pᵢ` */
function balanceOf({ probabilities, chosen }: Routing): Tensor {
  const count = probabilities.shape[1]!;
  const fractions = chosen.oneHot(count).float().mean([0, 1]);
  return probabilities.mean(0).mul(fractions).sum().mul(count);
}
