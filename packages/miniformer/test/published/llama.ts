/** Llama, Mistral, Qwen 2 and Qwen 3, as their published code computes them. */

import type { PlainConfig } from "./checkpoints.js";
import {
  activations,
  attend,
  head,
  linear,
  matrix,
  rmsNorm,
  sideBySide,
  sum,
  vector,
  type Matrix,
  type PlainTensors,
} from "./numbers.js";

/** What the plain model needs of `config.json`. */
export interface LlamaConfig extends PlainConfig {
  readonly hidden_size: number;
  readonly intermediate_size: number;
  readonly vocab_size: number;
  readonly num_hidden_layers: number;
  readonly num_attention_heads: number;
  readonly num_key_value_heads: number;
  readonly head_dim?: number;
  readonly rms_norm_eps: number;
  readonly hidden_act: string;
  readonly max_position_embeddings: number;
}

/** What plain code is told besides the configuration. */
export interface LlamaFacts {
  /** The frequency of each pair. */
  readonly frequencies: readonly number[];
  /** By what rotated vectors are longer. Default 1. */
  readonly length?: number;
  /** How many last positions a layer sees. Default all. */
  readonly window?: (layer: number) => number;
  /** The head. Default `lm_head.weight`. */
  readonly head?: string | null;
}

/** The shapes of the tensors. */
export function llamaShapes(
  config: LlamaConfig,
  kinds: { qkv?: boolean; o?: boolean; mlp?: boolean; norms?: boolean } = {},
): Record<string, readonly number[]> {
  const { hidden_size: d, intermediate_size: f, vocab_size: v } = config;
  const { num_attention_heads: h, num_key_value_heads: kv } = config;
  const size = config.head_dim ?? d / h;
  const shapes: Record<string, readonly number[]> = {
    "model.embed_tokens.weight": [v, d],
    "model.norm.weight": [d],
    "lm_head.weight": [v, d],
  };
  for (let i = 0; i < config.num_hidden_layers; i++) {
    const add = (name: string, shape: readonly number[], bias: boolean | undefined): void => {
      shapes[`model.layers.${i}.${name}.weight`] = shape;
      if (bias === true) shapes[`model.layers.${i}.${name}.bias`] = [shape[0]!];
    };
    add("input_layernorm", [d], false);
    add("post_attention_layernorm", [d], false);
    add("self_attn.q_proj", [h * size, d], kinds.qkv);
    add("self_attn.k_proj", [kv * size, d], kinds.qkv);
    add("self_attn.v_proj", [kv * size, d], kinds.qkv);
    add("self_attn.o_proj", [d, h * size], kinds.o);
    if (kinds.norms === true) add("self_attn.q_norm", [size], false);
    if (kinds.norms === true) add("self_attn.k_norm", [size], false);
    add("mlp.gate_proj", [f, d], kinds.mlp);
    add("mlp.up_proj", [f, d], kinds.mlp);
    add("mlp.down_proj", [d, f], kinds.mlp);
  }
  return shapes;
}

/** Frequencies without scaling. */
export function plainFrequencies(config: LlamaConfig, theta: number): number[] {
  const size = config.head_dim ?? config.hidden_size / config.num_attention_heads;
  return Array.from({ length: size / 2 }, (_, i) => 1 / theta ** ((2 * i) / size));
}

/** The logits for one sequence, or hidden states without a head. */
export function plainLlama(
  config: LlamaConfig,
  tensors: PlainTensors,
  facts: LlamaFacts,
  ids: readonly number[],
): Matrix {
  const { num_attention_heads: heads, num_key_value_heads: keyHeads, rms_norm_eps: eps } = config;
  const size = config.head_dim ?? config.hidden_size / heads;
  const norm = (name: string, x: Matrix): Matrix =>
    rmsNorm(vector(tensors[`${name}.weight`]!), eps, x);
  const rotate = (x: Matrix): Matrix =>
    x.map((row, position) =>
      row.map((value, i) => {
        const half = size / 2;
        const angle = position * facts.frequencies[i % half]!;
        const other = i < half ? -row[i + half]! : row[i - half]!;
        return (value * Math.cos(angle) + other * Math.sin(angle)) * (facts.length ?? 1);
      }),
    );
  const embedding = matrix(tensors["model.embed_tokens.weight"]!);
  let x = ids.map((id) => embedding[id]!);
  for (let layer = 0; layer < config.num_hidden_layers; layer++) {
    const name = `model.layers.${layer}`;
    const inner = norm(`${name}.input_layernorm`, x);
    const [q, k, v] = ["q", "k", "v"].map((part) =>
      linear(tensors, `${name}.self_attn.${part}_proj`, inner),
    ) as [Matrix, Matrix, Matrix];
    const headNorm = (part: string, one: Matrix): Matrix =>
      tensors[`${name}.self_attn.${part}_norm.weight`] === undefined
        ? one
        : norm(`${name}.self_attn.${part}_norm`, one);
    const window = facts.window?.(layer) ?? Infinity;
    const attended = Array.from({ length: heads }, (_, h) => {
      const shared = Math.floor(h / (heads / keyHeads));
      return attend(
        rotate(headNorm("q", head(q, h, size))),
        rotate(headNorm("k", head(k, shared, size))),
        head(v, shared, size),
        1 / Math.sqrt(size),
        (i, j) => j <= i && i - j < window,
      );
    });
    x = sum(x, linear(tensors, `${name}.self_attn.o_proj`, sideBySide(attended)));
    const second = norm(`${name}.post_attention_layernorm`, x);
    const act = activations[config.hidden_act]!;
    const gate = linear(tensors, `${name}.mlp.gate_proj`, second);
    const up = linear(tensors, `${name}.mlp.up_proj`, second);
    const mixed = gate.map((row, i) => row.map((value, j) => act(value) * up[i]![j]!));
    x = sum(x, linear(tensors, `${name}.mlp.down_proj`, mixed));
  }
  const last = norm("model.norm", x);
  const name = facts.head === undefined ? "lm_head" : facts.head;
  return name === null ? last : linear(tensors, name, last);
}
