/** Multi-head attention as `torch.nn.MultiheadAttention` has it. */

import { check } from "../error.js";
import { checkNumbers, count, multipleOf, probability } from "../tensor/arguments.js";
import { attentionWeights, scaledDotProductAttention } from "../tensor/attention.js";
import { zeros } from "../tensor/creation.js";
import { dropout } from "../tensor/dropout.js";
import { linear } from "../tensor/embedding.js";
import { cat } from "../tensor/joining.js";
import { formatShapes, sameShape } from "../tensor/shape.js";
import type { Tensor } from "../tensor/tensor.js";
import { attentionGuide, type MaskSizes } from "./attention-masks.js";
import { checkLastAxis } from "./checks.js";
import * as init from "./init.js";
import { Linear } from "./linear.js";
import { Module } from "./module.js";
import { Parameter } from "./parameter.js";

/** Options of the module `MultiheadAttention`. */
export interface MultiheadAttentionOptions {
  /** The probability with which an attention weight is dropped in training. Default 0. */
  readonly dropout?: number;
  /** Whether the projections have biases. Default true. */
  readonly bias?: boolean;
  /** Whether a trained key and value is added to every sequence. Default false. */
  readonly addBiasKv?: boolean;
  /** Whether a key and value of zeros is added to every sequence. Default false. */
  readonly addZeroAttn?: boolean;
  /** Size of the keys. Default: `embedDim`. */
  readonly kdim?: number;
  /** Size of the values. Default: `embedDim`. */
  readonly vdim?: number;
  /** Whether the batch is the first axis, not the second. Default false, as in PyTorch. */
  readonly batchFirst?: boolean;
}

/** Options of a call of `MultiheadAttention`. */
export interface MultiheadAttentionCall {
  /**
   * `[batch, keys]`, without batch `[keys]`: bool, true for keys to ignore, or floating point to be
   * added to the scores.
   */
  readonly keyPaddingMask?: Tensor | null;
  /**
   * `[queries, keys]`, or for each head `[batch · heads, queries, keys]`: bool, true where a query
   * must not see a key, or floating point to be added to the scores.
   */
  readonly attnMask?: Tensor | null;
  /** Whether the attention weights are wanted. Default true. */
  readonly needWeights?: boolean;
  /** Whether the weights are averaged over the heads. Default true. */
  readonly averageAttnWeights?: boolean;
  /**
   * Whether a query sees only keys up to its own place, besides what the masks say; the last query
   * sees all. Default false.
   */
  readonly isCausal?: boolean;
}

/** What `MultiheadAttention` gives. */
export interface MultiheadAttentionResult {
  /** `[queries, batch, embedDim]`, with `batchFirst` `[batch, queries, embedDim]`. */
  readonly output: Tensor;
  /**
   * `[batch, queries, keys]`, or `[batch, heads, queries, keys]` where they are not averaged; `null`
   * where they are not wanted. Not computed unless read.
   */
  readonly weights: Tensor | null;
}

/**
 * Multi-head attention: queries, keys and values are projected, split into heads, attended, joined
 * and projected again. Semantics, parameters and their initial numbers are those of PyTorch, except
 * that a query without any visible key gets 0, not NaN.
 *
 * @example
 * ```ts
 * const attention = new MultiheadAttention(16, 4, { batchFirst: true });
 * const x = randn([2, 5, 16]);
 * const { output, weights } = attention.forward(x, x, x, { isCausal: true });
 * console.log(output.shape, weights!.shape); // → [ 2, 5, 16 ] [ 2, 5, 5 ]
 * ```
 *
 * @see Vaswani et al.: Attention Is All You Need (2017)
 */
