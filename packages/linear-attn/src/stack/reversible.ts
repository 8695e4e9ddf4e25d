/** Stacks whose inputs follow from their outputs. */

import type { Tensor } from "@x/tensor";
import { Module, reversible } from "../engine.js";
import type { Layer, LayerCall } from "./layer.js";
import type { LayerPair, SequenceOptions } from "./route.js";
import { LayerStack } from "./stack.js";

/** A layer under the name that it has in checkpoints of the original. */
export class Deterministic extends Module {
  /** The layer. */
  readonly net: Layer;

  /** @param net the layer */
  constructor(net: Layer) {
    super();
    this.net = net;
  }
}

/** A pair of layers under the names that they have in checkpoints of the original. */
export class ReversibleBlock extends Module {
  /** Whose result is added to the first stream. */
  readonly f: Deterministic;
  /** Whose result is added to the second stream. */
  readonly g: Deterministic;

  /** @param pair the layers */
  constructor([f, g]: LayerPair) {
    super();
    this.f = new Deterministic(f);
    this.g = new Deterministic(g);
  }
}

/**
 * Pairs of layers on two streams that both begin as the input: `y₁ = x₁ + f(x₂)`, `y₂ = x₂ + g(y₁)`.
 * The result is the mean of the streams.
 *
 * The backward pass computes what came in from what came out, so the memory of activations does not
 * depend on the depth, in training and after `eval()`; dropout drops the same the second time. Each
 * layer is computed twice for it. The numbers are not those of a {@link SequentialSequence} of the
 * same layers.
 *
 * @example
 * ```ts
 * const layers = [0, 1].map(() => [new SelfAttention(8, 2), new FeedForward(8)] as const);
 * const stack = new ReversibleSequence(layers);
 * console.log(stack.forward(ones([2, 5, 8])).shape); // → [ 2, 5, 8 ]
 * ```
 *
 * @see Gomez et al.: The Reversible Residual Network (2017); Kitaev et al.: Reformer (2020)
 */
export class ReversibleSequence extends LayerStack {
  /** The pairs, in the order in which they are applied: layers `f.net` and `g.net`. */
  readonly blocks: readonly ReversibleBlock[];

  /** @throws XError `argument` if a route is not as long as the stack is deep */
  constructor(blocks: readonly LayerPair[], options: SequenceOptions = {}) {
    super("ReversibleSequence", blocks.length, options);
    this.blocks = blocks.map((pair) => new ReversibleBlock(pair));
  }

  protected override get pairs(): readonly LayerPair[] {
    return this.blocks.map(({ f, g }) => [f.net, g.net]);
  }

  /** From [batch, length, dim] to the same shape. */
  forward(x: Tensor, call: LayerCall = {}): Tensor {
    const [first, second] = reversible(this.steps(call), x, x);
    return first.add(second).mul(0.5);
  }
}
