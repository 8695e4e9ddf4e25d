/** Saving and loading again, wherever to: the same tensors, bit for bit. */

import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { manualSeed, randint, tensor } from "@x/tensor";
import { openSafetensors, openSafetensorsFile } from "@x/tensor/safetensors";
import type { Module } from "@x/tensor/nn";
import { bertShapes, type BertConfig } from "../../test/published/bert.js";
import { checkpoint, randomTensors } from "../../test/published/checkpoints.js";
import type { TransformerOptions } from "../config/fields.js";
import { TransformerConfig } from "../config/transformer-config.js";
import { Seq2SeqTransformer } from "../model/seq2seq.js";
import { Transformer } from "../model/transformer.js";
import { ByteTokenizer } from "../tokenizers/byte-tokenizer.js";
import { HuggingFaceTokenizer } from "../tokenizers/hugging-face-tokenizer.js";
import { fromPretrained, savePretrained, type DirectoryHandle } from "./index.js";

const sizes = { vocabSize: 11, dModel: 8, nHeads: 2, nLayers: 2, maxSeqLen: 16 };

function make(options: TransformerOptions = {}): Transformer {
  manualSeed(3);
  return new Transformer(new TransformerConfig({ ...sizes, outputDim: 11, ...options })).eval();
}

async function bitsOf(model: Module): Promise<Record<string, Buffer>> {
  const entries = Object.entries(model.stateDict()).map(async ([name, one]) => {
    const { buffer, byteOffset, byteLength } = await one.data();
    return [name, Buffer.from(buffer, byteOffset, byteLength)] as const;
  });
  return Object.fromEntries(await Promise.all(entries));
}

/** Expects the same tensors in both, without printing all their bits. */
async function expectSame(actual: Module, expected: Module): Promise<void> {
  const [a, b] = [await bitsOf(actual), await bitsOf(expected)];
  expect(Object.keys(a)).toEqual(Object.keys(b));
  expect(Object.keys(a).filter((name) => !a[name]!.equals(b[name]!))).toEqual([]);
}

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "pretrained-"));
});
afterAll(async () => rm(folder, { recursive: true }));

/** A directory handle whose files are blobs. */
class Directory implements DirectoryHandle {
  readonly kind = "directory";
  readonly name = "models";
  readonly files = new Map<string, Blob>();

  async getFileHandle(name: string, options: { create?: boolean } = {}) {
    if (!this.files.has(name) && options.create !== true) {
      throw Object.assign(new Error("no such file"), { name: "NotFoundError" });
    }
    const parts: BlobPart[] = [];
    return {
      getFile: async () => this.files.get(name)!,
      createWritable: async () => ({
        write: async (chunk: Uint8Array<ArrayBuffer> | string) => void parts.push(chunk),
        close: async () => void this.files.set(name, new Blob(parts)),
        abort: async () => undefined,
      }),
    };
  }

  async *keys() {
    yield* [...this.files.keys()];
  }

  async removeEntry(name: string) {
    this.files.delete(name);
  }
}

const configurations: readonly (readonly [string, TransformerOptions])[] = [
  ["a language model", {}],
  ["a tied one", { tieEmbeddings: true }],
  [
    "rotary, gated, grouped",
    { positions: "rotary", activation: "swiglu", nKvHeads: 1, norm: "rms", finalNorm: true },
  ],
  ["hidden states with a pooler", { outputDim: null, pooler: true, tokenTypes: 2, causal: false }],
  ["features", { vocabSize: null, inputDim: 3, outputDim: 2, pooling: "mean" }],
  ["windows by layer", { slidingWindow: [2, null], eosTokenId: [1, 2] }],
];

