/** Options of the attention with heads, and of its calls. */

import type { Tensor } from "@x/tensor";
import type { TensorModule } from "@x/tensor/nn";
import type { Compatibility } from "../attention/compatibility.js";
import type { CumulativeMask } from "../attention/mask.js";
import type { CumulativeState } from "../state/cumulative-state.js";

/** What normalises each head: a module of its own, or `true` for a `LayerNorm` of the head size. */
export type HeadNorm = TensorModule | boolean | null;

/** Options of `CumulativeLinearMultiheadAttentionKV`. */
export interface CumulativeMultiheadOptions {
  /** The probability of dropout in training: see `dropoutP` of `cumulativeLinearAttn`. Default 0. */
  readonly dropout?: number;
  /** Whether the projections have biases. Default true. */
  readonly bias?: boolean;
  /**
   * Whether a trained key and value is added to every sequence, which every query sees whatever the
   * mask; it is not part of what is cached. Default false.
   */
  readonly addBiasKv?: boolean;
  /** Size of the keys that come in. Default: `embedDim`. */
  readonly kdim?: number | null;
  /** Size of the values that come in. Default: `embedDim`. */
  readonly vdim?: number | null;
  /** Whether the batch is the first axis, not the second. Default false, as in PyTorch. */
  readonly batchFirst?: boolean;
  /** What normalises the queries, head by head. Default: nothing. */
  readonly normQ?: HeadNorm;
  /** What normalises the keys, head by head. Default: nothing. */
  readonly normK?: HeadNorm;
  /** What normalises the values, head by head. Default: nothing. */
  readonly normV?: HeadNorm;
  /** Factor of what is read. Default 1 / √(head size). */
  readonly scale?: number | null;
  /**
   * Heads of keys and values, a divisor of `numHeads`: consecutive query heads share one, and the
   * cache shrinks accordingly. Default: `numHeads`. The weight of the keys, and that of the values,
   * then has `kvHeads` · head size rows.
   */
  readonly kvHeads?: number;
  /** Reproduces the original where it contradicts itself; see {@link Compatibility}. */
  readonly compat?: Compatibility | null;
}

/** Options of a call of an attention, a layer or an encoder. */
export interface CumulativeCall {
  /**
   * The last key that each query sees: integers of shape [n] with 0 ≤ m_i < n_key, in any order.
   * Not together with `isCausal`.
   */
  readonly mask?: CumulativeMask | null;
  /** Bool [batch, keys], without batch [keys]: true for padding, which has no influence. */
  readonly srcKeyPaddingMask?: Tensor | null;
  /** Whether query i sees the keys up to i + n_key − n_query only. Default false. */
  readonly isCausal?: boolean;
  /** Whether what is cached comes before the keys. Default false. */
  readonly useKvCache?: boolean;
  /** Whether the sum that this call ends with is cached. Default false. */
  readonly updateKvCache?: boolean;
  /**
   * What comes before the keys, as a value: made by `initState`, updated in place by the call. Not
   * together with `useKvCache` and `updateKvCache`.
   */
  readonly state?: CumulativeState | null;
}
