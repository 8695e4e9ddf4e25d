/** Loaded models against plain code of the published ones, in kinds that no recording has. */

import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { fromData, type Tensor } from "@x/tensor";
import { openSafetensors } from "@x/tensor/safetensors";
import { expectClose } from "@x/tensor/testing";
import { generate } from "../../src/index.js";
import { fromPretrained } from "../../src/pretrained/index.js";
import { bertShapes, plainBert, type BertConfig } from "./bert.js";
import { checkpoint, randomTensors, type PlainConfig } from "./checkpoints.js";
import { gpt2Shapes, plainGpt2, type Gpt2Config } from "./gpt2.js";
import {
  llamaShapes,
  plainFrequencies,
  plainLlama,
  type LlamaConfig,
  type LlamaFacts,
} from "./llama.js";
import { activations, linear, type Matrix, type PlainTensors } from "./numbers.js";

const close = { relative: 1e-4, absolute: 0, relativeTo: "largest" } as const;
const ids = [3, 17, 5, 5, 28, 11, 0, 23, 9, 14, 2, 30, 7];

const tokens = (): Tensor => fromData(Int32Array.from(ids), [1, ids.length]);

/** Expects the results of a model for one sequence. */
async function expectRows(actual: Tensor, expected: Matrix): Promise<void> {
  const shape = [1, expected.length, expected[0]!.length];
  await expectClose(actual, fromData(Float32Array.from(expected.flat()), shape), close);
}

const recordings = new URL("../../../../goldens-hf/", import.meta.url);

async function recorded(
  name: string,
): Promise<{ config: PlainConfig; tensors: PlainTensors; expected: PlainTensors }> {
  const read = async (file: string): Promise<Buffer> =>
    readFile(fileURLToPath(new URL(`${name}/${file}`, recordings)));
  const all = async (file: string): Promise<PlainTensors> => {
    const opened = await openSafetensors(await read(file));
    const entries = opened.names.map(async (key) => {
      const { data } = await opened.data(key);
      return [key, { shape: opened.entry(key).shape, data }] as const;
    });
    return Object.fromEntries(await Promise.all(entries));
  };
  return {
    config: JSON.parse((await read("config.json")).toString()) as PlainConfig,
    tensors: await all("model.safetensors"),
    expected: await all("expected.safetensors"),
  };
}

/** Expects plain code to give the first row of what was recorded. */
function expectRecorded(actual: Matrix, { shape, data }: PlainTensors[string]): void {
  const [, length, size] = shape as [number, number, number];
  for (let i = 0; i < length; i++) {
    for (let j = 0; j < size; j++) expect(actual[i]![j]!).toBeCloseTo(data[i * size + j]!, 4);
  }
}

describe("the plain code computes what was recorded", () => {
  const first = (expected: PlainTensors): number[] => {
    const { shape, data } = expected["input.ids"]!;
    return Array.from(data).slice(0, shape[1]);
  };

  test("GPT-2", async () => {
    const { config, tensors, expected } = await recorded("gpt2-tiny");
    const logits = plainGpt2(config as Gpt2Config, tensors, first(expected));
    expectRecorded(logits, expected["output.logits"]!);
  });

  test("Llama", async () => {
    const { config, tensors, expected } = await recorded("llama-tiny-gqa");
    const llama = config as LlamaConfig;
    const frequencies = plainFrequencies(llama, 10000);
    const logits = plainLlama(llama, tensors, { frequencies }, first(expected));
    expectRecorded(logits, expected["output.logits"]!);
  });

  test("BERT", async () => {
    const { config, tensors, expected } = await recorded("bert-tiny");
    const row = first(expected);
    const hidden = plainBert(config as BertConfig, tensors, row, {
      mask: row.map(() => 1),
      types: row.map(() => 0),
    });
    expectRecorded(hidden, expected["output.last_hidden_state"]!);
  });
});

