/** Rotary position embedding. */

import { check } from "../error.js";
import { checkChoice, checkNumbers, even, positive, wholeFrom } from "../tensor/arguments.js";
import { cat, stack } from "../tensor/joining.js";
import { formatShape } from "../tensor/shape.js";
import type { Tensor } from "../tensor/tensor.js";
import { Module } from "./module.js";
import type { Buffer } from "./parameter.js";
import { frequencies } from "./positional-encodings.js";
import { positionsOf, type PositionOptions } from "./positions.js";

/** Which elements form the pairs that are rotated. */
export type RotaryLayout =
  /** Neighbours, (2i, 2i + 1), as in RoFormer and GPT-J. */
  | "interleaved"
  /** One of each half, (i, i + dim / 2), as in GPT-NeoX and LLaMA. */
  | "half";

/** Options of `RotaryEmbedding`. */
export interface RotaryOptions {
  /** The slowest rotation takes about 2π · base positions. Default 10000. */
  readonly base?: number;
  /** Which elements form pairs. Default `"interleaved"`. */
  readonly layout?: RotaryLayout;
}

/** Sine and cosine of the angle of each pair at each position. */
export interface RotaryTable {
  /** `[length, dim / 2]`, or `[batch, …, length, dim / 2]` where the offset has a batch. */
  readonly sin: Tensor;
  /** Of the same shape. */
  readonly cos: Tensor;
}

/**
 * Rotates pairs of elements of queries and keys by angles that grow with the position, so that their
 * product depends on the distance only: at position p, pair i turns by `p · base^(−2i / dim)`.
 *
 * @example
 * ```ts
 * const rotary = new RotaryEmbedding(8, { layout: "half" });
 * const q = randn([1, 2, 5, 8]);
 * const k = randn([1, 2, 5, 8]);
 * const near = rotary.forward(q).matmul(rotary.forward(k).transpose(-2, -1));
 * const far = rotary.forward(q, { offset: 100 })
 *   .matmul(rotary.forward(k, { offset: 100 }).transpose(-2, -1));
 * console.log((await near.sub(far).abs().max().item()) < 1e-3); // → true
 * ```
 *
 * @see Su et al.: RoFormer (2021)
 */
export class RotaryEmbedding extends Module {
  /** How many elements of each vector are rotated; even. */
  readonly dim: number;
  /** The slowest rotation takes about 2π · base positions. */
  readonly base: number;
  /** Which elements form pairs. */
  readonly layout: RotaryLayout;
  /** The frequency of each pair of elements; not saved. */
  readonly frequencies: Buffer;

  /** @throws XError `argument` if `dim` is not an even number of at least 2 */
  constructor(dim: number, options: RotaryOptions = {}) {
    super();
    const { base = 10000, layout = "interleaved" } = options;
    checkNumbers("RotaryEmbedding", wholeFrom(2), { dim });
    checkNumbers("RotaryEmbedding", even, { dim });
    checkNumbers("RotaryEmbedding", positive, { base });
    checkChoice("RotaryEmbedding", "layout", layout, ["interleaved", "half"]);
    this.dim = dim;
    this.base = base;
    this.layout = layout;
    this.frequencies = frequencies(dim, base);
  }

  /** Sine and cosine for the positions of `x`, `[…, length, size]`; to be used for several tensors. */
  table(x: Tensor, options: PositionOptions = {}): RotaryTable {
    const positions = positionsOf("RotaryEmbedding", x, options).float().unsqueeze(-1);
    const angles = positions.mul(this.frequencies);
    return { sin: angles.sin(), cos: angles.cos() };
  }

  /**
   * `x` of shape `[…, length, size]` with the first `dim` elements of each vector rotated.
   *
   * @throws XError `shape` if the vectors are shorter than `dim`
   */
  forward(x: Tensor, options: PositionOptions = {}): Tensor {
    return this.rotate(x, this.table(x, options));
  }

  /** As `forward`, by the angles of a table. */
  rotate(x: Tensor, table: RotaryTable): Tensor {
    const size = x.shape.at(-1) ?? 0;
    check(
      size >= this.dim,
      "shape",
      () =>
        `RotaryEmbedding: the last axis of the input must be at least ${this.dim}, got ${formatShape(x.shape)}. Make the module for that size.`,
    );
    const turned = size === this.dim ? x : x.narrow(-1, 0, this.dim);
    const rotated = rotatePairs(turned, table, this.layout);
    return size === this.dim
      ? rotated
      : cat([rotated, x.narrow(-1, this.dim, size - this.dim)], -1);
  }
}

/**
 * `x` with each pair `(a, b)` of the elements of its vectors, all of them, turned by the angle of the
 * pair: `(a cos − b sin, b cos + a sin)`.
 *
 * @param x of shape `[…, length, size]`
 * @param table sines and cosines that broadcast with `[…, length, size / 2]`
 * @param layout which elements form pairs
 * @example
 * ```ts
 * const quarter = { sin: ones([1, 1]), cos: zeros([1, 1]) };
 * const turned = rotatePairs(tensor([[1, 2]]), quarter, "half");
 * console.log(await turned.toArray()); // → [ [ -2, 1 ] ]
 * ```
 */
export function rotatePairs(x: Tensor, { sin, cos }: RotaryTable, layout: RotaryLayout): Tensor {
  const isInterleaved = layout === "interleaved";
  const axis = isInterleaved ? -1 : -2;
  const pairs = x.unflatten(-1, isInterleaved ? [-1, 2] : [2, -1]);
  const [a, b] = pairs.unbind(axis) as [Tensor, Tensor];
  return stack([a.mul(cos).sub(b.mul(sin)), b.mul(cos).add(a.mul(sin))], axis).flatten(-2);
}
