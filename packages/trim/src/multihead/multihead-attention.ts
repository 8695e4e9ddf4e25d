/** Cumulative linear attention with heads, projections and a cache. */

import { getDevice, zeros, type Device, type Shape, type Tensor } from "@x/tensor";
import {
  check,
  checkNumbers,
  count,
  finite,
  formatShape,
  probability,
  sameShape,
} from "@x/tensor/checks";
import {
  Buffer,
  Dropout,
  init,
  LayerNorm,
  Linear,
  Module,
  Parameter,
  type TensorModule,
  type Update,
  withUpdates,
} from "@x/tensor/nn";
import { isReference, type Compatibility } from "../attention/compatibility.js";
import { cumulativeLinearAttn } from "../attention/cumulative-linear-attn.js";
import {
  checkMemory,
  emptyMemory,
  startPosition,
  type AttentionMemory,
} from "../state/cumulative-state.js";
import { projectInputs, type ProjectionSizes } from "./input-projection.js";
import type { CumulativeCall, CumulativeMultiheadOptions, HeadNorm } from "./options.js";

const owner = "CumulativeLinearMultiheadAttentionKV";

/** What a call gives, and what it is about to change. */
export interface Advance {
  readonly output: Tensor;
  readonly updates: readonly Update[];
}

/**
 * Multi-head attention with cumulative linear attention in place of softmax attention: queries, keys
 * and values are projected, split into heads, perhaps normalised, attended without normalisation
 * (`y_i = scale · q_i Σ_{j ≤ m_i} k_j v_jᵀ`), joined and projected again. Parameters, their names and
 * their initial numbers are those of `torch.nn.MultiheadAttention`.
 *
 * What it remembers of a sequence is one d × d matrix a head, however long the sequence. It is kept
 * either in the module (`useKvCache`, `updateKvCache`, `clearKvCache`) or as a value (`initState` and
 * the option `state`).
 *
 * @example
 * ```ts
 * const attention = new CumulativeLinearMultiheadAttentionKV(16, 4, { batchFirst: true });
 * const x = randn([2, 6, 16]);
 * const whole = attention.forward(x, x, x, { isCausal: true });
 *
 * const state = attention.initState(2);
 * const parts = x.split([4, 2], 1).map((part) => attention.forward(part, part, part, { isCausal: true, state }));
 * console.log((await cat(parts, 1).sub(whole).abs().max().item()) < 1e-5); // → true
 * ```
 */
export class CumulativeLinearMultiheadAttentionKV extends Module {
  /** Size of queries and results. */
  readonly embedDim: number;
  /** Heads of the queries. */
  readonly numHeads: number;
  /** Heads of keys and values. */
  readonly kvHeads: number;
  /** Size of the keys that come in. */
  readonly kdim: number;
  /** Size of the values that come in. */
  readonly vdim: number;
  /** Whether the batch is the first axis. */
  readonly batchFirst: boolean;
  /** Factor of what is read; `null` for 1 / √(head size). */
  readonly scale: number | null;
  /** `"reference"` where the original is reproduced, else `null`. */
  readonly compat: Compatibility | null;
  /**
   * Projections of query, key and value in one, [embedDim + 2 · kvHeads · head size, embedDim];
   * `null` if sizes differ.
   */
  readonly inProjWeight: Parameter | null;
  /** [embedDim, embedDim] where sizes differ, else `null`. */
  readonly qProjWeight: Parameter | null;
  /** [kvHeads · head size, kdim] where sizes differ, else `null`. */
  readonly kProjWeight: Parameter | null;
  /** [kvHeads · head size, vdim] where sizes differ, else `null`. */
  readonly vProjWeight: Parameter | null;
  /** Biases of the three projections, [embedDim + 2 · kvHeads · head size], or `null`. */
  readonly inProjBias: Parameter | null;
  /** The trained key, [1, 1, kvHeads · head size], or `null`. */
  readonly biasK: Parameter | null;
  /** The trained value, [1, 1, kvHeads · head size], or `null`. */
  readonly biasV: Parameter | null;
  /** The projection of the joined heads. */
  readonly outProj: Linear;
  /** What normalises the queries, or `null`. */
  readonly normQ: TensorModule | null;
  /** What normalises the keys, or `null`. */
  readonly normK: TensorModule | null;
  /** What normalises the values, or `null`. */
  readonly normV: TensorModule | null;
  /** What drops in training; another module may take its place. */
  dropout: Dropout;
  /** @internal The sum that is cached, or `null`. */
  cachedStore: Buffer | null = null;
  /** @internal How many tokens it is of, or `null`. */
  cachedPosition: Buffer | null = null;

