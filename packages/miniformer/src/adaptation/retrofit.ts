/** Other attention in trained models. */

import { check } from "@x/tensor/checks";
import type { Module } from "@x/tensor/nn";
import type { AttentionSpec } from "../config/fields.js";
import { TransformerConfig } from "../config/transformer-config.js";
import { MultiHeadAttention } from "../model/attention.js";
import { makeNorm } from "../model/norm.js";
import { mechanismOf } from "../model/parts.js";

/** Options of {@link retrofit}. */
export interface RetrofitOptions {
  /** The layers that are changed, counted from 0. Default: all. */
  readonly layers?: readonly number[];
  /**
   * Whether queries and keys get norms, head by head, where they have none; they add `q_norm` and `k_norm`
   * to the names. Default: whether the attention is registered as needing them.
   */
  readonly qkNorm?: boolean;
}

/** A stack of layers, as far as it is needed here. */
interface Layers {
  readonly config: TransformerConfig;
  /** The self-attention of each layer, and its number. */
  readonly attentions: readonly (readonly [layer: number, attention: MultiHeadAttention])[];
}

/**
 * Puts another attention in the place of the softmax attention of a trained model: a registered one by its
 * name, with options or without, or a mechanism itself. Projections and their names stay, and so does
 * attention to a memory; the configuration says what was put in. Fine-tune the model afterwards.
 *
 * A mechanism that is given as an object is shared by the layers; one with a name is made for each.
 *
 * @param model a `Transformer`, or any model of its layers
 * @returns the attention modules that were changed, in the order of the layers
 * @throws XError `argument` if there is no such layer, a layer has another attention already or computes
 * its own, or the model's positions need scores: ALiBi, sliding windows, `compat`
 * @example
 * ```ts
 * const model = new Transformer(TransformerConfig.tiny({ vocabSize: 20, positions: "rotary" }));
 * const names = Object.keys(model.stateDict());
 * retrofit(model, new SoftmaxAttention(), { layers: [1] });
 * console.log(model.encoder.layers[1]!.selfAttention.mechanism instanceof SoftmaxAttention); // → true
 * console.log(Object.keys(model.stateDict()).length === names.length); // → true
 * console.log(model.forward(zeros([1, 4], { dtype: "int32" })).shape); // → [ 1, 4, 20 ]
 * ```
 *
 * @see Kasai et al.: Finetuning Pretrained Transformers into RNNs (2021)
 */
export function retrofit(
  model: Module,
  attention: AttentionSpec,
  options: RetrofitOptions = {},
): MultiHeadAttention[] {
  const stacks = stacksOf(model);
  check(
    stacks.length > 0,
    "argument",
    () =>
      `retrofit: the model must have layers with attention, got none in ${model.constructor.name}. Pass a Transformer.`,
  );
  const plans = stacks.map((stack) => planFor(stack, attention, options));
  const changed: MultiHeadAttention[] = [];
  for (const { before, after, parts } of plans) {
    for (const { module, mechanism, hasNorm } of parts) {
      module.mechanism = mechanism;
      if (hasNorm && module.qNorm === null) {
        module.qNorm = makeNorm(module.headDim, after);
        module.kNorm = makeNorm(module.headDim, after);
      }
      changed.push(module);
    }
    for (const owner of model.modules()) {
      if ((owner as { config?: unknown }).config === before)
        Object.assign(owner, { config: after });
    }
  }
  return changed;
}

/** The stacks of layers in a model. */
function stacksOf(model: Module): Layers[] {
  return model.modules().flatMap((owner) => {
    const { config, layers } = owner as { config?: unknown; layers?: unknown };
    if (!(config instanceof TransformerConfig) || !isIterable(layers)) return [];
    const attentions = [...layers].flatMap((layer, i) => {
      const { selfAttention } = layer as { selfAttention?: unknown };
      return selfAttention instanceof MultiHeadAttention ? [[i, selfAttention] as const] : [];
    });
    return [{ config, attentions }];
  });
}

function isIterable(value: unknown): value is Iterable<unknown> {
  return typeof value === "object" && value !== null && Symbol.iterator in value;
}

interface Plan {
  readonly before: TransformerConfig;
  readonly after: TransformerConfig;
  readonly parts: readonly {
    readonly module: MultiHeadAttention;
    readonly mechanism: MultiHeadAttention["mechanism"];
    readonly hasNorm: boolean;
  }[];
}

/** What is to be done to a stack: everything is checked and made before anything is changed. */
function planFor(
  { config, attentions }: Layers,
  attention: AttentionSpec,
  { layers = attentions.map(([layer]) => layer), qkNorm }: RetrofitOptions,
): Plan {
  for (const layer of layers) {
    check(
      attentions.some(([number]) => number === layer),
      "argument",
      () =>
        `retrofit: layers must be numbers from 0 to ${attentions.length - 1}, got ${layer}. Correct them.`,
    );
  }
  const chosen = attentions.filter(([layer]) => layers.includes(layer));
  for (const [layer, module] of chosen) checkReplaceable(config, layer, module);
  const specs = attentions.map(([layer]) =>
    layers.includes(layer) ? attention : config.attentionOf(layer),
  );
  const after = config.with({ attention: specs, ...(qkNorm !== undefined && { qkNorm }) });
  const parts = chosen.map(([layer, module]) => {
    const { mechanism, needsNorm } = mechanismOf(after, layer);
    return { module, mechanism, hasNorm: qkNorm ?? needsNorm };
  });
  return { before: config, after, parts };
}

function checkReplaceable(
  config: TransformerConfig,
  layer: number,
  module: MultiHeadAttention,
): void {
  const reason =
    module.mechanism !== null
      ? `${module.mechanism.constructor.name} in layer ${layer} already`
      : module.attend !== MultiHeadAttention.prototype.attend
        ? `${module.constructor.name}, which attends in its own way, in layer ${layer}`
        : config.positions === "alibi"
          ? 'positions: "alibi", which are added to scores'
          : module.slidingWindow !== null
            ? `a sliding window of ${module.slidingWindow} in layer ${layer}`
            : config.compat !== null
              ? `compat: "${config.compat}"`
              : null;
  check(
    reason === null,
    "argument",
    () =>
      `retrofit: the attention that is replaced must be that of softmax without anything that other attention cannot do, got ${reason}. Choose other layers, or a model without it.`,
  );
}
