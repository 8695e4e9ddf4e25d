/** Thinformer attention for models that take any attention, with a causal and streaming form. */

import { getDevice, ones, type Tensor } from "@x/tensor";
import {
  check,
  checkHeads,
  checkKeyMask,
  checkNumbers,
  count,
  finite,
  formatShape,
  positive,
  sameShape,
  wholeFrom,
} from "@x/tensor/checks";
import {
  knownLength,
  rememberLength,
  type AttentionMechanism,
  type MechanismOptions,
  type StateOptions,
  type StepOptions,
} from "@x/tensor/nn";
import { attendToCoreset } from "../attention/attend.js";
import { checkDelta, log4LargestPowerOfFour, thinningOf } from "../compression/thinning.js";
import type { HalvingDraws } from "../halving/draws.js";
import { startWith } from "./start.js";
import { emptyState, levelsOf, type ThinformerState } from "./state.js";
import { stepTokens } from "./step.js";
import { Tower } from "./tower.js";
import { attendWhole, compressWhole } from "./whole.js";

const owner = "ThinformerMechanism";

/** Options of {@link ThinformerMechanism}. */
export interface ThinformerMechanismOptions {
  /** How large coresets are: of n keys, 2^g √n. A whole number from 0. Default 2, or less for `length`. */
  readonly g?: number;
  /** Factor of the scores, above 0. Default 1 / √headDim. */
  readonly scale?: number | null;
  /** The probability with which halving may fail, above 0 and at most 1. Default 0.5. */
  readonly delta?: number;
  /**
   * Tokens of a block of the causal form, a power of four, at least 4^(g + 1). Within a block
   * attention is exact. Default 4^(g + 2), or what `length` chooses.
   */
  readonly blockSize?: number;
  /**
   * The length of the sequences that it is made for, a whole number from 1. It chooses blocks, of 4 to
   * 256 tokens, of which a sequence has at least sixteen where it can, so that most of the past is in
   * coresets: by default `blockSize` is then 4^p with p = ⌊log₄ length⌋ − 2, at least 1 and at most 4, and
   * `g` is p − 1, at most 2; a larger `g` that is given makes blocks of 4^(g + 1). Default `null`: blocks for long sequences.
   */
  readonly length?: number | null;
  /**
   * Which random numbers choose the keys, a whole number from 0 to 2³² − 1. The choice depends on the
   * keys, the values and the seed only. Default 0.
   */
  readonly seed?: number;
  /**
   * Whether steps of one token that complete no block have a plan of their own, as far as the length of
   * the state is known: generation is several times faster, and a second plan is compiled in the second
   * step. By default one plan serves all steps. Default false.
   */
  readonly twoPlans?: boolean;
}

/**
 * Attention over coresets of the keys, for models that take any attention.
 *
 * Without `isCausal` it is {@link ThinformerAttention}: every query sees the min(n, 2^g √n) keys that
 * KH-Compress chooses.
 *
 * With `isCausal` the sequence is cut into blocks. A query sees the keys of its block up to its own
 * place exactly; of every complete block KH-Compress keeps 2^g √blockSize keys, and of four coresets
 * that follow each other and are equally large, one more round of halving makes one, twice as large.
 * So the past of a query are the up to three coresets of every level, about 3 · 2^g √n keys; a key that
 * stands for w tokens has log w added to its scores. What comes later never has influence. Time is
 * that of n · (3 · 2^g √n + blockSize) products.
 *
 * The decode state holds those keys and values and the current block: for a capacity of n tokens about
 * 4 · 2^g √n + blockSize entries a head. Steps of any sizes give what one causal `forward` gives.
 *
 * @example
 * ```ts
 * const attention = new ThinformerMechanism({ g: 0, blockSize: 16 });
 * const [q, k, v] = [randn([1, 2, 100, 8]), randn([1, 2, 100, 8]), randn([1, 2, 100, 8])];
 * const whole = attention.forward(q, k, v, { isCausal: true });
 *
 * const state = attention.initState({ batch: 1, heads: 2, headDim: 8, capacity: 100 });
 * const parts = [[0, 70], [70, 100]].map(([from, to]) => {
 *   const part = (x: Tensor) => x.slice("...", [from!, to!], null);
 *   return attention.step(part(q), part(k), part(v), state);
 * });
 * const difference = await cat(parts, 2).sub(whole).abs().max().item();
 * console.log(difference < 1e-5, state.keys.shape); // → true [ 1, 2, 64, 8 ]
 * ```
 *
 * @see Carrell, Gong, Shetty, Dwivedi, Mackey: Low-Rank Thinning (2025)
 */