  /**
   * @param embedDim size of queries and results
   * @param numHeads heads of the queries, a divisor of `embedDim`
   * @throws XError `argument` if a size or number is out of range, or heads do not divide
   */
  constructor(embedDim: number, numHeads: number, options: CumulativeMultiheadOptions = {}) {
    super();
    const { bias = true, addBiasKv = false, batchFirst = false, kvHeads = numHeads } = options;
    const kdim = options.kdim ?? embedDim;
    const vdim = options.vdim ?? embedDim;
    checkNumbers(owner, count, { embedDim, numHeads, kvHeads, kdim, vdim });
    check(
      embedDim % numHeads === 0,
      "argument",
      () =>
        `${owner}: the number of heads must divide embedDim, got ${numHeads} heads for ${embedDim}. Choose a divisor.`,
    );
    check(
      numHeads % kvHeads === 0,
      "argument",
      () =>
        `${owner}: kvHeads must divide the number of heads, got ${kvHeads} for ${numHeads}. Choose a divisor.`,
    );
    const { scale = null, dropout = 0 } = options;
    checkNumbers(owner, probability, { dropout });
    if (scale !== null) checkNumbers(owner, finite, { scale });
    this.embedDim = embedDim;
    this.numHeads = numHeads;
    this.kvHeads = kvHeads;
    this.kdim = kdim;
    this.vdim = vdim;
    this.batchFirst = batchFirst;
    this.scale = scale;
    this.compat = isReference(owner, options.compat) ? "reference" : null;

    const { headDim } = this;
    const keySize = kvHeads * headDim;
    const isPacked = kdim === embedDim && vdim === embedDim;
    this.inProjWeight = isPacked ? projection(embedDim + 2 * keySize, embedDim) : null;
    this.qProjWeight = isPacked ? null : projection(embedDim, embedDim);
    this.kProjWeight = isPacked ? null : projection(keySize, kdim);
    this.vProjWeight = isPacked ? null : projection(keySize, vdim);
    this.inProjBias = bias ? new Parameter(zeros([embedDim + 2 * keySize])) : null;
    this.biasK = addBiasKv ? extraRow(keySize) : null;
    this.biasV = addBiasKv ? extraRow(keySize) : null;
    this.outProj = new Linear(embedDim, embedDim, { bias });
    if (this.outProj.bias !== null) init.zeros(this.outProj.bias);
    this.normQ = normOf("normQ", options.normQ, headDim);
    this.normK = normOf("normK", options.normK, headDim);
    this.normV = normOf("normV", options.normV, headDim);
    this.dropout = new Dropout(dropout);
  }

  /** Size of a head. */
  get headDim(): number {
    return this.embedDim / this.numHeads;
  }

  /**
   * Attends. Tensors have the shape [length, batch, size], with `batchFirst` [batch, length, size],
   * without batch [length, size]. Key and value default to the query.
   *
   * With a state or `updateKvCache`, what is remembered changes when the result, or anything that
   * depends on it, is computed. Compute it before the next call where compiling again is to be
   * avoided.
   *
   * @throws XError `shape` or `dtype` if a tensor, mask or state does not fit; `argument` if options
   * contradict each other or the mask is out of range
   */
  forward(
    query: Tensor,
    key: Tensor = query,
    value: Tensor = key,
    options: CumulativeCall = {},
  ): Tensor {
    const { output, updates } = this.advance(query, key, value, options);
    return withUpdates(output, updates);
  }

  /** @internal What `forward` gives, with the updates still to be made. */
  advance(query: Tensor, key: Tensor, value: Tensor, options: CumulativeCall): Advance {
    this.checkInputs(query, key, value);
    const isUnbatched = query.rank === 2;
    const axis = this.batchFirst ? 0 : 1;
    const batched = (x: Tensor): Tensor => (isUnbatched ? x.unsqueeze(axis) : x);
    const q = batched(query);
    const k = key === query ? q : batched(key);
    const v = value === key ? k : batched(value);
    const batch = q.shape[axis]!;
    const tokens = k.shape[1 - axis]!;
    const memory = this.recall(batch, options);
    const { output, state } = this.attend(q, k, v, memory?.store ?? null, isUnbatched, options);
    return {
      output: isUnbatched ? output.squeeze(axis) : output,
      updates: this.remember(memory, state, tokens, options),
    };
  }

  /** The memory of nothing, for `batch` sequences at once. */
  initState(batch: number = 1): AttentionMemory {
    checkNumbers(owner, count, { batch });
    return emptyMemory(this.storeShape(batch), this.device);
  }

  /** @internal The shape of what is remembered. */
  storeShape(batch: number): Shape {
    const { headDim } = this;
    // What the original takes from its last query has the heads of the queries.
    const heads = this.compat === "reference" ? this.numHeads : this.kvHeads;
    return [batch, heads, headDim, headDim];
  }

  /** @internal Where the parameters live. */
  get device(): Device {
    return this.outProj.weight.device ?? getDevice();
  }

