/** Stacks whose inputs follow from their outputs. */

import { reversible, type Tensor } from "@x/tensor";
import { type AttentionState, Module } from "@x/tensor/nn";
import type { Layer, LayerCall, LayerStateOptions } from "./layer.js";
import {
  checkRoutes,
  initStates,
  routeCalls,
  type ArgsRoute,
  type LayerPair,
  type SequenceOptions,
} from "./route.js";

/** A layer under the name that it has in checkpoints of the original. */
class Deterministic extends Module {
  readonly net: Layer;

  constructor(net: Layer) {
    super();
    this.net = net;
  }
}

/** A pair of layers under the names that they have in checkpoints of the original. */
class ReversibleBlock extends Module {
  readonly f: Deterministic;
  readonly g: Deterministic;

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
export class ReversibleSequence extends Module {
  /** The pairs, in the order in which they are applied: layers `f.net` and `g.net`. */
  readonly blocks: readonly (Module & {
    readonly f: Module & { readonly net: Layer };
    readonly g: Module & { readonly net: Layer };
  })[];
  /** Which layers get what. */
  readonly argsRoute: ArgsRoute;

  /** @throws XError `argument` if a route is not as long as the stack is deep */
  constructor(blocks: readonly LayerPair[], options: SequenceOptions = {}) {
    super();
    const { argsRoute = {} } = options;
    checkRoutes("ReversibleSequence", argsRoute, blocks.length);
    this.blocks = blocks.map((pair) => new ReversibleBlock(pair));
    this.argsRoute = argsRoute;
  }

  /** From [batch, length, dim] to the same shape. */
  forward(x: Tensor, call: LayerCall = {}): Tensor {
    const calls = routeCalls(this.argsRoute, call, this.blocks.length);
    const steps = this.blocks.flatMap(({ f, g }, i) => {
      const [fCall, gCall] = calls[i]!;
      return [
        (half: Tensor): Tensor => f.net.forward(half, fCall),
        (half: Tensor): Tensor => g.net.forward(half, gCall),
      ];
    });
    const [first, second] = reversible(steps, x, x);
    return first.add(second).mul(0.5);
  }

  /** The state before the first token: that of layer f of pair 0 has names such as `0.0.…`. */
  initState(options: LayerStateOptions): AttentionState {
    const pairs = this.blocks.map(({ f, g }): LayerPair => [f.net, g.net]);
    return initStates(pairs, this.argsRoute, options);
  }
}
