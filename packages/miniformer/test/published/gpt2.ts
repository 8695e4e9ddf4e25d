/** GPT-2, as its published code computes it. */

import type { PlainConfig } from "./checkpoints.js";
import {
  activations,
  attendHeads,
  layerNorm,
  linear,
  matrix,
  sum,
  transpose,
  type Matrix,
  type PlainTensor,
  type PlainTensors,
} from "./numbers.js";

/** What the plain model needs of `config.json`. */
export interface Gpt2Config extends PlainConfig {
  readonly n_embd: number;
  readonly n_head: number;
  readonly n_layer: number;
  readonly n_positions: number;
  readonly n_inner: number | null;
  readonly vocab_size: number;
  readonly layer_norm_epsilon: number;
  readonly activation_function: string;
  readonly scale_attn_weights?: boolean;
  readonly scale_attn_by_inverse_layer_idx?: boolean;
}

/** The shapes of the tensors, with the head of its own where there is one. */
export function gpt2Shapes(config: Gpt2Config): Record<string, readonly number[]> {
  const { n_embd: d, n_inner } = config;
  const f = n_inner ?? 4 * d;
  const shapes: Record<string, readonly number[]> = {
    "transformer.wte.weight": [config.vocab_size, d],
    "transformer.wpe.weight": [config.n_positions, d],
    "transformer.ln_f.weight": [d],
    "transformer.ln_f.bias": [d],
  };
  for (let i = 0; i < config.n_layer; i++) {
    const parts: [string, number[], number][] = [
      ["ln_1", [d], d],
      ["ln_2", [d], d],
      ["attn.c_attn", [d, 3 * d], 3 * d],
      ["attn.c_proj", [d, d], d],
      ["mlp.c_fc", [d, f], f],
      ["mlp.c_proj", [f, d], d],
    ];
    for (const [name, shape, bias] of parts) {
      shapes[`transformer.h.${i}.${name}.weight`] = shape;
      shapes[`transformer.h.${i}.${name}.bias`] = [bias];
    }
  }
  return shapes;
}

/** With `[in, out]` for the weight. */
function convolution(tensors: PlainTensors, name: string, x: Matrix): Matrix {
  const weight = transpose(matrix(tensors[`${name}.weight`]!));
  const flat: PlainTensor = { shape: [weight.length, weight[0]!.length], data: weight.flat() };
  return linear({ "a.weight": flat, "a.bias": tensors[`${name}.bias`]! }, "a", x);
}

/** The logits for one sequence, with the tensor `headName`; or hidden states. */
export function plainGpt2(
  config: Gpt2Config,
  tensors: PlainTensors,
  ids: readonly number[],
  headName: string | null = "transformer.wte",
): Matrix {
  const { n_embd: d, n_head: heads, layer_norm_epsilon: eps } = config;
  const size = d / heads;
  const tokens = matrix(tensors["transformer.wte.weight"]!);
  const positions = matrix(tensors["transformer.wpe.weight"]!);
  let x = ids.map((id, i) => tokens[id]!.map((value, j) => value + positions[i]![j]!));
  for (let layer = 0; layer < config.n_layer; layer++) {
    const name = `transformer.h.${layer}`;
    const qkv = convolution(
      tensors,
      `${name}.attn.c_attn`,
      layerNorm(tensors, `${name}.ln_1`, eps, x),
    );
    const part = (i: number): Matrix => qkv.map((row) => row.slice(i * d, (i + 1) * d));
    let scale = config.scale_attn_weights === false ? 1 : 1 / Math.sqrt(size);
    if (config.scale_attn_by_inverse_layer_idx === true) scale /= layer + 1;
    const attended = attendHeads([part(0), part(1), part(2)], size, scale, (i, j) => j <= i);
    x = sum(x, convolution(tensors, `${name}.attn.c_proj`, attended));
    const act = activations[config.activation_function]!;
    const inner = convolution(
      tensors,
      `${name}.mlp.c_fc`,
      layerNorm(tensors, `${name}.ln_2`, eps, x),
    );
    x = sum(
      x,
      convolution(
        tensors,
        `${name}.mlp.c_proj`,
        inner.map((row) => row.map(act)),
      ),
    );
  }
  const last = layerNorm(tensors, "transformer.ln_f", eps, x);
  return headName === null ? last : linear(tensors, headName, last);
}
