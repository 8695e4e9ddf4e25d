/** A module that is applied to parts of its input, one after the other. */

import type { Tensor } from "@x/tensor";
import { cat, checkNumbers, Module, whole } from "../engine.js";
import { checkCounts } from "../checks.js";

/** A module that takes a tensor, and perhaps more. */
export interface ChunkedModule<Rest extends readonly unknown[]> extends Module {
  /** What the module gives for a tensor. */
  forward(x: Tensor, ...rest: Rest): Tensor;
}

/** Options of {@link Chunk}. */
export interface ChunkOptions {
  /** The axis along which the input is split. Default −1. */
  readonly alongDim?: number;
}

/**
 * Applies a module to parts of its input: less is held at a time where the module widens what it
 * gets, and the result is the same where it treats the positions of the axis alike.
 *
 * @example
 * ```ts
 * const layer = new Chunk(4, new FeedForward(8), { alongDim: 1 });
 * console.log(layer.forward(ones([2, 100, 8])).shape); // → [ 2, 100, 8 ]
 * ```
 *
 * @see Kitaev et al.: Reformer (2020)
 */
export class Chunk<Rest extends readonly unknown[] = []> extends Module {
  /** Into how many parts, at most, the input is split. */
  readonly chunks: number;
  /** The axis along which it is split. */
  readonly alongDim: number;
  /** What is applied. */
  readonly fn: ChunkedModule<Rest>;

  /** @throws XError `argument` if `chunks` is not a whole number of at least 1 */
  constructor(chunks: number, fn: ChunkedModule<Rest>, options: ChunkOptions = {}) {
    super();
    const { alongDim = -1 } = options;
    checkCounts("Chunk", { chunks });
    checkNumbers("Chunk", whole, { alongDim });
    this.chunks = chunks;
    this.alongDim = alongDim;
    this.fn = fn;
  }

  /** What the module gives for the parts, joined; each part comes with the same other arguments. */
  forward(x: Tensor, ...rest: Rest): Tensor {
    const parts = x.chunk(this.chunks, this.alongDim);
    return cat(
      parts.map((part) => this.fn.forward(part, ...rest)),
      this.alongDim,
    );
  }
}
