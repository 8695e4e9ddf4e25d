/** Loaded models of the layout of GPT-2 against plain code, in kinds that no recording has. */

import { describe, expect, test } from "vitest";
import { fromPretrained } from "../../src/pretrained/index.js";
import { checkpoint, randomTensors, type PlainConfig } from "./checkpoints.js";
import { expectRows, ids, recorded, tokens, withNames } from "./comparison.js";
import { gpt2Shapes, plainGpt2, type Gpt2Config } from "./gpt2.js";

const gpt2: Gpt2Config = {
  model_type: "gpt2",
  architectures: ["GPT2LMHeadModel"],
  vocab_size: 32,
  n_embd: 24,
  n_head: 3,
  n_layer: 3,
  n_positions: 20,
  n_inner: null,
  layer_norm_epsilon: 1e-5,
  activation_function: "gelu_new",
};

describe("GPT-2", () => {
  test("the plain code computes what was recorded", async () => {
    const recording = await recorded("gpt2-tiny");
    const logits = plainGpt2(recording.config as Gpt2Config, recording.tensors, recording.ids);
    recording.expect(logits, "output.logits");
  });

  test.each<[string, PlainConfig]>([
    ["as published", {}],
    ["another size within", { n_inner: 40 }],
    ["exact GELU", { activation_function: "gelu" }],
    ["ReLU", { activation_function: "relu" }],
    ["SiLU", { activation_function: "silu" }],
    ["quick GELU", { activation_function: "quick_gelu" }],
    ["GELU by its other name", { activation_function: "gelu_pytorch_tanh" }],
    ["scores that are not scaled", { scale_attn_weights: false }],
    ["scores scaled by the layer", { scale_attn_by_inverse_layer_idx: true }],
  ])("%s", async (_, changes) => {
    const config = { ...gpt2, ...changes };
    const tensors = randomTensors(gpt2Shapes(config));
    const { model } = await fromPretrained(checkpoint(config, tensors));
    await expectRows(model.forward(tokens()), plainGpt2(config, tensors, ids));
  });

  test("names without the prefix, masks of old files, and the head again", async () => {
    const tensors = randomTensors(gpt2Shapes(gpt2));
    const bare = withNames(tensors, (name) => name.replace("transformer.", ""));
    const extra = randomTensors({ "h.0.attn.bias": [1, 1, 20, 20], "h.0.attn.masked_bias": [] });
    const head = { "lm_head.weight": tensors["transformer.wte.weight"]! };
    const { model, report } = await fromPretrained(
      checkpoint(gpt2, { ...bare, ...extra, ...head }),
    );
    expect(report.unexpected).toEqual([]);
    await expectRows(model.forward(tokens()), plainGpt2(gpt2, tensors, ids));
  });

  test("only the head, where it is tied", async () => {
    const tensors = randomTensors(gpt2Shapes(gpt2));
    const { "transformer.wte.weight": embedding, ...others } = tensors;
    const { model } = await fromPretrained(
      checkpoint(gpt2, { ...others, "lm_head.weight": embedding! }),
    );
    await expectRows(model.forward(tokens()), plainGpt2(gpt2, tensors, ids));
  });

  test("a head of its own, and none", async () => {
    const config = { ...gpt2, tie_word_embeddings: false };
    const tensors = randomTensors({ ...gpt2Shapes(config), "lm_head.weight": [32, 24] });
    const untied = await fromPretrained(checkpoint(config, tensors));
    await expectRows(untied.model.forward(tokens()), plainGpt2(config, tensors, ids, "lm_head"));
    const baseModel = { ...gpt2, architectures: ["GPT2Model"] };
    const only = randomTensors(gpt2Shapes(config));
    const { model } = await fromPretrained(checkpoint(baseModel, only));
    await expectRows(model.forward(tokens()), plainGpt2(config, only, ids, null));
  });
});