const llama: LlamaConfig = {
  model_type: "llama",
  architectures: ["LlamaForCausalLM"],
  vocab_size: 32,
  hidden_size: 24,
  intermediate_size: 36,
  num_hidden_layers: 3,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  hidden_act: "silu",
  rms_norm_eps: 1e-5,
  max_position_embeddings: 64,
};

const base: LlamaConfig = { ...llama, hidden_size: 32 };
const plain = plainFrequencies(base, 10000);

/** As `_compute_llama3_parameters` has it. */
function llama3(frequency: number): number {
  const [factor, low, high, original] = [8, 1, 4, 16];
  const wave = (2 * Math.PI) / frequency;
  if (wave < original / high) return frequency;
  if (wave > original / low) return frequency / factor;
  const smooth = (original / wave - low) / (high - low);
  return ((1 - smooth) * frequency) / factor + smooth * frequency;
}

/** As `_compute_yarn_parameters` has it. */
function yarn(frequency: number, i: number): number {
  const [factor, original, size, theta] = [4, 16, 8, 10000];
  const dimension = (turns: number): number =>
    (size * Math.log(original / (turns * 2 * Math.PI))) / (2 * Math.log(theta));
  const low = Math.max(Math.floor(dimension(32)), 0);
  const high = Math.min(Math.ceil(dimension(1)), size - 1);
  const ramp = Math.min(Math.max((i - low) / (high - low), 0), 1);
  return (frequency / factor) * ramp + frequency * (1 - ramp);
}

interface LlamaCase {
  readonly config: PlainConfig;
  readonly kinds?: Parameters<typeof llamaShapes>[1];
  readonly facts?: Partial<LlamaFacts>;
}

const llamas: readonly (readonly [string, LlamaCase])[] = [
  [
    "rope_theta at the top",
    { config: { rope_theta: 100 }, facts: { frequencies: plainFrequencies(base, 100) } },
  ],
  [
    "rope_parameters with a base",
    {
      config: { rope_parameters: { rope_type: "default", rope_theta: 500 } },
      facts: { frequencies: plainFrequencies(base, 500) },
    },
  ],
  ["biases of the attention", { config: { attention_bias: true }, kinds: { qkv: true, o: true } }],
  ["biases of the feed-forward part", { config: { mlp_bias: true }, kinds: { mlp: true } }],
  ["another function", { config: { hidden_act: "gelu" } }],
  ["a function by an approximation", { config: { hidden_act: "gelu_pytorch_tanh" } }],
  [
    "linear scaling, as older files write it",
    {
      config: { rope_theta: 10000, rope_scaling: { type: "linear", factor: 4 } },
      facts: { frequencies: plain.map((frequency) => frequency / 4) },
    },
  ],
  [
    "llama3 scaling",
    {
      config: {
        rope_theta: 10000,
        rope_scaling: {
          rope_type: "llama3",
          factor: 8,
          low_freq_factor: 1,
          high_freq_factor: 4,
          original_max_position_embeddings: 16,
        },
      },
      facts: { frequencies: plain.map(llama3) },
    },
  ],
  [
    "yarn scaling",
    {
      config: {
        rope_parameters: {
          rope_type: "yarn",
          rope_theta: 10000,
          factor: 4,
          original_max_position_embeddings: 16,
        },
      },
      facts: { frequencies: plain.map(yarn), length: 0.1 * Math.log(4) + 1 },
    },
  ],
  [
    "Mistral with a window",
    { config: { model_type: "mistral", sliding_window: 4 }, facts: { window: () => 4 } },
  ],
  [
    "Qwen 2 with biases",
    {
      config: { model_type: "qwen2", sliding_window: 4, use_sliding_window: false },
      kinds: { qkv: true },
    },
  ],
  [
    "Qwen 2 with windows in some layers",
    {
      config: {
        model_type: "qwen2",
        sliding_window: 3,
        use_sliding_window: true,
        layer_types: ["full_attention", "sliding_attention", "full_attention"],
      },
      kinds: { qkv: true },
      facts: { window: (layer) => (layer === 1 ? 3 : Infinity) },
    },
  ],
  [
    "Qwen 2 with windows from a layer on",
    {
      config: {
        model_type: "qwen2",
        sliding_window: 3,
        use_sliding_window: true,
        max_window_layers: 2,
      },
      kinds: { qkv: true },
      facts: { window: (layer) => (layer >= 2 ? 3 : Infinity) },
    },
  ],
  ["Qwen 3", { config: { model_type: "qwen3", head_dim: 8 }, kinds: { norms: true } }],
  ["a size of heads of its own", { config: { hidden_size: 24, head_dim: 8 } }],
  ["one key head", { config: { num_key_value_heads: 1 } }],
  ["no head", { config: { architectures: ["LlamaModel"] }, facts: { head: null } }],
  ["a tied head", { config: { tie_word_embeddings: true }, facts: { head: "model.embed_tokens" } }],
];

