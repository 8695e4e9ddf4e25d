/** The encoder: layers in a row. */

import type { Tensor } from "@x/tensor";
import { Module, ModuleList, type LayerNorm } from "@x/tensor/nn";
import { check } from "../error.js";
import type { CumulativeMask } from "../attention/mask.js";
import type { CumulativeState } from "../attention/state.js";
import type { CumulativeTransformerEncoderLayerKV } from "./layer.js";

/** Options of {@link CumulativeTransformerEncoderKV}. */
export interface CumulativeEncoderOptions {
  /** How many layers there are. */
  readonly numLayers: number;
  /** A norm at the end. Default: none. */
  readonly norm?: LayerNorm | null;
}

/** Options of a call of {@link CumulativeTransformerEncoderKV}. */
export interface CumulativeEncoderCall {
  /** The last key that each query sees; see {@link CumulativeMask}. Not together with `isCausal`. */
  readonly mask?: CumulativeMask | null;
  /** Whether a position sees only those up to its own. Default false. */
  readonly isCausal?: boolean;
  /** Bool [batch, length], without batch [length]: true for padding, which takes no part. */
  readonly srcKeyPaddingMask?: Tensor | null;
  /** Whether to go on from the layers' own caches. Default false. */
  readonly useKvCache?: boolean;
  /** Whether to remember what was seen in the layers' own caches. Default false. */
  readonly updateKvCache?: boolean;
  /** A state to go on from and to update in place, instead of the layers' own caches. */
  readonly state?: EncoderState | null;
}

/**
 * The state of an encoder: for each layer i the tensors `layers.i.store` and `layers.i.position`.
 * Its size does not depend on how many tokens were seen. Save it with `saveSafetensors`, go on from
 * what `loadSafetensors` gives (as an object), copy it with `forkState` of `@x/tensor/nn`.
 */
export type EncoderState = Readonly<Record<string, Tensor>>;

/**
 * Encoder layers with cumulative linear attention in a row, and perhaps a norm at the end. Drop-in
 * for a PyTorch-style `TransformerEncoder`; decodes with a state of constant size.
 *
 * @example
 * ```ts
 * const layer = new CumulativeTransformerEncoderLayerKV({ dModel: 8, nHead: 2, batchFirst: true });
 * const encoder = new CumulativeTransformerEncoderKV(layer, { numLayers: 2 }).eval();
 * const x = randn([1, 5, 8]);
 * const whole = encoder.forward(x, { isCausal: true });
 *
 * const state = encoder.initState(1);
 * encoder.forward(x.narrow(1, 0, 4), { isCausal: true, state });
 * const last = encoder.forward(x.narrow(1, 4, 1), { isCausal: true, state });
 * const difference = await last.sub(whole.narrow(1, 4, 1)).abs().max().item();
 * console.log(difference < 1e-5); // → true
 * ```
 */
export class CumulativeTransformerEncoderKV extends Module {
  /** The layers in the order in which they are applied. */
  readonly layers: ModuleList<CumulativeTransformerEncoderLayerKV>;
  /** The norm at the end, or `null`. */
  readonly norm: LayerNorm | null;

  /**
   * @param layer the pattern: each layer starts as a copy of it
   * @throws XError `argument` if the number of layers is not a whole number of at least 1
   */
  constructor(layer: CumulativeTransformerEncoderLayerKV, options: CumulativeEncoderOptions) {
    super();
    const { numLayers, norm = null } = options;
    check(
      Number.isInteger(numLayers) && numLayers >= 1,
      "argument",
      () =>
        `CumulativeTransformerEncoderKV: numLayers must be a whole number of at least 1, got ${numLayers}. Correct it.`,
    );
    this.layers = new ModuleList(Array.from({ length: numLayers }, () => layer.clone()));
    this.norm = norm;
  }

  /** From the shape that the layers take to the same shape. */
  forward(src: Tensor, options: CumulativeEncoderCall = {}): Tensor {
    const { state = null, ...rest } = options;
    let x = src;
    let i = 0;
    for (const layer of this.layers) {
      x = layer.forward(x, { ...rest, state: state && layerState(state, i) });
      i++;
    }
    return this.norm === null ? x : this.norm.forward(x);
  }

  /** A state before the first token. */
  initState(batch: number): EncoderState {
    const entries: [string, Tensor][] = [];
    let i = 0;
    for (const layer of this.layers) {
      const { store, position } = layer.initState(batch);
      entries.push([`layers.${i}.store`, store], [`layers.${i}.position`, position]);
      i++;
    }
    return Object.fromEntries(entries);
  }

  /** Forgets what calls with `updateKvCache` remembered. */
  clearKvCache(): void {
    for (const layer of this.layers) layer.clearKvCache();
  }
}

function layerState(state: EncoderState, layer: number): CumulativeState {
  const store = state[`layers.${layer}.store`];
  const position = state[`layers.${layer}.position`];
  check(
    store !== undefined && position !== undefined,
    "argument",
    () =>
      `CumulativeTransformerEncoderKV: a state must have tensors for every layer, got none for layer ${layer}. Make it with initState() of this encoder.`,
  );
  return { store, position };
}