  /**
   * What is cached, or `null`: tensors with the numbers of now, to be read, or copied with
   * `forkState`, before the next call that updates the cache. Assigning a state replaces the cache
   * by a copy of it.
   */
  get kvCache(): AttentionMemory | null {
    const { cachedStore, cachedPosition } = this;
    if (cachedStore === null || cachedPosition === null) return null;
    return { store: cachedStore.detach(), position: cachedPosition.detach() };
  }

  /** Replaces the cache by a copy of a state, or clears it. */
  set kvCache(state: AttentionMemory | null) {
    if (state === null) {
      this.clearKvCache();
      return;
    }
    const { store, position } = checkMemory(
      owner,
      state,
      this.storeShape((state as Partial<AttentionMemory>).store?.shape[0] ?? 1),
    );
    this.cachedStore = new Buffer(store, { persistent: false });
    this.cachedPosition = new Buffer(position, { persistent: false });
  }

  /** Forgets what is cached. */
  clearKvCache(): void {
    this.cachedStore = null;
    this.cachedPosition = null;
  }

  /** What comes before the keys of a call. */
  private recall(batch: number, options: CumulativeCall): AttentionMemory | null {
    const { state = null, useKvCache = false, updateKvCache = false } = options;
    const shape = this.storeShape(batch);
    if (state !== null) {
      check(
        !useKvCache && !updateKvCache,
        "argument",
        () =>
          `${owner}: a state takes the place of the cache, got a state together with useKvCache or updateKvCache. Leave one of them out.`,
      );
      return checkMemory(owner, state, shape);
    }
    if (!useKvCache) return null;
    const { kvCache } = this;
    check(
      kvCache === null || sameShape(kvCache.store.shape, shape),
      "shape",
      () =>
        `${owner}: the cache must fit the batch, got one of shape ${formatShape(kvCache!.store.shape)} for ${formatShape(shape)}. Call clearKvCache() first.`,
    );
    return kvCache ?? emptyMemory(shape, this.device);
  }

  /** What is to be remembered of a call that began with `memory` and ended with the sum `store`. */
  private remember(
    memory: AttentionMemory | null,
    store: Tensor,
    tokens: number,
    { state = null, updateKvCache = false }: CumulativeCall,
  ): Update[] {
    if (state !== null) {
      return [
        [memory!.store, store],
        [memory!.position, memory!.position.add(tokens)],
      ];
    }
    if (!updateKvCache) return [];
    const start = memory?.position ?? startPosition(this.device);
    if (this.cachedStore === null || !sameShape(this.cachedStore.shape, store.shape)) {
      const empty = emptyMemory(store.shape, this.device);
      this.cachedStore = new Buffer(empty.store, { persistent: false });
      this.cachedPosition = new Buffer(empty.position, { persistent: false });
    }
    return [
      [this.cachedStore, store],
      [this.cachedPosition!, start.add(tokens)],
    ];
  }