describe("what was saved is loaded", () => {
  test.each(configurations)("%s", async (_, options) => {
    const model = make(options);
    const files = new Map<string, Blob>();
    expect(await savePretrained(model, files)).toEqual(["config.json", "model.safetensors"]);
    const loaded = await fromPretrained(files);
    expect(loaded.report.missing).toEqual([]);
    expect(loaded.config.toJSON()).toEqual(model.config.toJSON());
    expect(loaded.model.training).toBe(false);
    await expectSame(loaded.model, model);
  });

  test("an encoder and decoder, which has to be asked for", async () => {
    const model = new Seq2SeqTransformer(new TransformerConfig({ ...sizes, outputDim: 11 }));
    const files = new Map<string, Blob>();
    await savePretrained(model, files);
    await expect(fromPretrained(files)).rejects.toMatchObject({
      code: "checkpoint",
      message:
        "fromPretrained: the checkpoint must be one of a Transformer, got one of a Seq2SeqTransformer. Pass make: (config) => new Seq2SeqTransformer(config).",
    });
    const loaded = await fromPretrained(files, {
      make: (config) => new Seq2SeqTransformer(config),
    });
    await expectSame(loaded.model, model);
  });

  test("a path with or without a slash, a URL of a file, a directory handle", async () => {
    const model = make();
    const path = join(folder, "places", "deep");
    await savePretrained(model, `${path}/`);
    await expectSame((await fromPretrained(path)).model, model);
    await expectSame((await fromPretrained(pathToFileURL(path))).model, model);
    await savePretrained(make({ nLayers: 1 }), pathToFileURL(path));
    expect((await fromPretrained(`${path}/`)).config.nLayers).toBe(1);
    expect(await readdir(join(folder, "places"))).toEqual(["deep"]);
    const directory = new Directory();
    await savePretrained(model, directory, { maxShardBytes: 3000 });
    await savePretrained(model, directory);
    expect([...directory.files.keys()]).toEqual(["config.json", "model.safetensors"]);
    await expectSame((await fromPretrained(directory)).model, model);
  });

  test("heads of encoders", async () => {
    const bert: BertConfig = {
      model_type: "bert",
      architectures: ["BertForMaskedLM"],
      ...{ vocab_size: 12, hidden_size: 8, intermediate_size: 12, num_hidden_layers: 1 },
      ...{ num_attention_heads: 2, max_position_embeddings: 10, type_vocab_size: 2 },
      ...{ layer_norm_eps: 1e-12, hidden_act: "gelu" },
    };
    const head = {
      "cls.predictions.transform.dense.weight": [8, 8],
      "cls.predictions.transform.dense.bias": [8],
      "cls.predictions.transform.LayerNorm.weight": [8],
      "cls.predictions.transform.LayerNorm.bias": [8],
      "cls.predictions.bias": [12],
    };
    const masked = await fromPretrained(
      checkpoint(bert, randomTensors({ ...bertShapes(bert), ...head })),
    );
    const classes = { "classifier.weight": [3, 8], "classifier.bias": [3] };
    const classifier = await fromPretrained(
      checkpoint(
        { ...bert, architectures: ["BertForSequenceClassification"] },
        randomTensors({ ...bertShapes(bert), ...classes }),
      ),
    );
    const tokens = randint(12, [2, 5]);
    for (const { model } of [masked, classifier]) {
      const files = new Map<string, Blob>();
      await savePretrained(model, files);
      const again = await fromPretrained(files);
      await expectSame(again.model, model);
      const [a, b] = [model.forward(tokens), again.model.forward(tokens)];
      expect(await a.sub(b).abs().max().item()).toBe(0);
      const json = JSON.parse(await files.get("config.json")!.text()) as { head: object };
      json.head = { ...json.head, activation: "cosine" };
      files.set("config.json", new Blob([JSON.stringify(json)]));
      await expect(fromPretrained(files)).rejects.toThrow(
        /config\.json must name an architecture and a head that this package knows, got .*"cosine"/,
      );
    }
  });
});

