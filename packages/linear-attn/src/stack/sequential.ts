/** Stacks of layers with residual connections. */

import type { Tensor } from "@x/tensor";
import { type AttentionState, Module } from "@x/tensor/nn";
import type { LayerCall, LayerStateOptions } from "./layer.js";
import {
  checkRoutes,
  initStates,
  routeCalls,
  type ArgsRoute,
  type LayerPair,
  type SequenceOptions,
} from "./route.js";

/**
 * Pairs of layers, each with a residual connection: `x ← x + f(x)`, then `x ← x + g(x)`.
 *
 * @example
 * ```ts
 * const layers = [0, 1].map(() => [new SelfAttention(8, 2), new FeedForward(8)] as const);
 * const stack = new SequentialSequence(layers, { argsRoute: { inputMask: [[true, false], [true, false]] } });
 * console.log(stack.forward(ones([2, 5, 8])).shape); // → [ 2, 5, 8 ]
 * ```
 */
export class SequentialSequence extends Module {
  /** The pairs, in the order in which they are applied. */
  readonly layers: readonly LayerPair[];
  /** Which layers get what. */
  readonly argsRoute: ArgsRoute;

  /** @throws XError `argument` if a route is not as long as the stack is deep */
  constructor(layers: readonly LayerPair[], options: SequenceOptions = {}) {
    super();
    const { argsRoute = {} } = options;
    checkRoutes("SequentialSequence", argsRoute, layers.length);
    this.layers = layers;
    this.argsRoute = argsRoute;
  }

  /** From [batch, length, dim] to the same shape. */
  forward(x: Tensor, call: LayerCall = {}): Tensor {
    const calls = routeCalls(this.argsRoute, call, this.layers.length);
    return this.layers.reduce((before, [f, g], i) => {
      const [fCall, gCall] = calls[i]!;
      const between = before.add(f.forward(before, fCall));
      return between.add(g.forward(between, gCall));
    }, x);
  }

  /** The state before the first token: that of layer f of pair 0 has names such as `0.0.…`. */
  initState(options: LayerStateOptions): AttentionState {
    return initStates(this.layers, this.argsRoute, options);
  }
}
