/** Loaded models of the layout of Llama against plain code, in kinds that no recording has. */

import { describe, expect, test } from "vitest";
import { generate } from "../../src/index.js";
import { fromPretrained } from "../../src/pretrained/index.js";
import { checkpoint, randomTensors, type PlainConfig } from "./checkpoints.js";
import { expectRow, expectRows, ids, maskOf, recorded, tokens, withNames } from "./comparison.js";
import {
  llamaShapes,
  plainFrequencies,
  plainLlama,
  type LlamaConfig,
  type LlamaFacts,
} from "./llama.js";

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
  test("the plain code computes what was recorded", async () => {
    const recording = await recorded("llama-tiny-gqa");
    const config = recording.config as LlamaConfig;
    const frequencies = plainFrequencies(config, 10000);
    const logits = plainLlama(config, recording.tensors, { frequencies }, recording.ids);
    recording.expect(logits, "output.logits");
  });

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
    const bare = withNames(tensors, (name) => name.replace("model.", ""));
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
    const keyMask = maskOf(ids.map((_, i) => (i < 9 ? 1 : 0)));
    await expectRow(model.forward(tokens(), { keyMask }), all[8]!);
  });
});
