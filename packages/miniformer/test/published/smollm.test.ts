/** SmolLM: a Llama with all that its published configuration says, made small. */

import { expect, test } from "vitest";
import { fromData } from "@x/tensor";
import { expectClose } from "@x/tensor/testing";
import { fromPretrained } from "../../src/pretrained/index.js";
import { checkpoint, randomTensors } from "./checkpoints.js";
import { llamaShapes, plainFrequencies, plainLlama } from "./llama.js";

/** As SmolLM2-135M has it, but for the sizes: three query heads share one of three key heads. */
const config = {
  architectures: ["LlamaForCausalLM"],
  attention_bias: false,
  attention_dropout: 0.0,
  bos_token_id: 1,
  eos_token_id: 2,
  hidden_act: "silu",
  hidden_size: 36,
  initializer_range: 0.041666666666666664,
  intermediate_size: 96,
  is_llama_config: true,
  max_position_embeddings: 64,
  model_type: "llama",
  num_attention_heads: 9,
  num_hidden_layers: 2,
  num_key_value_heads: 3,
  pretraining_tp: 1,
  rms_norm_eps: 1e-5,
  rope_interleaved: false,
  rope_scaling: null,
  rope_theta: 100000,
  tie_word_embeddings: true,
  torch_dtype: "bfloat16",
  transformers_version: "4.40.1",
  use_cache: true,
  vocab_size: 48,
};

test("SmolLM is loaded, its head from the embeddings", async () => {
  const { "lm_head.weight": _, ...shapes } = llamaShapes(config);
  const tensors = randomTensors(shapes);
  const { model, report } = await fromPretrained(checkpoint(config, tensors));
  expect([report.missing, report.unexpected, report.notes]).toEqual([[], [], []]);
  const { config: own } = model;
  expect([own.nKvHeads, own.tieEmbeddings, own.bosTokenId, own.eosTokenId]).toEqual([
    3,
    true,
    1,
    2,
  ]);

  const ids = [1, 17, 5, 40, 28, 11, 0, 23];
  const frequencies = plainFrequencies(config, 100000);
  const expected = plainLlama(config, tensors, { frequencies, head: "model.embed_tokens" }, ids);
  const tokens = fromData(Int32Array.from(ids), [1, ids.length]);
  await expectClose(
    model.forward(tokens),
    fromData(Float32Array.from(expected.flat()), [1, ids.length, 48]),
    { relative: 1e-4, absolute: 0, relativeTo: "largest" },
  );
});