export class MultiheadAttention extends Module {
  /** Size of queries and results. */
  readonly embedDim: number;
  /** How many heads there are. */
  readonly numHeads: number;
  /** Size of the keys. */
  readonly kdim: number;
  /** Size of the values. */
  readonly vdim: number;
  /** The probability with which an attention weight is dropped in training. */
  readonly dropout: number;
  /** Whether the batch is the first axis. */
  readonly batchFirst: boolean;
  /** Whether a key and value of zeros is added. */
  readonly addZeroAttn: boolean;
  /** Projections of query, key and value in one, `[3 embedDim, embedDim]`; `null` if sizes differ. */
  readonly inProjWeight: Parameter | null;
  /** `[embedDim, embedDim]` where sizes differ, else `null`. */
  readonly qProjWeight: Parameter | null;
  /** `[embedDim, kdim]` where sizes differ, else `null`. */
  readonly kProjWeight: Parameter | null;
  /** `[embedDim, vdim]` where sizes differ, else `null`. */
  readonly vProjWeight: Parameter | null;
  /** Biases of the three projections, `[3 embedDim]`, or `null`. */
  readonly inProjBias: Parameter | null;
  /** The trained key, `[1, 1, embedDim]`, or `null`. */
  readonly biasK: Parameter | null;
  /** The trained value, `[1, 1, embedDim]`, or `null`. */
  readonly biasV: Parameter | null;
  /** The projection of the joined heads. */
  readonly outProj: Linear;

  /** @throws XError `argument` if a size is out of range or `numHeads` does not divide `embedDim` */
  constructor(embedDim: number, numHeads: number, options: MultiheadAttentionOptions = {}) {
    super();
    const { bias = true, kdim = embedDim, vdim = embedDim } = options;
    checkNumbers("MultiheadAttention", count, { embedDim, numHeads, kdim, vdim });
    checkNumbers("MultiheadAttention", multipleOf(numHeads, "numHeads"), { embedDim });
    this.embedDim = embedDim;
    this.numHeads = numHeads;
    this.kdim = kdim;
    this.vdim = vdim;
    this.dropout = options.dropout ?? 0;
    checkNumbers("MultiheadAttention", probability, { dropout: this.dropout });
    this.batchFirst = options.batchFirst ?? false;
    this.addZeroAttn = options.addZeroAttn ?? false;

    const projection = (rows: number, columns: number): Parameter => {
      const weight = new Parameter(zeros([rows, columns]));
      init.xavierUniform(weight);
      return weight;
    };
    const isPacked = kdim === embedDim && vdim === embedDim;
    this.inProjWeight = isPacked ? projection(3 * embedDim, embedDim) : null;
    this.qProjWeight = isPacked ? null : projection(embedDim, embedDim);
    this.kProjWeight = isPacked ? null : projection(embedDim, kdim);
    this.vProjWeight = isPacked ? null : projection(embedDim, vdim);
    this.inProjBias = bias ? new Parameter(zeros([3 * embedDim])) : null;
    const extra = (): Parameter => {
      const row = new Parameter(zeros([1, 1, embedDim]));
      init.xavierNormal(row);
      return row;
    };
    this.biasK = options.addBiasKv === true ? extra() : null;
    this.biasV = options.addBiasKv === true ? extra() : null;
    this.outProj = new Linear(embedDim, embedDim, { bias });
    if (this.outProj.bias !== null) init.zeros(this.outProj.bias);
  }

  /**
   * Attends. Tensors have the shape `[length, batch, size]`, with `batchFirst`
   * `[batch, length, size]`, without batch `[length, size]`. Key and value default to the query.
   *
   * @throws XError `shape` or `dtype` if a tensor or mask does not fit
   */
  forward(
    query: Tensor,
    key: Tensor = query,
    value: Tensor = key,
    options: MultiheadAttentionCall = {},
  ): MultiheadAttentionResult {
    const { keyPaddingMask = null, attnMask = null, isCausal = false } = options;
    const { needWeights = true, averageAttnWeights = true } = options;
    this.checkInputs(query, key, value);
    const isUnbatched = query.rank === 2;
    const [x, k0, v0] = this.arrange([query, key, value]) as [Tensor, Tensor, Tensor];
    const [batch, queries] = x.shape as [number, number, number];
    const heads = this.numHeads;
    const [q, k, v] = this.project(x, k0, v0).map((part) => this.split(part)) as [
      Tensor,
      Tensor,
      Tensor,
    ];
    const keys = k0.shape[1]!;
    const extraKeys = k.shape[2]! - keys;
    const sizes: MaskSizes = { batch, heads, queries, keys, isUnbatched };
    const mask = attentionGuide(
      { keyPaddingMask, attnMask },
      sizes,
      extraKeys,
      isCausal && extraKeys > 0,
    );
    const visibility = { mask, isCausal: isCausal && extraKeys === 0 };

    const dropoutP = this.training ? this.dropout : 0;
    let weights = needWeights ? attentionWeights(q, k, visibility) : null;
    let attended: Tensor;
    if (weights !== null && dropoutP > 0) {
      // The weights that are given back are those that were used, some of them dropped.
      weights = dropout(weights, { p: dropoutP });
      attended = weights.matmul(v);
    } else {
      attended = scaledDotProductAttention(q, k, v, { ...visibility, dropoutP });
    }
    const joined = attended.transpose(1, 2).reshape([batch, queries, this.embedDim]);
    const output = this.outProj.forward(joined);
    const averaged = weights !== null && averageAttnWeights ? weights.mean(1) : weights;
    return {
      output: isUnbatched ? output.squeeze(0) : this.batchFirst ? output : output.transpose(0, 1),
      weights: isUnbatched && averaged !== null ? averaged.squeeze(0) : averaged,
    };
  }

