/** Trained projections around SRF attention. */

import type { Device, Tensor } from "@x/tensor";
import { check, checkKeyMask, checkNumbers, count, finite, formatShapes } from "@x/tensor/checks";
import {
  Buffer,
  Module,
  Parameter,
  type MultiheadAttentionCall,
  type MultiheadAttentionResult,
} from "@x/tensor/nn";
import { FastAttention, type FastAttentionOptions } from "../attention/fast-attention.js";
import type { SrfState } from "../state/srf-state.js";
import {
  project,
  projectionNames,
  projectedSize,
  type Projected,
  type ProjectionNames,
  type Role,
} from "./projections.js";

/** Options of {@link retrofit}. */
export interface RetrofitOptions extends Omit<
  FastAttentionOptions,
  "headDim" | "causal" | "compat"
> {
  /** How many heads the queries have. Default: what the attention says (`numHeads` or `heads`). */
  readonly heads?: number;
  /** Size of a head. Default: that of the projected queries by the number of heads. */
  readonly headDim?: number;
  /** How many heads the keys and values have. Default: as many as their projection has room for. */
  readonly keyHeads?: number;
  /** The factor of the scores that the attention was trained with. Default 1 / √headDim. */
  readonly scoreScale?: number;
}

/** Options of a call of {@link RetrofittedAttention}. */
export interface RetrofittedCall extends Pick<
  MultiheadAttentionCall,
  "keyPaddingMask" | "attnMask" | "isCausal" | "needWeights"
> {
  /**
   * The state to go on from, and to update, with `isCausal`: the input is then the next tokens.
   * Default: that of the module.
   */
  readonly state?: SrfState | null;
}

const owner = "RetrofittedAttention";

/**
 * SRF attention with the projections of a softmax attention: what {@link retrofit} makes. It has the
 * parameters of the attention it was made of, the same tensors under the same names, and the random
 * vectors as the buffer `srf.projection_matrix` besides. It takes the calls of `MultiheadAttention`,
 * except for weights and masks of pairs, which are never computed.
 */
export class RetrofittedAttention extends Module {
  /** The attention with random features, one for all heads. */
  readonly srf: FastAttention;
  /** How many heads the queries have. */
  readonly numHeads: number;
  /** How many heads the keys and values have. */
  readonly keyHeads: number;
  /** Whether the batch is the first axis, not the second. */
  readonly batchFirst: boolean;
  /** The probability with which a key is dropped in training. */
  readonly dropout: number;
  /**
   * The state that causal calls go on from and update, for models that know no states; `null` where
   * they are to attend to whole sequences. Clones share it until they are given one of their own.
   */
  state: SrfState | null = null;
  private readonly names: ProjectionNames;
  private readonly valueDim: number;
  private readonly queryFactor: number;

  /** @throws XError `argument` if the attention has no projections or heads that are known */
  constructor(attention: Module, options: RetrofitOptions = {}) {
    super();
    // Parameters, buffers and modules, under their names: the projections and whatever they need.
    for (const [name, part] of Object.entries(attention)) {
      if (isPart(part) || part === null) (this as Record<string, unknown>)[name] = part;
    }
    this.names = projectionNames(attention);
    const found = attention as Projected;
    const { heads = found.numHeads ?? found.heads, scoreScale, ...others } = options;
    checkNumbers("retrofit", count, { heads });
    this.numHeads = heads as number;
    const sizeOf = (role: Role): number | null => projectedSize(attention, this.names, role);
    const headDim = others.headDim ?? divided(sizeOf("query"), this.numHeads);
    checkNumbers("retrofit", count, { headDim });
    this.keyHeads = others.keyHeads ?? divided(sizeOf("key"), headDim!) ?? this.numHeads;
    this.valueDim = divided(sizeOf("value"), this.keyHeads) ?? headDim!;
    checkNumbers("retrofit", count, { keyHeads: this.keyHeads, valueDim: this.valueDim });
    const { keyHeads: _, ...features } = others;
    this.srf = new FastAttention({ ...features, headDim: headDim! });
    if (scoreScale !== undefined) checkNumbers("retrofit", finite, { scoreScale });
    this.queryFactor = scoreScale === undefined ? 1 : scoreScale * Math.sqrt(headDim!);
    this.batchFirst = found.batchFirst !== false;
    const { dropout } = found;
    const p = typeof dropout === "number" ? dropout : (dropout as { p?: unknown } | null)?.p;
    this.dropout = typeof p === "number" ? p : 0;
    this.train(attention.training);
  }

