/** Modules around a layer: a norm before it, maps on both sides. */

import type { Tensor } from "@x/tensor";
import type { AttentionState } from "@x/tensor/nn";
import { Identity, LayerNorm, Linear, Module } from "../engine.js";
import { checkCounts } from "../checks.js";
import type { Layer, LayerCall, LayerStateOptions } from "./layer.js";

/**
 * A layer that gets its input normalised: `fn(layerNorm(x))`.
 *
 * @example
 * ```ts
 * const layer = new PreNorm(8, new FeedForward(8));
 * console.log(layer.forward(ones([2, 5, 8])).shape); // → [ 2, 5, 8 ]
 * ```
 */
export class PreNorm extends Module {
  /** What gets the normalised input; another module may take its place. */
  fn: Layer;
  /** The norm. */
  readonly norm: LayerNorm;

  /** @throws XError `argument` if `dim` is not a whole number of at least 1 */
  constructor(dim: number, fn: Layer) {
    super();
    checkCounts("PreNorm", { dim });
    this.fn = fn;
    this.norm = new LayerNorm(dim);
  }

  /** From [batch, length, dim] to what the layer gives. */
  forward(x: Tensor, call: LayerCall = {}): Tensor {
    return this.fn.forward(this.norm.forward(x), call);
  }

  /** The state of the layer before the first token. */
  initState(options: LayerStateOptions): AttentionState {
    return this.fn.initState?.(options) ?? {};
  }
}

/** Options of {@link ProjectInOut}. */
export interface ProjectInOutOptions {
  /** Whether the result is mapped back. Default true. */
  readonly projectOut?: boolean;
}

/**
 * A layer on vectors of another size: `projectOut(fn(projectIn(x)))`.
 *
 * @example
 * ```ts
 * const layer = new ProjectInOut(new FeedForward(16), 4, 16);
 * console.log(layer.forward(ones([2, 5, 4])).shape); // → [ 2, 5, 4 ]
 * ```
 */
export class ProjectInOut<Inner extends Module & Pick<Layer, "forward"> = Layer> extends Module {
  /** What is applied in between. */
  readonly fn: Inner;
  /** From `dimIn` to `dimOut`. */
  readonly projectIn: Linear;
  /** From `dimOut` to `dimIn`, or nothing. */
  readonly projectOut: Linear | Identity;

  /**
   * @param dimIn size of the vectors that come in
   * @param dimOut size of the vectors that the layer gets
   * @throws XError `argument` if a size is not a whole number of at least 1
   */
  constructor(fn: Inner, dimIn: number, dimOut: number, options: ProjectInOutOptions = {}) {
    super();
    const { projectOut = true } = options;
    checkCounts("ProjectInOut", { dimIn, dimOut });
    this.fn = fn;
    this.projectIn = new Linear(dimIn, dimOut);
    this.projectOut = projectOut ? new Linear(dimOut, dimIn) : new Identity();
  }

  /** From [batch, length, dimIn] to [batch, length, dimIn], or [batch, length, dimOut]. */
  forward(x: Tensor, call: LayerCall = {}): Tensor {
    return this.projectOut.forward(this.fn.forward(this.projectIn.forward(x), call));
  }
}
