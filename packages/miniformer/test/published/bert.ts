/** BERT and RoBERTa, as their published code computes them. */

import type { PlainConfig } from "./checkpoints.js";
import {
  activations,
  attendHeads,
  layerNorm,
  linear,
  matrix,
  sum,
  type Matrix,
  type PlainTensors,
} from "./numbers.js";

/** What the plain model needs of `config.json`. */
export interface BertConfig extends PlainConfig {
  readonly hidden_size: number;
  readonly intermediate_size: number;
  readonly vocab_size: number;
  readonly num_hidden_layers: number;
  readonly num_attention_heads: number;
  readonly max_position_embeddings: number;
  readonly type_vocab_size: number;
  readonly layer_norm_eps: number;
  readonly hidden_act: string;
}

/** The shapes of the tensors of the base model, with a pooler. */
export function bertShapes(config: BertConfig): Record<string, readonly number[]> {
  const { hidden_size: d, intermediate_size: f } = config;
  const shapes: Record<string, readonly number[]> = {
    "embeddings.word_embeddings.weight": [config.vocab_size, d],
    "embeddings.position_embeddings.weight": [config.max_position_embeddings, d],
    "embeddings.token_type_embeddings.weight": [config.type_vocab_size, d],
    "embeddings.LayerNorm.weight": [d],
    "embeddings.LayerNorm.bias": [d],
    "pooler.dense.weight": [d, d],
    "pooler.dense.bias": [d],
  };
  for (let i = 0; i < config.num_hidden_layers; i++) {
    const parts: [string, number[]][] = [
      ["attention.self.query", [d, d]],
      ["attention.self.key", [d, d]],
      ["attention.self.value", [d, d]],
      ["attention.output.dense", [d, d]],
      ["attention.output.LayerNorm", [d]],
      ["intermediate.dense", [f, d]],
      ["output.dense", [d, f]],
      ["output.LayerNorm", [d]],
    ];
    for (const [name, shape] of parts) {
      shapes[`encoder.layer.${i}.${name}.weight`] = shape;
      shapes[`encoder.layer.${i}.${name}.bias`] = [shape[0]!];
    }
  }
  return shapes;
}

/** Hidden states of one sequence. */
export function plainBert(
  config: BertConfig,
  tensors: PlainTensors,
  ids: readonly number[],
  {
    mask,
    types,
    offset = 0,
  }: { mask: readonly number[]; types: readonly number[]; offset?: number },
): Matrix {
  const { hidden_size: d, num_attention_heads: heads, layer_norm_eps: eps } = config;
  const size = d / heads;
  const table = (name: string): Matrix => matrix(tensors[`embeddings.${name}_embeddings.weight`]!);
  const words = table("word");
  const positions = table("position");
  const kinds = table("token_type");
  let x = layerNorm(
    tensors,
    "embeddings.LayerNorm",
    eps,
    ids.map((id, i) =>
      words[id]!.map((value, j) => value + positions[i + offset]![j]! + kinds[types[i]!]![j]!),
    ),
  );
  for (let layer = 0; layer < config.num_hidden_layers; layer++) {
    const name = `encoder.layer.${layer}`;
    const qkv = ["query", "key", "value"].map((part) =>
      linear(tensors, `${name}.attention.self.${part}`, x),
    ) as [Matrix, Matrix, Matrix];
    const attended = attendHeads(qkv, size, 1 / Math.sqrt(size), (_, j) => mask[j] === 1);
    const out = linear(tensors, `${name}.attention.output.dense`, attended);
    x = layerNorm(tensors, `${name}.attention.output.LayerNorm`, eps, sum(x, out));
    const act = activations[config.hidden_act]!;
    const inner = linear(tensors, `${name}.intermediate.dense`, x).map((row) => row.map(act));
    const second = linear(tensors, `${name}.output.dense`, inner);
    x = layerNorm(tensors, `${name}.output.LayerNorm`, eps, sum(x, second));
  }
  return x;
}
