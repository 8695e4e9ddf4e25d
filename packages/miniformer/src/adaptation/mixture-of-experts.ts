/** A feed-forward part of several experts, of which each token uses a few. */

import { dropout as drop, zeros, type Tensor } from "@x/tensor";
import {
  check,
  checkChoice,
  checkLastAxis,
  checkNumbers,
  count as atLeastOne,
  probability,
} from "@x/tensor/checks";
import { Linear, Module } from "@x/tensor/nn";
import { activationKinds } from "../config/fields.js";
import { activate, isGated } from "../model/activation.js";
import type { FeedForwardOptions } from "../model/feed-forward.js";
import { blockSizes, sortIntoBlocks } from "./expert-routing.js";
import { StackedLinear } from "./stacked-linear.js";

const owner = "MixtureOfExperts";

/** Options of {@link MixtureOfExperts}. */
export interface MixtureOfExpertsOptions extends FeedForwardOptions {
  /** How many experts there are. */
  readonly count: number;
  /** How many of them each token uses. Default 2. */
  readonly topK?: number;
  /**
   * How experts are computed: `"blocks"`, each for its own tokens; `"dense"`, all for all tokens, of which
   * most results are not used; `"auto"`, whichever is less work. Default `"auto"`.
   */
  readonly evaluation?: "auto" | "blocks" | "dense";
}

/** What the router of a mixture of experts decided, for losses. */
export interface Routing {
  /** `[tokens, count]`, before softmax. */
  readonly logits: Tensor;
  /** `[tokens, count]` */
  readonly probabilities: Tensor;
  /** int32 `[tokens, topK]`: the experts, the most probable first. */
  readonly chosen: Tensor;
}

/**
 * Experts, each a feed-forward network, of which every token uses the `topK` that its router finds most
 * probable: `y = Σ wₑ expertₑ(x)` over them, with `p = softmax(router(x))` and `w` their probabilities
 * divided by their sum. With `topK` 1 the weight is the probability itself, from which the router learns.
 *
 * The maps have the names of a `FeedForward`, with one more axis in front, for the experts. Every token
 * gets all its experts: there is no capacity, and what a token gets does not depend on others. Tokens are
 * sorted by expert into blocks, so the work is that of the experts used and at most half as much again;
 * few tokens, or few experts, are computed densely. Shapes depend on sizes only.
 *
 * In training it remembers what the router decided, for {@link auxiliaryLoss}.
 *
 * @example
 * ```ts
 * const experts = new MixtureOfExperts({ dModel: 8, dFf: 16, count: 4, topK: 2 });
 * console.log(experts.forward(randn([2, 5, 8])).shape); // → [ 2, 5, 8 ]
 * const shapes = Object.entries(experts.stateDict()).map(([name, { shape }]) => `${name} ${shape}`);
 * console.log(shapes.slice(0, 3));
 * // → [ 'router.weight 4,8', 'linear1.weight 4,16,8', 'linear1.bias 4,16' ]
 * ```
 *
 * @see Fedus et al.: Switch Transformers (2021); Gale et al.: MegaBlocks (2022), for the blocks
 */
export class MixtureOfExperts extends Module {
  /** How many experts there are. */
  readonly count: number;
  /** How many of them each token uses. */
  readonly topK: number;
  /** The function between the maps. */
  readonly activation: NonNullable<FeedForwardOptions["activation"]>;
  /** The probability of dropout between the maps. */
  readonly dropout: number;
  /** How experts are computed. */
  readonly evaluation: "auto" | "blocks" | "dense";
  /** To the logits of the experts. */
  readonly router: Linear;
  /** The first maps, unless the activation is gated. */
  readonly linear1: StackedLinear | null;
  /** The second maps, unless the activation is gated. */
  readonly linear2: StackedLinear | null;
  /** Both first maps of a gated activation. */
  readonly w12: StackedLinear | null;
  /** The maps after a gated activation. */
  readonly proj: StackedLinear | null;
  /** What the router decided in the last call, in training; `null` before, and once it is taken. */
  routing: Routing | null = null;

