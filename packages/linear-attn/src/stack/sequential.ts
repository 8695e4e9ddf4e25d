/** Stacks of layers with residual connections. */

import type { Tensor } from "@x/tensor";
import type { LayerCall } from "./layer.js";
import type { LayerPair, SequenceOptions } from "./route.js";
import { LayerStack } from "./stack.js";

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
export class SequentialSequence extends LayerStack {
  /** The pairs, in the order in which they are applied. */
  readonly layers: readonly LayerPair[];

  /** @throws XError `argument` if a route is not as long as the stack is deep */
  constructor(layers: readonly LayerPair[], options: SequenceOptions = {}) {
    super("SequentialSequence", layers.length, options);
    this.layers = layers;
  }

  protected override get pairs(): readonly LayerPair[] {
    return this.layers;
  }

  /** From [batch, length, dim] to the same shape. */
  forward(x: Tensor, call: LayerCall = {}): Tensor {
    return this.steps(call).reduce((before, step) => before.add(step(before)), x);
  }
}