describe("Llama", () => {
  test.each(llamas)("%s", async (_, { config: changes, kinds, facts = {} }) => {
    const config = { ...base, ...changes };
    const tensors = { ...randomTensors(llamaShapes(config, kinds)) };
    if (facts.head !== undefined) delete tensors["lm_head.weight"];
    const { model, report } = await fromPretrained(checkpoint(config, tensors));
    const expected = plainLlama(config, tensors, { frequencies: plain, ...facts }, ids);
    expect(report.unexpected).toEqual([]);
    await expectRows(model.forward(tokens()), expected);
    // Whatever is special about the checkpoint can be seen in its results.
    if (facts.frequencies === undefined && facts.window === undefined) return;
    const without = plainLlama(config, tensors, { frequencies: plain }, ids);
    const difference = Math.max(...without.flat().map((x, i) => Math.abs(x - expected.flat()[i]!)));
    expect(difference).toBeGreaterThan(0.01);
  });

  test.each<[string, PlainConfig, LlamaFacts["window"]]>([
    ["all positions", {}, () => Infinity],
    ["a window", { model_type: "mistral", sliding_window: 4 }, () => 4],
  ])("it continues a text as the plain code does, seeing %s", async (_, changes, window) => {
    const config = { ...base, ...changes };
    const tensors = randomTensors(llamaShapes(config));
    const { model } = await fromPretrained(checkpoint(config, tensors));
    const text = ids.slice(0, 6);
    for (let i = 0; i < 12; i++) {
      const facts = { frequencies: plain, ...(window && { window }) };
      const logits = plainLlama(config, tensors, facts, text).at(-1)!;
      text.push(logits.indexOf(Math.max(...logits)));
    }
    const [tokens] = await generate(model, [ids.slice(0, 6)], { maxNewTokens: 12 }).tokens();
    expect(tokens).toEqual(text.slice(6));
  });

  test("names without the prefix", async () => {
    const tensors = randomTensors(llamaShapes(base));
    const bare = Object.fromEntries(
      Object.entries(tensors).map(([name, tensor]) => [name.replace("model.", ""), tensor]),
    );
    const { model } = await fromPretrained(checkpoint(base, bare));
    await expectRows(
      model.forward(tokens()),
      plainLlama(base, tensors, { frequencies: plain }, ids),
    );
  });

  test("what is said to be tied, but has other numbers, is believed", async () => {
    const config = { ...base, tie_word_embeddings: true };
    const tensors = randomTensors(llamaShapes(config));
    const { model, report } = await fromPretrained(checkpoint(config, tensors));
    expect(report.notes).toEqual([
      "config.json says that lm_head.weight is model.embed_tokens.weight, but they differ: both were loaded.",
    ]);
    await expectRows(
      model.forward(tokens()),
      plainLlama(base, tensors, { frequencies: plain }, ids),
    );
  });

  test("classes of a sequence", async () => {
    const config = { ...base, architectures: ["LlamaForSequenceClassification"] };
    const { "lm_head.weight": _, ...shapes } = llamaShapes(config);
    const tensors = randomTensors({ ...shapes, "score.weight": [5, 32] });
    const { model } = await fromPretrained(checkpoint(config, tensors));
    const all = plainLlama(config, tensors, { frequencies: plain, head: "score" }, ids);
    const keyMask = fromData(
      Uint8Array.from(ids, (_, i) => (i < 9 ? 1 : 0)),
      [1, ids.length],
      {
        dtype: "bool",
      },
    );
    await expectClose(
      model.forward(tokens(), { keyMask }),
      fromData(Float32Array.from(all[8]!), [1, 5]),
      close,
    );
  });
});

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
    const bare = Object.fromEntries(
      Object.entries(tensors).map(([name, tensor]) => [name.replace("transformer.", ""), tensor]),
    );
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