  /** @throws XError `argument` if an option is out of its range */
  constructor(options: MixtureOfExpertsOptions) {
    super();
    const { dModel, dFf = 4 * dModel, activation = "gelu", bias = true, dropout = 0 } = options;
    const { count, topK = 2, evaluation = "auto" } = options;
    checkNumbers(owner, atLeastOne, { dModel, dFf, count, topK });
    checkNumbers(owner, probability, { dropout });
    checkChoice(owner, "activation", activation, activationKinds);
    checkChoice(owner, "evaluation", evaluation, ["auto", "blocks", "dense"]);
    check(
      topK <= count,
      "argument",
      () =>
        `${owner}: topK must be at most the number of experts, got ${topK} of ${count}. Choose fewer.`,
    );
    const hasGate = isGated(activation);
    const maps = (inFeatures: number, outFeatures: number): StackedLinear =>
      new StackedLinear(count, inFeatures, outFeatures, { bias });
    this.count = count;
    this.topK = topK;
    this.activation = activation;
    this.dropout = dropout;
    this.evaluation = evaluation;
    this.router = new Linear(dModel, count, { bias: false });
    this.linear1 = hasGate ? null : maps(dModel, dFf);
    this.linear2 = hasGate ? null : maps(dFf, dModel);
    this.w12 = hasGate ? maps(dModel, 2 * dFf) : null;
    this.proj = hasGate ? maps(dFf, dModel) : null;
  }

  /** From [..., dModel] to the same shape. */
  forward(x: Tensor): Tensor {
    const size = this.router.inFeatures;
    checkLastAxis(owner, "input", x, size);
    const tokens = x.reshape([x.size / size, size]);
    const { chosen, weights } = this.route(tokens);
    const y = this.usesBlocks(tokens.shape[0]!)
      ? this.computeBlocks(tokens, chosen, weights)
      : this.computeAll(tokens, chosen, weights);
    return y.reshape(x.shape);
  }

  /** The experts of each token, and what their results are multiplied by. */
  private route(tokens: Tensor): { chosen: Tensor; weights: Tensor } {
    const logits = this.router.forward(tokens);
    const probabilities = logits.softmax(-1);
    const { values, indices: chosen } = probabilities.topk(this.topK);
    this.routing = this.training ? { logits, probabilities, chosen } : null;
    const weights = this.topK === 1 ? values : values.div(values.sum(-1, { keepdim: true }));
    return { chosen, weights };
  }

  /** Whether sorting pays off: where blocks hold much fewer rows, and weights are used by several. */
  private usesBlocks(tokens: number): boolean {
    if (this.evaluation !== "auto") return this.evaluation === "blocks";
    const { size, blocks } = blockSizes(tokens, this.topK, this.count);
    return size >= fewestRows && size * blocks <= mostRows * tokens * this.count;
  }

  /** Each expert for the tokens that chose it. */
  private computeBlocks(tokens: Tensor, chosen: Tensor, weights: Tensor): Tensor {
    const sizes = blockSizes(tokens.shape[0]!, this.topK, this.count);
    const sorted = sortIntoBlocks(chosen, this.count, sizes);
    const rows = tokens.indexSelect(0, sorted.tokens).unflatten(0, [sizes.blocks, sizes.size]);
    const results = this.compute(rows, sorted.experts).flatten(0, 1);
    return results.take(sorted.rows, 0).mul(weights.unsqueeze(-1)).sum(1);
  }

  /** All experts for all tokens. */
  private computeAll(tokens: Tensor, chosen: Tensor, weights: Tensor): Tensor {
    const { count } = this;
    const rows = tokens.shape[0]!;
    const share = zeros([rows, count]).scatter(1, chosen, weights);
    const results = this.compute(tokens.unsqueeze(0).expand([count, ...tokens.shape]), null);
    return results.mul(share.t().unsqueeze(-1)).sum(0);
  }

  /** From [maps, rows, dModel] to the same shape; `experts` as of {@link StackedLinear}. */
  private compute(x: Tensor, experts: Tensor | null): Tensor {
    const { activation, training, dropout: p } = this;
    const [first, second] = [this.w12 ?? this.linear1!, this.proj ?? this.linear2!];
    const inner = activate(activation, first.forward(x, experts));
    return second.forward(drop(inner, { p, training }), experts);
  }
}

// Blocks take copies of the weights, which are worth it from so many rows each on, and where there is
// at most this part of the rows of a dense computation.
const fewestRows = 16;
const mostRows = 0.8;
