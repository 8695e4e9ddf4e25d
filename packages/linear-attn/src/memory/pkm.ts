/** A product-key memory. */

import type { Tensor } from "@x/tensor";
import {
  checkNumbers,
  Dropout,
  Embedding,
  embeddingBag,
  init,
  Linear,
  Module,
  even,
  Parameter,
  stack,
  wholeFrom,
  zeros,
} from "../engine.js";
import { checkCounts, checkSequence } from "../checks.js";
import { MaskedBatchNorm1D } from "./masked-batch-norm.js";

/** Options of {@link PKM}. */
export interface PKMOptions {
  /** How many queries a token makes. Default 4. */
  readonly heads?: number;
  /** How many keys each half of a query is compared with; the memory has its square of slots. Default 128. */
  readonly numKeys?: number;
  /** How many slots a query reads. Default 32. */
  readonly topk?: number;
  /** Size of a query; even. Default 256. */
  readonly dimHead?: number;
  /** The probability with which elements of the input are dropped in training. Default 0. */
  readonly inputDropout?: number;
  /** The same for the queries. Default 0. */
  readonly queryDropout?: number;
  /** The same for what is read. Default 0. */
  readonly valueDropout?: number;
}

/** Options of a call. */
export interface PKMCall {
  /** Bool [batch, length]: true for tokens, false for padding, which has no part in the statistics. */
  readonly inputMask?: Tensor | null;
}

const owner = "PKM";

/**
 * A memory of `numKeys²` trained vectors, of which every query reads the `topk` that fit best:
 * a slot's key is a pair out of two sets of `numKeys` half keys, so that the best pairs are found
 * among the `topk` best of each half. Reads are weighted by the softmax of their scores.
 *
 * Queries are normalised over the batch. In training, running statistics follow when the result, or
 * anything that depends on it, is computed.
 *
 * @example
 * ```ts
 * const memory = new PKM(16, { heads: 2, numKeys: 8, topk: 4, dimHead: 8 });
 * console.log(memory.forward(ones([2, 5, 16])).shape); // → [ 2, 5, 16 ]
 * ```
 *
 * @see Lample et al.: Large Memory Layers with Product Keys (2019)
 */
export class PKM extends Module {
  /** How many queries a token makes. */
  readonly heads: number;
  /** How many half keys there are on each side. */
  readonly numKeys: number;
  /** How many slots a query reads. */
  readonly topk: number;
  /** To the queries. */
  readonly toQueries: Linear;
  /** Normalises the queries. */
  readonly norm: MaskedBatchNorm1D;
  /** Half keys, [heads, numKeys, 2, dimHead / 2]. */
  readonly keys: Parameter;
  /** What the slots hold, [numKeys², dim]. */
  readonly values: Embedding;
  /** Drops elements of the input. */
  inputDropout: Dropout;
  /** Drops elements of the queries. */
  queryDropout: Dropout;
  /** Drops elements of the result. */
  valueDropout: Dropout;

  /** @throws XError `argument` if a number is out of range */
  constructor(dim: number, options: PKMOptions = {}) {
    super();
    const { heads = 4, numKeys = 128, topk = 32, dimHead = 256 } = options;
    checkCounts(owner, { dim, heads, numKeys, dimHead });
    checkNumbers(owner, wholeFrom(1, numKeys), { topk });
    checkNumbers(owner, even, { dimHead });
    this.heads = heads;
    this.numKeys = numKeys;
    this.topk = topk;
    this.toQueries = new Linear(dim, dimHead * heads, { bias: false });
    this.norm = new MaskedBatchNorm1D(dimHead * heads);
    this.keys = new Parameter(zeros([heads, numKeys, 2, dimHead / 2]));
    this.values = new Embedding(numKeys ** 2, dim);
    init.normal(this.keys, 0, (dimHead / 2) ** -0.5);
    init.normal(this.values.weight, 0, dim ** -0.5);
    this.inputDropout = new Dropout(options.inputDropout ?? 0);
    this.queryDropout = new Dropout(options.queryDropout ?? 0);
    this.valueDropout = new Dropout(options.valueDropout ?? 0);
  }

  /**
   * From [batch, length, dim] to the same shape.
   *
   * @throws XError `shape` if the input or the mask does not fit
   */
  forward(x: Tensor, options: PKMCall = {}): Tensor {
    const { inputMask = null } = options;
    checkSequence(owner, "input", x, this.toQueries.inFeatures, inputMask);
    const { heads, numKeys, topk } = this;
    const [batch, length] = x.shape as [number, number];
    const projected = this.toQueries.forward(this.inputDropout.forward(x));
    const queries = this.queryDropout.forward(this.norm.forward(projected, inputMask));
    // The halves are taken of the joined heads, as checkpoints expect: [2, heads, tokens, size / 2].
    const halves = stack(queries.chunk(2, -1))
      .reshape([2, batch * length, heads, -1])
      .transpose(1, 2);
    const scores = halves.matmul(this.keys.permute([2, 0, 3, 1]));
    const best = scores.topk(topk);
    const pairs = (of: Tensor, factor: number): Tensor =>
      of.select(0, 0).mul(factor).unsqueeze(-1).add(of.select(0, 1).unsqueeze(-2)).flatten(-2);
    const read = pairs(best.values, 1).topk(topk);
    const slots = pairs(best.indices, numKeys).gather(-1, read.indices);
    // [heads, tokens, topk] → [tokens, heads · topk]
    const bags = (y: Tensor): Tensor => y.transpose(0, 1).flatten(-2);
    const output = embeddingBag(bags(slots), this.values.weight, {
      mode: "sum",
      perSampleWeights: bags(read.values.softmax(-1)),
    });
    return this.valueDropout.forward(output.reshape(x.shape));
  }
}