export class ThinformerMechanism implements AttentionMechanism<ThinformerState> {
  /** Factor of the scores; `null` for 1 / √headDim. */
  readonly scale: number | null;
  /**
   * Blocks begin at fixed places, padding counted: with padding before it a sequence is cut elsewhere,
   * and other keys stand for its past.
   */
  readonly dependsOnPadding: boolean = true;
  private readonly tower: Tower;

  /** @throws XError `argument` if an option is out of range */
  constructor(options: ThinformerMechanismOptions = {}) {
    const { length = null, scale = null, delta = 0.5, seed = 0, twoPlans = false } = options;
    if (length !== null) checkNumbers(owner, count, { length });
    const power = length === null ? 4 : blockPowerFor(length);
    const { g = Math.min(2, power - 1) } = options;
    checkNumbers(owner, wholeFrom(0), { g, seed });
    if (scale !== null) {
      checkNumbers(owner, finite, { scale });
      checkNumbers(owner, positive, { scale });
    }
    checkDelta(owner, delta);
    const { blockSize = 4 ** (length === null ? g + 2 : Math.max(power, g + 1)) } = options;
    checkNumbers(owner, wholeFrom(1), { blockSize });
    check(
      4 ** log4LargestPowerOfFour(blockSize) === blockSize && blockSize >= 4 ** (g + 1),
      "argument",
      () =>
        `${owner}: a block must be a power of four of at least ${4 ** (g + 1)} tokens, got ${blockSize}. Choose 4^b with b above g.`,
    );
    check(
      seed < 2 ** 32,
      "argument",
      () => `${owner}: the seed must be below 2^32, got ${seed}. Choose a smaller one.`,
    );
    this.scale = scale;
    this.tower = new Tower({ g, delta, blockSize, seed, twoPlans });
  }

  /**
   * The attention of a whole sequence.
   *
   * @throws XError `argument` if there are more queries than keys with `isCausal`
   */
  forward(query: Tensor, key: Tensor, value: Tensor, options: MechanismOptions = {}): Tensor {
    const { isCausal = false, keyMask = null, dropout = 0 } = options;
    checkHeads(owner, query, key, value);
    const [batch, heads, keys] = key.shape as [number, number, number];
    if (keyMask !== null) checkKeyMask(owner, keyMask, [batch, keys]);
    const scale = this.scaleOf(query);
    if (!isCausal) {
      const { g, delta } = this.tower.options;
      const draws = this.drawsOf(batch, heads, keys);
      const how = { g, delta, scale, dropout, keyMask, draws };
      return attendToCoreset(owner, query, key, value, how).output;
    }
    const missing = keys - query.shape[2]!;
    check(
      missing >= 0,
      "argument",
      () =>
        `${owner}: causal queries need a key each, got ${query.shape[2]!} queries and ${keys} keys. Leave queries out.`,
    );
    const root = Math.sqrt(scale);
    const takesPart = keyMask && keyMask.cast("float32");
    const [k, v] = withoutMasked(key.mul(root), value, keyMask);
    // The last query stands at the last key.
    const q = missing === 0 ? query.mul(root) : query.mul(root).pad([0, 0, missing, 0]);
    const inputs = { query: q, key: k, value: v, takesPart, dropout, generator: null };
    const output = attendWhole(this.tower, inputs, compressWhole(this.tower, inputs));
    return output.narrow(2, missing, query.shape[2]!);
  }

  /** The state before the first token, for up to `capacity` tokens. */
  initState(options: StateOptions): ThinformerState {
    const { batch, heads, headDim, valueDim = headDim, capacity } = options;
    const { device = getDevice() } = options;
    checkNumbers(owner, count, { batch, heads, headDim, valueDim, capacity });
    return emptyState(this.tower, [batch, heads, headDim, valueDim], capacity, device);
  }

