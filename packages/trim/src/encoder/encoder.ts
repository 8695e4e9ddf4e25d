/** The encoder: layers in a row. */

import type { Tensor } from "@x/tensor";
import { check, checkNumbers, count } from "@x/tensor/checks";
import { Module, ModuleList, type TensorModule, type Update, withUpdates } from "@x/tensor/nn";
import { checkedMask, type CumulativeMask } from "../attention/mask.js";
import type { CumulativeCall } from "../multihead/options.js";
import {
  startPosition,
  type AttentionMemory,
  type CumulativeState,
} from "../state/cumulative-state.js";
import { CumulativeTransformerEncoderLayerKV } from "./layer.js";

const owner = "CumulativeTransformerEncoderKV";

/** Options of {@link CumulativeTransformerEncoderKV}. */
export interface CumulativeEncoderOptions {
  /** How many layers there are. */
  readonly numLayers: number;
  /** A norm at the end. Default: none. */
  readonly norm?: TensorModule | null;
}

/**
 * Layers of cumulative linear attention in a row, and perhaps a norm at the end. Parameters and their
 * names are those of `torch.nn.TransformerEncoder`, so checkpoints of the Python package fit.
 *
 * Trains on whole sequences in time and memory linear in their length, and decodes token by token
 * with a state of constant size: calls on the parts of a sequence, in any sizes, give what one causal
 * call on the whole gives.
 *
 * @example
 * ```ts
 * const layer = new CumulativeTransformerEncoderLayerKV({ dModel: 8, nHead: 2, batchFirst: true });
 * const model = new CumulativeTransformerEncoderKV(layer, { numLayers: 3 }).eval();
 * const x = randn([1, 5, 8]);
 * const whole = model.forward(x, { isCausal: true });
 *
 * const state = model.initState(1);
 * const prompt = model.forward(x.narrow(1, 0, 4), { isCausal: true, state });
 * const next = model.forward(x.narrow(1, 4, 1), { isCausal: true, state });
 * const difference = cat([prompt, next], 1).sub(whole).abs().max();
 * console.log((await difference.item()) < 1e-5, await state.position.item()); // → true 5
 * ```
 */
export class CumulativeTransformerEncoderKV extends Module {
  /** The layers in the order in which they are applied. */
  readonly layers: ModuleList<CumulativeTransformerEncoderLayerKV>;
  /** The norm at the end, or `null`. */
  readonly norm: TensorModule | null;

  /**
   * @param layer the pattern: each layer starts as a copy of it, with nothing cached
   * @throws XError `argument` if the number of layers is not a whole number of at least 1
   */
  constructor(layer: CumulativeTransformerEncoderLayerKV, options: CumulativeEncoderOptions) {
    super();
    const { numLayers, norm = null } = options;
    checkNumbers(owner, count, { numLayers });
    check(
      layer instanceof CumulativeTransformerEncoderLayerKV,
      "argument",
      () =>
        `${owner}: the layer must be a CumulativeTransformerEncoderLayerKV, got ${typeof layer}. Make one first.`,
    );
    check(
      norm === null || norm instanceof Module,
      "argument",
      () => `${owner}: norm must be a module, such as a LayerNorm, got ${typeof norm}. Make one.`,
    );
    const copies = Array.from({ length: numLayers }, () => layer.clone());
    for (const copy of copies) copy.clearKvCache();
    this.layers = new ModuleList(copies);
    this.norm = norm;
  }

  /** How many layers there are. */
  get numLayers(): number {
    return this.layers.length;
  }

  /**
   * From [length, batch, dModel], with `batchFirst` [batch, length, dModel], without batch
   * [length, dModel], to the same shape.
   *
   * With a state or `updateKvCache`, what is remembered changes when the result, or anything that
   * depends on it, is computed. Compute it before the next call where compiling again is to be
   * avoided: then no step after the second compiles anything or takes more memory.
   *
   * @throws XError `shape`, `dtype` or `argument` as the attention does
   */
  forward(src: Tensor, options: CumulativeCall = {}): Tensor {
    const { state = null } = options;
    // Numbers become a tensor once, not in every layer.
    const mask = options.mask && this.maskOf(src, options.mask);
    const updates: Update[] = [];
    let x = src;
    let i = 0;
    for (const layer of this.layers) {
      const memory = state && memoryOf(state, i++);
      const result = layer.advance(x, { ...options, mask: mask ?? null, state: memory });
      x = result.output;
      updates.push(...result.updates);
    }
    return withUpdates(this.norm === null ? x : this.norm.forward(x), updates);
  }

  /**
   * The memory of nothing, for `batch` sequences at once: `position` and `layers.0.store`,
   * `layers.1.store` …
   */
  initState(batch: number = 1): CumulativeState {
    const { device } = this.layers[0]!.selfAttn;
    return joined(
      [...this.layers].map((layer) => layer.initState(batch)),
      startPosition(device),
    );
  }

  /**
   * What is cached as a state, or `null`: tensors with the numbers of now, to be read, or copied with
   * `forkState`, before the next call that updates the cache. Assigning a state replaces the cache
   * by a copy of it.
   */
  get kvCache(): CumulativeState | null {
    const memories: AttentionMemory[] = [];
    for (const { kvCache } of this.layers) {
      if (kvCache === null) return null;
      memories.push(kvCache);
    }
    return joined(memories, memories[0]!.position);
  }

  /** Replaces the cache by a copy of a state, or clears it. */
  set kvCache(state: CumulativeState | null) {
    let i = 0;
    for (const layer of this.layers) layer.kvCache = state && memoryOf(state, i++);
  }

  private maskOf(src: Tensor, mask: CumulativeMask): Tensor {
    const axis = src.rank === 3 && this.layers[0]!.batchFirst ? 1 : 0;
    const length = src.shape[axis] ?? 0;
    return checkedMask(owner, mask, length, length);
  }

  /** Forgets what is cached in all layers. */
  clearKvCache(): void {
    for (const layer of this.layers) layer.clearKvCache();
  }
}

function storeName(layer: number): string {
  return `layers.${layer}.store`;
}

function joined(memories: readonly AttentionMemory[], position: Tensor): CumulativeState {
  const stores = memories.map(({ store }, i) => [storeName(i), store] as const);
  return { position, ...Object.fromEntries(stores) };
}

/** What one layer remembers. */
function memoryOf(state: CumulativeState, layer: number): AttentionMemory {
  const store = state[storeName(layer)];
  check(
    store !== undefined,
    "argument",
    () =>
      `${owner}: a state has a store for every layer, got no "${storeName(layer)}" among ${Object.keys(state).join(", ") || "none"}. Make it with initState() of a model with as many layers.`,
  );
  return { store, position: state.position };
}