describe("types", () => {
  const numbers = [1, 1 / 3, -65504, 1e-7, 0, 123.456];

  test.each([
    ["float16", "F16", "float16"],
    ["bfloat16", "BF16", null],
    ["float32", "F32", "float32"],
  ] as const)("%s", async (dtype, stored, exact) => {
    const model = make();
    const name = "encoder.layers.0.norm1.bias";
    model.loadStateDict({ [name]: tensor([...numbers, 3, 4]) }, { strict: false });
    const files = new Map<string, Blob>();
    await savePretrained(model, files, { dtype });
    const file = await openSafetensors(files.get("model.safetensors")!);
    expect(new Set(file.names.map((name) => file.entry(name).dtype))).toEqual(new Set([stored]));
    const { model: loaded } = await fromPretrained(files);
    const result = await loaded.stateDict()[name]!.data();
    const rounded =
      exact === null
        ? [1, 0.333984375, -65536, 1.00117177e-7, 0, 123.5, 3, 4]
        : await tensor([...numbers, 3, 4])
            .cast(exact)
            .data();
    expect([...result].map(Math.fround)).toEqual([...rounded].map(Math.fround));
    // What is rounded once stays what it is.
    const again = new Map<string, Blob>();
    await savePretrained(loaded, again, { dtype });
    await expectSame((await fromPretrained(again)).model, loaded);
  });
});

describe("several files", () => {
  test("none is larger than asked for, and the index names all tensors", async () => {
    const model = make();
    const path = join(folder, "sharded");
    const names = await savePretrained(model, path, { maxShardBytes: 2000 });
    expect(names.at(-1)).toBe("model.safetensors.index.json");
    expect((await readdir(path)).toSorted()).toEqual(names.toSorted());
    const shards = names.filter((name) => name.endsWith(".safetensors"));
    expect(shards[0]).toBe(`model-00001-of-${String(shards.length).padStart(5, "0")}.safetensors`);
    const index = JSON.parse(await readFile(join(path, names.at(-1)!), "utf8")) as {
      metadata: { total_size: number };
      weight_map: Record<string, string>;
    };
    let total = 0;
    for (const shard of shards) {
      await using file = await openSafetensorsFile(join(path, shard));
      const bytes = file.names.reduce((sum, name) => sum + file.entry(name).byteLength, 0);
      expect(bytes).toBeLessThanOrEqual(2000);
      expect(file.names.every((name) => index.weight_map[name] === shard)).toBe(true);
      total += bytes;
    }
    expect(index.metadata.total_size).toBe(total);
    await expectSame((await fromPretrained(path)).model, model);
    // One file takes the place of several, and of what else is there nothing changes.
    await writeFile(join(path, "notes.txt"), "mine");
    await savePretrained(model, path);
    const left = await readdir(path);
    expect(left.toSorted()).toEqual(["config.json", "model.safetensors", "notes.txt"]);
    await expectSame((await fromPretrained(path)).model, model);
  });

  test("a failure leaves what was there", async () => {
    const path = join(folder, "kept");
    const model = make();
    await savePretrained(model, path);
    const broken = make();
    const [name] = broken.namedParameters().at(-1)!;
    await broken.stateDict()[name]!.data();
    broken.stateDict()[name]!.dispose();
    await expect(savePretrained(broken, path)).rejects.toMatchObject({ code: "disposed" });
    await expectSame((await fromPretrained(path)).model, model);
    expect((await readdir(folder)).filter((entry) => entry.includes(".tmp"))).toEqual([]);
  });

  test("a target that cannot be written to is named", async () => {
    const path = join(folder, "a-file");
    await writeFile(path, "text");
    await expect(savePretrained(make(), path)).rejects.toMatchObject({
      code: "checkpoint",
      message: expect.stringMatching(
        /^savePretrained: the files must be writable, got .* for ".*a-file"\. Check the path/,
      ) as string,
    });
    expect(await readFile(path, "utf8")).toBe("text");
    expect((await readdir(folder)).filter((entry) => entry.includes(".tmp"))).toEqual([]);
    await expect(savePretrained(make(), new URL("https://example.org/"))).rejects.toMatchObject({
      code: "argument",
    });
  });
});

