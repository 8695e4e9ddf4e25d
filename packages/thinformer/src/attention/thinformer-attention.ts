/** The attention of the original: softmax over a coreset of the keys. */

import { attentionWeights, type Generator, type Tensor } from "@x/tensor";
import {
  check,
  checkHeads,
  checkNumbers,
  finite,
  positive,
  probability,
  wholeFrom,
} from "@x/tensor/checks";
import { Module } from "@x/tensor/nn";
import { isReference, type Compatibility } from "../compatibility.js";
import { checkDelta } from "../compression/thinning.js";
import type { HalvingDraws } from "../halving/draws.js";
import { attendToCoreset } from "./attend.js";

/** Options of {@link ThinformerAttention}. */
export interface ThinformerAttentionOptions {
  /** How many keys are attended to: of n, 2^g √n. A whole number from 0. Default 2. */
  readonly g?: number;
  /** Factor of the scores, above 0. Default 1 / √E. */
  readonly scale?: number | null;
  /** The probability with which halving may fail, above 0 and at most 1. Default 0.5. */
  readonly delta?: number;
  /** The probability with which weights are dropped in training. Default 0. */
  readonly dropout?: number;
  /** Whether heads come before the length: [batch, heads, T, E]. Default false: [batch, T, heads, E]. */
  readonly headsFirst?: boolean;
  /** Where random numbers come from; the default generator unless given. */
  readonly generator?: Generator | null;
  /** Reproduces the original where it contradicts itself; see {@link Compatibility}. */
  readonly compat?: Compatibility | null;
}

/** What {@link ThinformerAttention} is asked for besides queries, keys and values. */
export interface ThinformerCall {
  /** Bool [batch, S]: true where a key takes part, false for padding, which is never chosen. */
  readonly keyMask?: Tensor | null;
  /** Whether the weights of the chosen keys are returned. Default false. */
  readonly needWeights?: boolean;
  /** Whether the positions of the chosen keys are returned. Default false. */
  readonly needIndices?: boolean;
  /** Random numbers of each round of halving in place of those of the generator. */
  readonly draws?: readonly HalvingDraws[] | null;
}

/** The results of {@link ThinformerAttention}. */
export interface ThinformerResult {
  /** What the queries read: [batch, T, heads, D], or heads first as the inputs. */
  readonly output: Tensor;
  /** The weights of the chosen keys, [batch, heads, T, outputs], without dropout; `null` unless asked for. */
  readonly attention: Tensor | null;
  /**
   * Positions of the chosen keys, int32 [batch, outputs, heads], or heads first as the inputs; `null`
   * unless asked for. A sequence that has fewer because of its key mask has weights of 0 behind them.
   */
  readonly indices: Tensor | null;
  /** What each round of halving chose; `null` unless the positions were asked for. */
  readonly coresets: readonly Tensor[] | null;
}

const op = "ThinformerAttention";

/**
 * Softmax attention over a coreset of the keys: `softmax(scale · q k_Cᵀ) v_C`, where C are the
 * min(n, 2^g √n) keys of each head that {@link khCompress} chooses, n the largest power of four that is
 * not above the number of keys. It costs T · 2^g √n products in place of T · S, and the choice about
 * S · 4^(g+1) log₄ S. There are no parameters. Gradients flow through the chosen keys and values.
 *
 * @example
 * ```ts
 * const attention = new ThinformerAttention({ g: 1 });
 * const [query, key, value] = [randn([2, 50, 4, 8]), randn([2, 300, 4, 8]), randn([2, 300, 4, 6])];
 * const { output, attention: weights } = attention.forward(query, key, value, { needWeights: true });
 * console.log(output.shape, weights?.shape); // → [ 2, 50, 4, 6 ] [ 2, 4, 50, 32 ]
 * ```
 *
 * @see Carrell, Gong, Shetty, Dwivedi, Mackey: Low-Rank Thinning (2025)
 */
export class ThinformerAttention extends Module {
  /** How many keys are attended to: of n, 2^g √n. */
  readonly g: number;
  /** Factor of the scores; `null` for 1 / √E. */
  readonly scale: number | null;
  /** The probability with which halving may fail. */
  readonly delta: number;
  /** The probability with which weights are dropped in training. */
  readonly dropout: number;
  /** Whether heads come before the length. */
  readonly headsFirst: boolean;
  /** Whether random bits are those of the original. */
  readonly compat: Compatibility | null;
  private readonly generator: Generator | null;

  /** @throws XError `argument` if an option is out of range; a scale of 0 among them */
  constructor(options: ThinformerAttentionOptions = {}) {
    super();
    const { g = 2, scale = null, delta = 0.5, dropout = 0, headsFirst = false } = options;
    checkNumbers(op, wholeFrom(0), { g });
    if (scale !== null) {
      checkNumbers(op, finite, { scale });
      checkNumbers(op, positive, { scale });
    }
    checkDelta(op, delta);
    checkNumbers(op, probability, { dropout });
    this.g = g;
    this.scale = scale;
    this.delta = delta;
    this.dropout = dropout;
    this.headsFirst = headsFirst;
    this.generator = options.generator ?? null;
    this.compat = isReference(op, options.compat) ? "reference" : null;
  }

  /**
   * The attention of queries over keys and values.
   *
   * @param query [batch, T, heads, E]
   * @param key [batch, S, heads, E]; fewer heads than queries have are shared among consecutive ones
   * @param value [batch, S, heads, D]
   * @throws XError `shape` if the tensors do not fit each other; `argument` if draws are not for each
   * round
   */
  forward(query: Tensor, key: Tensor, value: Tensor, call: ThinformerCall = {}): ThinformerResult {
    const { keyMask = null, needWeights = false, needIndices = false, draws = null } = call;
    check(
      [query, key, value].every(({ rank }) => rank === 4),
      "shape",
      () =>
        `${op}: queries, keys and values must have four axes, got ${[query, key, value].map(({ rank }) => rank).join(", ")}. Reshape them.`,
    );
    const turn = (x: Tensor): Tensor => (this.headsFirst ? x : x.transpose(1, 2));
    const [q, k, v] = [turn(query), turn(key), turn(value)];
    checkHeads(op, q, k, v);
    const scale = this.scale ?? 1 / Math.sqrt(q.shape[3]!);
    const { g, delta, compat, generator } = this;
    const attended = attendToCoreset(op, q, k, v, {
      ...{ g, delta, compat, scale, keyMask, draws },
      ...(generator && { generator }),
      dropout: this.training ? this.dropout : 0,
    });
    const { coreset, mask } = attended;
    const weights = (): Tensor =>
      attentionWeights(q, attended.key, { scale, mask, enableGqa: true });
    return {
      output: turn(attended.output),
      attention: needWeights ? weights() : null,
      indices: needIndices
        ? this.headsFirst
          ? coreset.indices
          : coreset.indices.transpose(1, 2)
        : null,
      coresets: needIndices ? coreset.rounds : null,
    };
  }
}