const bert: BertConfig = {
  model_type: "bert",
  architectures: ["BertModel"],
  vocab_size: 32,
  hidden_size: 24,
  intermediate_size: 40,
  num_hidden_layers: 2,
  num_attention_heads: 3,
  max_position_embeddings: 20,
  type_vocab_size: 2,
  layer_norm_eps: 1e-12,
  hidden_act: "gelu",
  pad_token_id: 0,
};

const types = ids.map((_, i) => (i > 6 ? 1 : 0));
const mask = ids.map((_, i) => (i < 10 ? 1 : 0));
const seen = { mask, types };

const call = (): { tokenTypes: Tensor; keyMask: Tensor } => ({
  tokenTypes: fromData(Int32Array.from(types), [1, types.length]),
  keyMask: fromData(Uint8Array.from(mask), [1, mask.length], { dtype: "bool" }),
});

const prefixed = (prefix: string, tensors: PlainTensors): PlainTensors =>
  Object.fromEntries(Object.entries(tensors).map(([name, tensor]) => [`${prefix}${name}`, tensor]));

describe("BERT", () => {
  const tensors = randomTensors(bertShapes(bert));
  const hidden = plainBert(bert, tensors, ids, seen);

  test.each<[string, PlainTensors]>([
    ["as published", tensors],
    ["names with the prefix", prefixed("bert.", tensors)],
    [
      "names of old files",
      Object.fromEntries(
        Object.entries(prefixed("bert.", tensors)).map(([name, tensor]) => [
          name
            .replace("LayerNorm.weight", "LayerNorm.gamma")
            .replace("LayerNorm.bias", "LayerNorm.beta"),
          tensor,
        ]),
      ),
    ],
  ])("%s", async (_, given) => {
    const { model } = await fromPretrained(checkpoint(bert, given));
    await expectRows(model.forward(tokens(), call()), hidden);
    const pooled = linear(tensors, "pooler.dense", [hidden[0]!])[0]!.map(Math.tanh);
    await expectClose(
      model.forwardPooled(tokens(), call()),
      fromData(Float32Array.from(pooled), [1, 24]),
      close,
    );
  });

  test("no pooler", async () => {
    const others = Object.fromEntries(
      Object.entries(tensors).filter(([name]) => !name.startsWith("pooler")),
    );
    const { model, config } = await fromPretrained(checkpoint(bert, others));
    expect(config.pooler).toBe(false);
    await expectRows(model.forward(tokens(), call()), hidden);
  });

  test("classes of a sequence", async () => {
    const config = { ...bert, architectures: ["BertForSequenceClassification"] };
    const head = randomTensors({ "classifier.weight": [4, 24], "classifier.bias": [4] });
    const { model, report } = await fromPretrained(
      checkpoint(config, { ...prefixed("bert.", tensors), ...head }),
    );
    expect(report.unused).toEqual([]);
    const pooled = linear(tensors, "pooler.dense", [hidden[0]!]).map((row) => row.map(Math.tanh));
    const expected = linear(head, "classifier", pooled);
    await expectClose(
      model.forward(tokens(), call()),
      fromData(Float32Array.from(expected[0]!), [1, 4]),
      close,
    );
  });

  test("classes of tokens", async () => {
    const config = { ...bert, architectures: ["BertForTokenClassification"] };
    const head = randomTensors({ "classifier.weight": [4, 24], "classifier.bias": [4] });
    const all = { ...prefixed("bert.", tensors), ...head };
    const { model } = await fromPretrained(checkpoint(config, all));
    await expectRows(model.forward(tokens(), call()), linear(head, "classifier", hidden));
  });

  test("masked language model", async () => {
    const config = { ...bert, architectures: ["BertForMaskedLM"] };
    const head = randomTensors({
      "cls.predictions.transform.dense.weight": [24, 24],
      "cls.predictions.transform.dense.bias": [24],
      "cls.predictions.transform.LayerNorm.weight": [24],
      "cls.predictions.transform.LayerNorm.bias": [24],
      "cls.predictions.bias": [32],
    });
    const { model } = await fromPretrained(
      checkpoint(config, { ...prefixed("bert.", tensors), ...head }),
    );
    const inner = linear(head, "cls.predictions.transform.dense", hidden);
    const normed = inner.map((row) => row.map(activations.gelu!));
    const decoder = {
      "a.weight": tensors["embeddings.word_embeddings.weight"]!,
      "a.bias": head["cls.predictions.bias"]!,
    };
    const { layerNorm } = await import("./numbers.js");
    const last = layerNorm(head, "cls.predictions.transform.LayerNorm", 1e-12, normed);
    await expectRows(model.forward(tokens(), call()), linear(decoder, "a", last));
  });

  test("a head that is not known is left out and named", async () => {
    const config = { ...bert, architectures: ["BertForQuestionAnswering"] };
    const head = randomTensors({ "qa_outputs.weight": [2, 24], "qa_outputs.bias": [2] });
    const all = { ...prefixed("bert.", tensors), ...head };
    const { model, report } = await fromPretrained(checkpoint(config, all));
    expect(report.unused.toSorted()).toEqual(["qa_outputs.bias", "qa_outputs.weight"]);
    await expectRows(model.forward(tokens(), call()), hidden);
  });

  test("RoBERTa counts positions from after the padding token", async () => {
    const config = {
      ...bert,
      model_type: "roberta",
      architectures: ["RobertaModel"],
      pad_token_id: 1,
    };
    const { model } = await fromPretrained(checkpoint(config, prefixed("roberta.", tensors)));
    const expected = plainBert(bert, tensors, ids, { ...seen, offset: 2 });
    await expectRows(model.forward(tokens(), call()), expected);
  });

  test("DistilBERT", async () => {
    const renames: [RegExp, string][] = [
      [/^encoder\.layer/, "distilbert.transformer.layer"],
      [/^embeddings/, "distilbert.embeddings"],
      [/attention\.self\.query/, "attention.q_lin"],
      [/attention\.self\.key/, "attention.k_lin"],
      [/attention\.self\.value/, "attention.v_lin"],
      [/attention\.output\.dense/, "attention.out_lin"],
      [/attention\.output\.LayerNorm/, "sa_layer_norm"],
      [/intermediate\.dense/, "ffn.lin1"],
      [/(\d)\.output\.dense/, "$1.ffn.lin2"],
      [/(\d)\.output\.LayerNorm/, "$1.output_layer_norm"],
    ];
    const renamed = Object.entries(tensors)
      .filter(([name]) => !/token_type|pooler/.test(name))
      .map(([name, tensor]) => [
        renames.reduce((now, [from, to]) => now.replace(from, to), name),
        tensor,
      ]);
    const config = {
      model_type: "distilbert",
      architectures: ["DistilBertModel"],
      ...{ vocab_size: 32, dim: 24, hidden_dim: 40, n_layers: 2, n_heads: 3 },
      ...{ max_position_embeddings: 20, activation: "gelu" },
    };
    const { model } = await fromPretrained(
      checkpoint(config, Object.fromEntries(renamed) as PlainTensors),
    );
    const without = {
      ...tensors,
      "embeddings.token_type_embeddings.weight": { shape: [2, 24], data: new Float32Array(48) },
    };
    const { keyMask } = call();
    await expectRows(model.forward(tokens(), { keyMask }), plainBert(bert, without, ids, seen));
  });
});
