/** Multi-head cumulative linear attention with projections, norms and a cache. */

import { linear, zeros, type Tensor } from "@x/tensor";
import { Dropout, init, LayerNorm, Linear, Module, Parameter } from "@x/tensor/nn";
import { check, formatShape } from "../error.js";
import { isReference, type Compatibility } from "./compatibility.js";
import { cumulativeLinearAttn } from "./cumulative-linear-attn.js";
import type { CumulativeMask } from "./mask.js";
import { emptyState, updateState, type CumulativeState } from "./state.js";

/** A norm of heads: `true` for a layer norm of the head size, or a module of one's own. */
export type HeadNorm = boolean | (Module & { forward(x: Tensor): Tensor });

/** Options of {@link CumulativeLinearMultiheadAttentionKV}. */
export interface CumulativeMultiheadOptions {
  /** The probability of dropout on what is read from the store, in training. Default 0. */
  readonly dropout?: number;
  /** Whether the projections have biases. Default true. */
  readonly bias?: boolean;
  /** Whether every query also sees a trained key and value. Default false. */
  readonly addBiasKv?: boolean;
  /** Size of the keys. Default: `embedDim`. */
  readonly kdim?: number | null;
  /** Size of the values. Default: `embedDim`. */
  readonly vdim?: number | null;
  /** Whether the batch is the first axis, not the second. Default false, as in PyTorch. */
  readonly batchFirst?: boolean;
  /** Norm of each head's queries. Default: none. */
  readonly normQ?: HeadNorm | null;
  /** Norm of each head's keys. Default: none. */
  readonly normK?: HeadNorm | null;
  /** Norm of each head's values. Default: none. */
  readonly normV?: HeadNorm | null;
  /** Added to the variance in the norms made here. Default 1e-5. */
  readonly layerNormEps?: number;
  /** Factor of the output. Default 1 / √(embedDim / numHeads). */
  readonly scale?: number | null;
  /** Reproduces the original where it contradicts itself; see {@link Compatibility}. */
  readonly compat?: Compatibility | null;
}

/** Options of a call. */
export interface CumulativeMultiheadCall {
  /** The last key that each query sees; see {@link CumulativeMask}. Not together with `isCausal`. */
  readonly mask?: CumulativeMask | null;
  /** Whether a query sees only keys up to its own place; the last query sees all. Default false. */
  readonly isCausal?: boolean;
  /** Bool [batch, keys], without batch [keys]: true for padding, which takes no part. */
  readonly srcKeyPaddingMask?: Tensor | null;
  /** Whether to go on from the module's own cache. Default false. */
  readonly useKvCache?: boolean;
  /** Whether to remember what was seen in the module's own cache. Default false. */
  readonly updateKvCache?: boolean;
  /** A state to go on from and to update in place, instead of the module's own cache. */
  readonly state?: CumulativeState | null;
}

const owner = "CumulativeLinearMultiheadAttentionKV";

/**
 * Multi-head cumulative linear attention: queries, keys and values are projected, split into heads,
 * normed where asked for, attended without softmax, joined and projected again. Parameters and their
 * names are those of `torch.nn.MultiheadAttention`, with `norm_q`, `norm_k`, `norm_v` besides.
 *
 * @example
 * ```ts
 * const attention = new CumulativeLinearMultiheadAttentionKV(8, 2, { batchFirst: true });
 * const y = attention.forward(ones([1, 5, 8]), undefined, undefined, { isCausal: true });
 * console.log(y.shape); // → [ 1, 5, 8 ]
 * ```
 */
export class CumulativeLinearMultiheadAttentionKV extends Module {
  /** Size of queries and results. */
  readonly embedDim: number;
  /** How many heads there are. */
  readonly numHeads: number;
  /** Whether the batch is the first axis. */
  readonly batchFirst: boolean;
  /** Factor of the output, or `null` for 1 / √(embedDim / numHeads). */
  readonly scale: number | null;
  /** Whether the original is reproduced where it contradicts itself. */
  readonly compat: Compatibility | null;
  /** Projections of query, key and value in one, [3 embedDim, embedDim]; `null` if sizes differ. */
  readonly inProjWeight: Parameter | null;
  /** [embedDim, embedDim] where sizes differ, else `null`. */
  readonly qProjWeight: Parameter | null;
  /** [embedDim, kdim] where sizes differ, else `null`. */
  readonly kProjWeight: Parameter | null;
  /** [embedDim, vdim] where sizes differ, else `null`. */
  readonly vProjWeight: Parameter | null;
  /** Biases of the three projections, [3 embedDim], or `null`. */
  readonly inProjBias: Parameter | null;
  /** The trained key, [1, 1, embedDim], or `null`. */
  readonly biasK: Parameter | null;
  /** The trained value, [1, 1, embedDim], or `null`. */
  readonly biasV: Parameter | null;
  /** The projection of the joined heads. */
  readonly outProj: Linear;
  /** Norm of each head's queries, or `null`. */
  readonly normQ: (Module & { forward(x: Tensor): Tensor }) | null;
  /** Norm of each head's keys, or `null`. */
  readonly normK: (Module & { forward(x: Tensor): Tensor }) | null;
  /** Norm of each head's values, or `null`. */
  readonly normV: (Module & { forward(x: Tensor): Tensor }) | null;
  /** Dropout of what is read from the store. */
  readonly dropout: Module & { forward(x: Tensor): Tensor };
  /** What the calls with `updateKvCache` remember, or `null`. */
  kvCache: CumulativeState | null = null;