  private checkInputs(query: Tensor, key: Tensor, value: Tensor): void {
    const { batchFirst, kdim, vdim } = this;
    const batchAxis = batchFirst ? 0 : 1;
    const fits =
      (query.rank === 2 || query.rank === 3) &&
      key.rank === query.rank &&
      sameShape(key.shape.slice(0, -1), value.shape.slice(0, -1)) &&
      (query.rank === 2 || query.shape[batchAxis] === key.shape[batchAxis]);
    const axes = batchFirst ? "[batch, length, size]" : "[length, batch, size]";
    check(
      fits,
      "shape",
      () =>
        `MultiheadAttention: query, key and value must have the axes ${axes} or [length, size] and fit each other, got ${formatShapes(query, key, value)}. Reshape them, or set batchFirst.`,
    );
    checkLastAxis("MultiheadAttention", "query", query, this.embedDim);
    checkLastAxis("MultiheadAttention", "key", key, kdim);
    checkLastAxis("MultiheadAttention", "value", value, vdim);
  }

  /** The tensors as `[batch, length, size]`; equal ones stay equal. */
  private arrange(tensors: readonly Tensor[]): Tensor[] {
    const arranged = new Map<Tensor, Tensor>();
    return tensors.map((tensor) => {
      let result = arranged.get(tensor);
      if (result === undefined) {
        if (tensor.rank === 2) result = tensor.unsqueeze(0);
        else result = this.batchFirst ? tensor : tensor.transpose(0, 1);
        arranged.set(tensor, result);
      }
      return result;
    });
  }

  /** Queries, keys and values `[batch, length, embedDim]`, with the trained key and value. */
  private project(query: Tensor, key: Tensor, value: Tensor): [Tensor, Tensor, Tensor] {
    const [q, ...others] = this.projectEach(query, key, value);
    let [k, v] = others;
    if (this.biasK !== null && this.biasV !== null) {
      const row = [key.shape[0]!, 1, this.embedDim];
      k = cat([k, this.biasK.expand(row)], 1);
      v = cat([v, this.biasV.expand(row)], 1);
    }
    if (this.addZeroAttn) {
      k = k.pad([0, 0, 0, 1]);
      v = v.pad([0, 0, 0, 1]);
    }
    return [q, k, v];
  }

  private projectEach(query: Tensor, key: Tensor, value: Tensor): [Tensor, Tensor, Tensor] {
    const size = this.embedDim;
    const inputs = [query, key, value];
    const own = [this.qProjWeight, this.kProjWeight, this.vProjWeight];
    const parts: Tensor[] = [];
    // Inputs that are the same tensor share one product.
    while (parts.length < 3) {
      const i = parts.length;
      // How many inputs in a row are this one.
      let width = 1;
      while (this.inProjWeight !== null && inputs[i + width] === inputs[i]) width++;
      const length = width * size;
      const rows = (all: Tensor): Tensor => (width === 3 ? all : all.narrow(0, i * size, length));
      const weight = this.inProjWeight === null ? own[i]! : rows(this.inProjWeight);
      const bias = this.inProjBias === null ? null : rows(this.inProjBias);
      const all = linear(inputs[i]!, weight, bias);
      parts.push(...(width === 1 ? [all] : all.chunk(width, -1)));
    }
    return parts as [Tensor, Tensor, Tensor];
  }

  /** `[batch, length, embedDim]` as `[batch, heads, length, headDim]`. */
  private split(x: Tensor): Tensor {
    const [batch, length] = x.shape as [number, number, number];
    return x.reshape([batch, length, this.numHeads, -1]).transpose(1, 2);
  }
}