  /**
   * Attends. Tensors have the shape `[length, batch, size]`, with `batchFirst`
   * `[batch, length, size]`, without batch `[length, size]`. Key and value default to the query.
   *
   * @throws XError `shape` or `dtype` if a tensor or mask does not fit, `argument` for a mask of pairs
   */
  forward(
    query: Tensor,
    key: Tensor = query,
    value: Tensor = key,
    options: RetrofittedCall = {},
  ): MultiheadAttentionResult {
    const { keyPaddingMask = null, attnMask = null, isCausal = false } = options;
    check(
      attnMask === null,
      "argument",
      () =>
        `${owner}: scores are never computed, so no mask of them can be applied, got an attnMask. Use isCausal or keyPaddingMask.`,
    );
    const isUnbatched = query.rank === 2;
    const arrange = (x: Tensor): Tensor =>
      isUnbatched ? x.unsqueeze(0) : this.batchFirst ? x : x.transpose(0, 1);
    check(
      (query.rank === 2 || query.rank === 3) &&
        key.rank === query.rank &&
        value.rank === query.rank,
      "shape",
      () =>
        `${owner}: query, key and value must have the axes ${this.batchFirst ? "[batch, length, size]" : "[length, batch, size]"} or [length, size], got ${formatShapes(query, key, value)}. Reshape them.`,
    );
    const [x, y, z] = [arrange(query), arrange(key), arrange(value)];
    const projected = (role: Role, input: Tensor, heads: number): Tensor =>
      project(this, this.names, role, input).unflatten(-1, [heads, -1]).transpose(1, 2);
    const q = projected("query", x, this.numHeads);
    const k = projected("key", y, this.keyHeads);
    const v = projected("value", z, this.keyHeads);
    const keyMask = keyPaddingMask && keptKeys(keyPaddingMask, isUnbatched, k);
    const attended = this.attend(
      this.queryFactor === 1 ? q : q.mul(this.queryFactor),
      k,
      v,
      keyMask,
      isCausal,
      isCausal ? (options.state ?? this.state) : null,
    );
    const joined = attended.transpose(1, 2).flatten(2);
    const output = project(this, this.names, "output", joined);
    return {
      output: isUnbatched ? output.squeeze(0) : this.batchFirst ? output : output.transpose(0, 1),
      weights: null,
    };
  }

  /** The state before the first token of a causal sequence. */
  initState(options: { batch: number; device?: Device }): SrfState {
    return this.srf.initState({ ...options, heads: this.keyHeads, valueDim: this.valueDim });
  }

  private attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    keyMask: Tensor | null,
    isCausal: boolean,
    state: SrfState | null,
  ): Tensor {
    if (state !== null) return this.srf.step(q, k, v, state, { keyMask });
    const dropout = this.training ? this.dropout : 0;
    return this.srf.forward(q, k, v, { isCausal, keyMask, dropout });
  }
}

function isPart(part: unknown): boolean {
  if (Array.isArray(part)) return part.some(isPart);
  return part instanceof Parameter || part instanceof Buffer || part instanceof Module;
}

const divided = (size: number | null, by: number): number | undefined =>
  size === null ? undefined : size / by;

/** The mask of keys that take part, from that of keys to ignore, [batch, keys] or [keys]. */
function keptKeys(padding: Tensor, isUnbatched: boolean, key: Tensor): Tensor {
  const mask = isUnbatched && padding.rank === 1 ? padding.unsqueeze(0) : padding;
  checkKeyMask(owner, mask, [key.shape[0]!, key.shape[2]!]);
  return mask.logicalNot();
}