  /**
   * @throws XError `argument` if a size is not a whole number of at least 1, `numHeads` does not
   * divide `embedDim`, or dropout or scale is out of range
   */
  constructor(embedDim: number, numHeads: number, options: CumulativeMultiheadOptions = {}) {
    super();
    const { bias = true, scale = null } = options;
    const kdim = options.kdim ?? embedDim;
    const vdim = options.vdim ?? embedDim;
    for (const [name, size] of Object.entries({ embedDim, numHeads, kdim, vdim })) {
      check(
        Number.isInteger(size) && size >= 1,
        "argument",
        () => `${owner}: ${name} must be a whole number of at least 1, got ${size}. Correct it.`,
      );
    }
    check(
      embedDim % numHeads === 0,
      "argument",
      () =>
        `${owner}: numHeads must divide embedDim, got ${numHeads} heads for ${embedDim}. Choose a divisor.`,
    );
    check(
      scale === null || Number.isFinite(scale),
      "argument",
      () => `${owner}: scale must be a finite number, got ${scale}. Leave it out for 1 / sqrt(d).`,
    );
    this.embedDim = embedDim;
    this.numHeads = numHeads;
    this.batchFirst = options.batchFirst ?? false;
    this.scale = scale;
    this.compat = isReference(owner, options.compat) ? "reference" : null;

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
    const norm = (choice: HeadNorm | null | undefined): typeof this.normQ => {
      if (choice === true) {
        return new LayerNorm(embedDim / numHeads, { eps: options.layerNormEps ?? 1e-5, bias });
      }
      return choice === false || choice === undefined ? null : choice;
    };
    this.normQ = norm(options.normQ);
    this.normK = norm(options.normK);
    this.normV = norm(options.normV);
    this.dropout = new Dropout(options.dropout ?? 0);
  }

  /**
   * Attends. Tensors have the shape [length, batch, size], with `batchFirst` [batch, length, size],
   * without batch [length, size]. Key and value default to the query.
   *
   * With a cache or state, the queries see what it holds and then the given keys.
   *
   * @throws XError `shape` if a tensor or mask does not fit, `argument` for a mask together with
   * `isCausal`
   */
  forward(
    query: Tensor,
    key: Tensor = query,
    value: Tensor = key,
    options: CumulativeMultiheadCall = {},
  ): Tensor {
    const { mask = null, isCausal = false, srcKeyPaddingMask = null } = options;
    this.checkInputs(query, key, value);
    const isUnbatched = query.rank === 2;
    const arrange = (x: Tensor): Tensor =>
      isUnbatched ? x.unsqueeze(0) : this.batchFirst ? x : x.transpose(0, 1);
    const x = arrange(query);
    const isSelf = key === query && value === query;
    const [q, k, v] = this.heads(x, isSelf ? x : arrange(key), isSelf ? x : arrange(value), {
      padding: srcKeyPaddingMask && this.padding(srcKeyPaddingMask, key, isUnbatched),
    });
    const [batch, queries] = x.shape as [number, number, number];

    const from = options.state ?? (options.useKvCache === true ? this.kvCache : null);
    this.checkState(from, batch);
    const { output, state } = cumulativeLinearAttn(q, k, v, {
      mask,
      isCausal,
      scale: this.scale,
      kvCache: from?.store.detach() ?? this.trained(batch),
      ...(this.training && { dropout: (part: Tensor) => this.dropout.forward(part) }),
      compat: this.compat,
    });
    const to = options.state ?? (options.updateKvCache === true ? this.ownState(batch) : null);
    if (to !== null) {
      const length = k.shape[2]!;
      updateState(
        to,
        state,
        from === null ? to.position.mul(0).add(length) : to.position.add(length),
      );
    }

    const joined = output.transpose(1, 2).reshape([batch, queries, this.embedDim]);
    const result = this.outProj.forward(joined);
    return isUnbatched ? result.squeeze(0) : this.batchFirst ? result : result.transpose(0, 1);
  }

  /** A state before the first token. */
  initState(batch: number): CumulativeState {
    return emptyState({ batch, heads: this.numHeads, headDim: this.embedDim / this.numHeads });
  }

  /** Forgets what calls with `updateKvCache` remembered. */
  clearKvCache(): void {
    this.kvCache?.store.dispose();
    this.kvCache?.position.dispose();
    this.kvCache = null;
  }