  /**
   * The causal attention of the next tokens: what `forward` gives for them with `isCausal`.
   *
   * @throws XError `argument` if the state is full, as far as its length is at hand; of a longer
   * sequence than it was made for, the oldest tokens are forgotten
   */
  step(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    state: ThinformerState,
    options: StepOptions = {},
  ): Tensor {
    checkHeads(owner, query, key, value);
    const { keyMask = null } = options;
    const [batch, heads, tokens, headDim] = key.shape as [number, number, number, number];
    const entries = state.keys.shape[2]!;
    const levels = levelsOf(this.tower, entries);
    check(
      levels !== null &&
        query.shape[2] === tokens &&
        sameShape(state.keys.shape, [batch, heads, entries, headDim]) &&
        sameShape(state.values.shape, [batch, heads, entries, value.shape[3]!]),
      "shape",
      () =>
        `${owner}: a step needs a query for each key, and keys that fit the state ${formatShape(state.keys.shape)}, got queries ${formatShape(query.shape)} and keys ${formatShape(key.shape)}. Make the state for these sizes.`,
    );
    const capacity = 4 ** levels.length * this.tower.options.blockSize;
    const known = knownLength(state.length);
    check(
      (known ?? 0) + tokens <= capacity,
      "argument",
      () =>
        `${owner}: the state has room for ${capacity} tokens, got ${(known ?? 0) + tokens}. Make it with a larger capacity.`,
    );
    if (keyMask !== null) checkKeyMask(owner, keyMask, [batch, tokens]);
    const root = Math.sqrt(this.scaleOf(query));
    const [k, v] = withoutMasked(key.mul(root), value, keyMask);
    const takesPart = keyMask === null ? ones([batch, tokens]) : keyMask.cast("float32");
    const given = { query: query.mul(root), key: k, value: v, takesPart };
    // All tokens from the first on: the whole form, and the state that it leads to.
    if (known !== 0 || tokens === 1) return stepTokens(this.tower, levels, given, state);
    const output = startWith(this.tower, levels, given, state);
    rememberLength(state.length, tokens);
    return output;
  }

  private scaleOf(query: Tensor): number {
    return this.scale ?? 1 / Math.sqrt(query.shape[3]!);
  }

  /** The random numbers of all rounds where the whole sequence is compressed. */
  private drawsOf(batch: number, heads: number, keys: number): HalvingDraws[] {
    const { g } = this.tower.options;
    const { bucket, length, rounds } = thinningOf(owner, keys, log4LargestPowerOfFour(keys), g);
    return Array.from({ length: rounds }, (_, round) => {
      const [buckets, pairs] = [length / (bucket * 4 ** round), (bucket * 2 ** round) / 2];
      const uniforms = this.tower.uniforms([batch, heads], round, 0, buckets * pairs);
      return { uniforms: uniforms.reshape([batch, heads, buckets, pairs]).permute([0, 2, 1, 3]) };
    });
  }
}

/** The power of four that blocks are of, so that a sequence has sixteen or more; from 1 to 4. */
function blockPowerFor(length: number): number {
  return Math.min(4, Math.max(1, log4LargestPowerOfFour(length) - 2));
}

/** Keys and values with 0 where the mask, true for keys that take part, is false. */
function withoutMasked(key: Tensor, value: Tensor, mask: Tensor | null): [Tensor, Tensor] {
  if (mask === null) return [key, value];
  const hidden = mask.logicalNot().unsqueeze(1).unsqueeze(-1);
  return [key.maskedFill(hidden, 0), value.maskedFill(hidden, 0)];
}

/**
 * Thinformer attention as a mechanism for models that take any attention; see
 * {@link ThinformerMechanism}.
 *
 * @example
 * ```ts
 * const x = randn([1, 2, 300, 8]);
 * console.log(thinformerAttention({ g: 1 }).forward(x, x, x).shape); // → [ 1, 2, 300, 8 ]
 * ```
 */
export function thinformerAttention(options: ThinformerMechanismOptions = {}): ThinformerMechanism {
  return new ThinformerMechanism(options);
}
