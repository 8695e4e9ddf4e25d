/** Loaded encoders of the layout of BERT against plain code, in kinds that no recording has. */

import { describe, expect, test } from "vitest";
import { fromData, type Tensor } from "@x/tensor";
import { fromPretrained } from "../../src/pretrained/index.js";
import { bertShapes, plainBert, type BertConfig } from "./bert.js";
import { checkpoint, randomTensors } from "./checkpoints.js";
import { expectRow, expectRows, ids, maskOf, recorded, tokens, withNames } from "./comparison.js";
import { activations, layerNorm, linear, type PlainTensors } from "./numbers.js";

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
  keyMask: maskOf(mask),
});

const prefixed = (prefix: string, tensors: PlainTensors): PlainTensors =>
  withNames(tensors, (name) => `${prefix}${name}`);

const without = (tensors: PlainTensors, pattern: RegExp): PlainTensors =>
  Object.fromEntries(Object.entries(tensors).filter(([name]) => !pattern.test(name)));

describe("BERT", () => {
  test("the plain code computes what was recorded", async () => {
    const recording = await recorded("bert-tiny");
    const row = recording.ids;
    const states = plainBert(recording.config as BertConfig, recording.tensors, row, {
      mask: row.map(() => 1),
      types: row.map(() => 0),
    });
    recording.expect(states, "output.last_hidden_state");
  });

  const tensors = randomTensors(bertShapes(bert));
  const hidden = plainBert(bert, tensors, ids, seen);

  test.each<[string, PlainTensors]>([
    ["as published", tensors],
    ["names with the prefix", prefixed("bert.", tensors)],
    [
      "names of old files",
      withNames(prefixed("bert.", tensors), (name) =>
        name
          .replace("LayerNorm.weight", "LayerNorm.gamma")
          .replace("LayerNorm.bias", "LayerNorm.beta"),
      ),
    ],
  ])("%s", async (_, given) => {
    const { model } = await fromPretrained(checkpoint(bert, given));
    await expectRows(model.forward(tokens(), call()), hidden);
    const pooled = linear(tensors, "pooler.dense", [hidden[0]!])[0]!.map(Math.tanh);
    await expectRow(model.forwardPooled(tokens(), call()), pooled);
  });

  test("no pooler", async () => {
    const { model, config } = await fromPretrained(checkpoint(bert, without(tensors, /^pooler/)));
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
    await expectRow(model.forward(tokens(), call()), expected[0]!);
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
    const renamed = withNames(without(tensors, /token_type|pooler/), (name) =>
      renames.reduce((now, [from, to]) => now.replace(from, to), name),
    );
    const config = {
      model_type: "distilbert",
      architectures: ["DistilBertModel"],
      ...{ vocab_size: 32, dim: 24, hidden_dim: 40, n_layers: 2, n_heads: 3 },
      ...{ max_position_embeddings: 20, activation: "gelu" },
    };
    const { model } = await fromPretrained(checkpoint(config, renamed));
    const untyped = {
      ...tensors,
      "embeddings.token_type_embeddings.weight": { shape: [2, 24], data: new Float32Array(48) },
    };
    const { keyMask } = call();
    await expectRows(model.forward(tokens(), { keyMask }), plainBert(bert, untyped, ids, seen));
  });
});