  private attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    kvCache: Tensor | null,
    isUnbatched: boolean,
    options: CumulativeCall,
  ): { output: Tensor; state: Tensor } {
    const { mask = null, isCausal = false, srcKeyPaddingMask = null } = options;
    const isOriginal = this.compat === "reference";
    const padding = this.paddingOf(srcKeyPaddingMask, key, isUnbatched);
    const withoutPadding = (x: Tensor): Tensor => (padding ? x.maskedFill(padding, 0) : x);
    const { embedDim, kvHeads, headDim } = this;
    const sizes: ProjectionSizes = [embedDim, kvHeads * headDim, kvHeads * headDim];
    const projected = projectInputs([query, key, value], this, sizes);
    let [q, k, v] = projected.map((x) => x.unflatten(-1, [-1, headDim])) as [
      Tensor,
      Tensor,
      Tensor,
    ];
    if (isOriginal) k = withoutPadding(k);
    q = this.normQ?.forward(q) ?? q;
    k = this.normK?.forward(k) ?? k;
    v = this.normV?.forward(v) ?? v;
    if (!isOriginal) [k, v] = [withoutPadding(k), withoutPadding(v)];
    [q, k, v] = [this.toHeads(q), this.toHeads(k), this.toHeads(v)];

    const scale = this.scale ?? 1 / Math.sqrt(headDim);
    const drops = this.dropout.training && this.dropout.p > 0;
    const drop = (x: Tensor): Tensor => this.dropout.forward(x);
    if (drops && !isOriginal) q = drop(q);
    const result = cumulativeLinearAttn(q, k, v, {
      mask,
      isCausal,
      scale,
      kvCache,
      enableGqa: true,
      compat: this.compat,
      ...(drops && isOriginal && { dropout: drop }),
    });
    const read = this.readExtraKey(q, scale);
    const heads = read === null ? result.output : result.output.add(read);
    return { output: this.outProj.forward(this.joinHeads(heads)), state: result.state };
  }

  /** What queries read of the trained key and value. */
  private readExtraKey(q: Tensor, scale: number): Tensor | null {
    if (this.biasK === null || this.biasV === null) return null;
    const heads = (x: Tensor): Tensor => x.unflatten(-1, [this.kvHeads, this.headDim]);
    const k = heads(this.biasK);
    const v = heads(this.biasV);
    const key = this.toHeads(this.normK?.forward(k) ?? k);
    const value = this.toHeads(this.normV?.forward(v) ?? v);
    const product = key.transpose(-1, -2).matmul(value);
    const times = this.numHeads / this.kvHeads;
    return q.matmul(times === 1 ? product : product.repeatInterleave(times, 1)).mul(scale);
  }

  /** [batch, length, heads, d] or [length, batch, heads, d] as [batch, heads, length, d]. */
  private toHeads(x: Tensor): Tensor {
    return x.permute(this.batchFirst ? [0, 2, 1, 3] : [1, 2, 0, 3]);
  }

  /** [batch, heads, length, d] as [batch, length, size] or [length, batch, size]. */
  private joinHeads(x: Tensor): Tensor {
    return x.permute(this.batchFirst ? [0, 2, 1, 3] : [2, 0, 1, 3]).flatten(-2);
  }

  /** The padding mask as [batch, length, 1, 1] or [length, batch, 1, 1]. */
  private paddingOf(mask: Tensor | null, key: Tensor, isUnbatched: boolean): Tensor | null {
    if (mask === null) return null;
    const [first, second] = key.shape as [number, number];
    const [batch, keys] = this.batchFirst ? [first, second] : [second, first];
    const expected = isUnbatched ? [keys] : [batch, keys];
    check(
      mask.dtype === "bool",
      "dtype",
      () =>
        `${owner}: srcKeyPaddingMask must be bool, true for padding, got ${mask.dtype}. Compare it; a cumulative mask goes into mask.`,
    );
    check(
      sameShape(mask.shape, expected),
      "shape",
      () =>
        `${owner}: srcKeyPaddingMask must have the shape ${formatShape(expected)}, got ${formatShape(mask.shape)}. Give one element for each key.`,
    );
    const table = mask.reshape([batch, keys]);
    return (this.batchFirst ? table : table.t()).unsqueeze(-1).unsqueeze(-1);
  }

  private checkInputs(query: Tensor, key: Tensor, value: Tensor): void {
    const { rank } = query;
    const batchAxis = this.batchFirst ? 0 : 1;
    const lengthAxis = rank === 2 ? 0 : 1 - batchAxis;
    const axes = this.batchFirst ? "[batch, length, size]" : "[length, batch, size]";
    const fits =
      (rank === 2 || rank === 3) &&
      key.rank === rank &&
      value.rank === rank &&
      key.shape[lengthAxis] === value.shape[lengthAxis] &&
      (rank === 2 ||
        (key.shape[batchAxis] === query.shape[batchAxis] &&
          value.shape[batchAxis] === query.shape[batchAxis]));
    check(
      fits,
      "shape",
      () =>
        `${owner}: query, key and value must have the axes ${axes} or [length, size] and fit each other, got ${[query, key, value].map(({ shape }) => formatShape(shape)).join(", ")}. Reshape them, or set batchFirst.`,
    );
    const sizes = { query: this.embedDim, key: this.kdim, value: this.vdim };
    const tensors = { query, key, value };
    for (const name of ["query", "key", "value"] as const) {
      const { shape, dtype } = tensors[name];
      check(
        shape.at(-1) === sizes[name],
        "shape",
        () =>
          `${owner}: the last axis of the ${name} must be ${sizes[name]}, got ${formatShape(shape)}. Reshape it, or make the module for that size.`,
      );
      check(
        dtype === "float32" || dtype === "float16",
        "dtype",
        () => `${owner}: the ${name} must be float32 or float16, got ${dtype}. Cast it.`,
      );
    }
  }
}

function projection(rows: number, columns: number): Parameter {
  const weight = new Parameter(zeros([rows, columns]));
  init.xavierUniform(weight);
  return weight;
}

function extraRow(size: number): Parameter {
  const row = new Parameter(zeros([1, 1, size]));
  init.xavierNormal(row);
  return row;
}

function normOf(name: string, norm: HeadNorm | undefined, headDim: number): TensorModule | null {
  if (norm === undefined || norm === null || norm === false) return null;
  if (norm === true) return new LayerNorm(headDim);
  check(
    norm instanceof Module && typeof norm.forward === "function",
    "argument",
    () =>
      `${owner}: ${name} must be a module with forward(), or true for a LayerNorm, got ${typeof norm}. Extend Module.`,
  );
  return norm;
}