  private ownState(batch: number): CumulativeState {
    if (this.kvCache !== null && this.kvCache.store.shape[0] !== batch) this.clearKvCache();
    return (this.kvCache ??= this.initState(batch));
  }

  /** The heads of queries, keys and values, [batch, heads, length, headDim]. */
  private heads(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    { padding }: { padding: Tensor | null },
  ): [Tensor, Tensor, Tensor] {
    const [q, k, v] = this.project(query, key, value).map((x) => this.split(x)) as [
      Tensor,
      Tensor,
      Tensor,
    ];
    const hide = (x: Tensor): Tensor => (padding === null ? x : x.maskedFill(padding, 0));
    const normed = (norm: typeof this.normQ, x: Tensor): Tensor => norm?.forward(x) ?? x;
    const keys =
      this.compat === "reference" ? normed(this.normK, hide(k)) : hide(normed(this.normK, k));
    const values = normed(this.normV, v);
    // A value that is not a number must not come through a key of 0.
    const seen = this.compat === "reference" ? values : hide(values);
    return [normed(this.normQ, q), keys, seen];
  }

  /** [batch, length, embedDim] as [batch, heads, length, headDim]. */
  private split(x: Tensor): Tensor {
    const [batch, length] = x.shape as [number, number, number];
    return x.reshape([batch, length, this.numHeads, -1]).transpose(1, 2);
  }

  /** Before anything else is seen there is the trained key and value, if the module has them. */
  private trained(batch: number): Tensor | null {
    if (this.biasK === null || this.biasV === null) return null;
    const k = this.split(this.biasK);
    const v = this.split(this.biasV);
    const store = (this.normK?.forward(k) ?? k)
      .transpose(-1, -2)
      .matmul(this.normV?.forward(v) ?? v);
    return store.expand([batch, ...store.shape.slice(1)]);
  }

  private project(query: Tensor, key: Tensor, value: Tensor): Tensor[] {
    const size = this.embedDim;
    const bias = (part: number): Tensor | null =>
      this.inProjBias?.narrow(0, part * size, size) ?? null;
    const packed = this.inProjWeight;
    if (packed === null) {
      const weights = [this.qProjWeight!, this.kProjWeight!, this.vProjWeight!];
      return [query, key, value].map((x, part) => linear(x, weights[part]!, bias(part)));
    }
    if (query === key && key === value) return linear(query, packed, this.inProjBias).chunk(3, -1);
    return [query, key, value].map((x, part) =>
      linear(x, packed.narrow(0, part * size, size), bias(part)),
    );
  }

  private checkInputs(query: Tensor, key: Tensor, value: Tensor): void {
    const batchAxis = this.batchFirst ? 0 : 1;
    const lengthAxis = query.rank === 2 ? 0 : 1 - batchAxis;
    const sizes = [
      this.embedDim,
      this.kProjWeight?.shape[1] ?? this.embedDim,
      this.vProjWeight?.shape[1] ?? this.embedDim,
    ];
    const fits =
      (query.rank === 2 || query.rank === 3) &&
      [query, key, value].every((x, i) => x.rank === query.rank && x.shape.at(-1) === sizes[i]) &&
      key.shape[lengthAxis] === value.shape[lengthAxis] &&
      (query.rank === 2 ||
        [key, value].every((x) => x.shape[batchAxis] === query.shape[batchAxis]));
    const axes = this.batchFirst ? "[batch, length, size]" : "[length, batch, size]";
    check(
      fits,
      "shape",
      () =>
        `${owner}: query, key and value must have the axes ${axes} or [length, size] with sizes ${sizes.join(", ")} and fit each other, got ${[query, key, value].map(({ shape }) => formatShape(shape)).join(", ")}. Reshape them, or set batchFirst.`,
    );
  }

  private checkState(state: CumulativeState | null, batch: number): void {
    check(
      state === null || state.store.shape[0] === batch,
      "shape",
      () =>
        `${owner}: a state fits the batch it was made for, got a batch of ${batch} with a state for ${state!.store.shape[0]}. Make a new state, or call clearKvCache().`,
    );
  }

  /** The padding as [batch, 1, keys, 1]. */
  private padding(mask: Tensor, key: Tensor, isUnbatched: boolean): Tensor {
    const lengthAxis = isUnbatched ? 0 : this.batchFirst ? 1 : 0;
    const length = key.shape[lengthAxis]!;
    const expected = isUnbatched ? [length] : [key.shape[1 - lengthAxis]!, length];
    check(
      mask.dtype === "bool" && formatShape(mask.shape) === formatShape(expected),
      "shape",
      () =>
        `${owner}: srcKeyPaddingMask must be bool ${formatShape(expected)}, true for padding, got ${mask.dtype} ${formatShape(mask.shape)}. Compare or reshape it.`,
    );
    return mask.reshape([-1, 1, length, 1]);
  }
}