describe("what goes with the model", () => {
  test("the tokenizer and the settings of generation", async () => {
    const files = new Map<string, Blob>();
    const tokenizer = new ByteTokenizer({ specialTokens: ["end"] });
    const generationConfig = { doSample: true, temperature: 0.7, topK: 5, stopTokens: [3, 4] };
    const names = await savePretrained(make(), files, { tokenizer, generationConfig });
    expect(names).toEqual([
      ...["config.json", "generation_config.json", "tokenizer.json", "model.safetensors"],
    ]);
    const loaded = await fromPretrained(files);
    expect(loaded.tokenizer).toEqual(tokenizer);
    expect(loaded.generationConfig).toEqual(generationConfig);
    expect(loaded.config.eosTokenId).toEqual([3, 4]);
    expect((await fromPretrained(files, { tokenizer: false })).tokenizer).toBeNull();
  });

  test("a published tokenizer, with its configuration", async () => {
    const published = fileURLToPath(new URL("../../../../goldens-hf/gpt2-tiny", import.meta.url));
    const { model, tokenizer } = await fromPretrained(published);
    const files = new Map<string, Blob>();
    await savePretrained(model, files, { tokenizer });
    const again = (await fromPretrained(files)).tokenizer;
    expect(again).toBeInstanceOf(HuggingFaceTokenizer);
    expect(again!.encode("weighted mean")).toEqual(tokenizer!.encode("weighted mean"));
  });

  test("a tokenizer that cannot be written down is refused before anything is written", async () => {
    const files = new Map<string, Blob>();
    const tokenizer = { encode: () => [], decode: () => "", vocabSize: 1 };
    await expect(savePretrained(make(), files, { tokenizer })).rejects.toMatchObject({
      code: "argument",
      message: expect.stringMatching(
        /^savePretrained: a tokenizer that is saved must have toJSON/,
      ) as string,
    });
    expect(files.size).toBe(0);
  });
});

describe("in the layout of the published checkpoint", () => {
  const all = ["bert-tiny", "gpt2-tiny", "llama-tiny-gqa", "qwen2-tiny-f16"];

  test.each([...all, "llama-tiny-mqa-tied-bf16-sharded"])("%s is what it was", async (name) => {
    const path = fileURLToPath(new URL(`../../../../goldens-hf/${name}`, import.meta.url));
    const { model } = await fromPretrained(path);
    const files = new Map<string, Blob>();
    const dtype = name.includes("f16") ? "float16" : "float32";
    await savePretrained(model, files, {
      layout: "huggingface",
      dtype: name.includes("bf16") ? "bfloat16" : dtype,
    });
    const written = await openSafetensors(files.get("model.safetensors")!);
    const found: string[] = [];
    for (const file of (await readdir(path)).filter((one) => /^model.*\.safetensors$/.test(one))) {
      await using original = await openSafetensorsFile(join(path, file));
      for (const tensorName of original.names) {
        found.push(tensorName);
        const { dtype: type, shape } = original.entry(tensorName);
        expect(written.entry(tensorName)).toMatchObject({ dtype: type, shape });
        const [a, b] = [await original.bytes(tensorName), await written.bytes(tensorName)];
        expect(Buffer.from(a).equals(Buffer.from(b)), tensorName).toBe(true);
      }
    }
    expect([...written.names].toSorted()).toEqual(found.toSorted());
    const config = JSON.parse(await files.get("config.json")!.text()) as Record<string, unknown>;
    expect(config).toEqual(JSON.parse(await readFile(join(path, "config.json"), "utf8")));
  });

  test("a model that came from nowhere is refused", async () => {
    await expect(
      savePretrained(make(), new Map(), { layout: "huggingface" }),
    ).rejects.toMatchObject({
      code: "argument",
      message:
        'savePretrained: the layout "huggingface" needs a model that was loaded from it, got Transformer that was not. Leave layout out.',
    });
  });
});

test("options out of their range are refused", async () => {
  await expect(savePretrained(make(), new Map(), { maxShardBytes: 0 })).rejects.toMatchObject({
    message: expect.stringMatching(
      /^savePretrained: maxShardBytes must be a whole number/,
    ) as string,
  });
  const dtype = "int8" as "float16";
  await expect(savePretrained(make(), new Map(), { dtype })).rejects.toMatchObject({
    message: expect.stringMatching(/^savePretrained: dtype must be one of "float32"/) as string,
  });
});
