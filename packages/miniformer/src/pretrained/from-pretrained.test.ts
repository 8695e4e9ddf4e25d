/** Where checkpoints come from, and what is said of those that are not right. */

import { cp, mkdtemp, readFile, rm, unlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { memory, reference, type Tensor } from "@x/tensor";
import {
  checkpoint,
  jsonBlob,
  randomTensors,
  tensorBlob,
} from "../../test/published/checkpoints.js";
import { llamaShapes, type LlamaConfig } from "../../test/published/llama.js";
import type { PlainTensors } from "../../test/published/numbers.js";
import type { Transformer } from "../model/transformer.js";
import { fromPretrained, type Fetch, type LoadProgress } from "./index.js";

const config: LlamaConfig = {
  model_type: "llama",
  architectures: ["LlamaForCausalLM"],
  vocab_size: 12,
  hidden_size: 8,
  intermediate_size: 12,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  hidden_act: "silu",
  rms_norm_eps: 1e-5,
  max_position_embeddings: 16,
};
const tensors = randomTensors(llamaShapes(config));

/** The same checkpoint in two files with an index. */
function sharded(given: PlainTensors = tensors): Map<string, Blob> {
  const names = Object.keys(given);
  const map: Record<string, string> = {};
  const files = new Map([["config.json", jsonBlob(config)]]);
  for (const [i, part] of [names.slice(0, 9), names.slice(9)].entries()) {
    const file = `model-0000${i + 1}-of-00002.safetensors`;
    for (const name of part) map[name] = file;
    files.set(file, tensorBlob(Object.fromEntries(part.map((name) => [name, given[name]!]))));
  }
  return files.set("model.safetensors.index.json", jsonBlob({ weight_map: map }));
}

async function expectLoaded(model: Transformer): Promise<void> {
  const state = model.stateDict();
  const numbers = async (name: string): Promise<number[]> => [...(await state[name]!.data())];
  const stored = (name: string): number[] => Array.from(tensors[name]!.data);
  expect(await numbers("output_projection.weight")).toEqual(stored("lm_head.weight"));
  const gates = ["gate_proj", "up_proj"].flatMap((part) =>
    stored(`model.layers.1.mlp.${part}.weight`),
  );
  expect(await numbers("encoder.layers.1.feed_forward.w12.weight")).toEqual(gates);
}

/** Serves files as a web server does. */
function server(
  files: ReadonlyMap<string, Blob>,
  change: (response: Response) => Response = (r) => r,
) {
  const asked: string[] = [];
  const fetch: Fetch = async (url, { signal }) => {
    signal?.throwIfAborted();
    asked.push(url.href);
    const blob = files.get(url.pathname.split("/").at(-1)!);
    if (blob === undefined) return new Response("none", { status: 404 });
    return change(new Response(blob, { headers: { "content-length": String(blob.size) } }));
  };
  return { fetch, asked };
}

describe("sources", () => {
  test("files that a user chose, those of the outermost folder", async () => {
    const files = [...checkpoint(config, tensors)].map(([name, blob]) => new File([blob], name));
    const inner = new File(["{}"], "config.json");
    for (const file of files) Object.assign(file, { webkitRelativePath: `chosen/${file.name}` });
    Object.assign(inner, { webkitRelativePath: "chosen/old/config.json" });
    await expectLoaded((await fromPretrained([...files, inner])).model);
    await expectLoaded(
      (await fromPretrained(files.map((file) => new File([file], file.name)))).model,
    );
  });

  test("a URL, with progress", async () => {
    const { fetch, asked } = server(checkpoint(config, tensors));
    const progress: LoadProgress[] = [];
    const { model, tokenizer } = await fromPretrained("https://example.org/models/tiny?key=1", {
      fetch,
      onProgress: (state) => progress.push(state),
    });
    await expectLoaded(model);
    expect(tokenizer).toBeNull();
    expect(asked).toEqual(
      ["config.json", "tokenizer.json", "generation_config.json", "model.safetensors"].map(
        (name) => `https://example.org/models/tiny/${name}?key=1`,
      ),
    );
    const last = progress.at(-1)!;
    expect(last).toEqual({
      file: "model.safetensors",
      loadedBytes: last.totalBytes,
      totalBytes: checkpoint(config, tensors).get("model.safetensors")!.size,
    });
  });

  test("a URL of several files, which are fetched one after the other", async () => {
    const { fetch, asked } = server(sharded());
    await expectLoaded((await fromPretrained(new URL("https://example.org/a/"), { fetch })).model);
    expect(asked.map((url) => url.split("/").at(-1))).toEqual([
      ...["config.json", "tokenizer.json", "generation_config.json", "model.safetensors"],
      ...["model.safetensors.index.json"],
      ...["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"],
    ]);
  });

  test("servers that do not say how long files are, or compress them", async () => {
    const bare = server(checkpoint(config, tensors), ({ body }) => new Response(body));
    const sizes: (number | null)[] = [];
    const { model } = await fromPretrained("https://example.org/", {
      fetch: bare.fetch,
      onProgress: ({ totalBytes }) => sizes.push(totalBytes),
    });
    await expectLoaded(model);
    expect(new Set(sizes)).toEqual(new Set([null]));
    const packed = server(checkpoint(config, tensors), ({ body }) => {
      return new Response(body, { headers: { "content-encoding": "gzip", "content-length": "7" } });
    });
    await expectLoaded(
      (await fromPretrained("https://example.org/", { fetch: packed.fetch })).model,
    );
  });

  test("progress of files at hand, and an end to loading", async () => {
    const progress: LoadProgress[] = [];
    await fromPretrained(sharded(), { onProgress: (state) => progress.push(state) });
    const ends = progress.filter(({ loadedBytes, totalBytes }) => loadedBytes === totalBytes);
    expect(ends.map(({ file }) => file).toSorted()).toEqual([
      "model-00001-of-00002.safetensors",
      "model-00002-of-00002.safetensors",
    ]);
    const controller = new AbortController();
    const reason = new Error("enough");
    const onProgress = (): void => controller.abort(reason);
    const { signal } = controller;
    await expect(fromPretrained(sharded(), { signal, onProgress })).rejects.toBe(reason);
    const { fetch } = server(sharded());
    await expect(fromPretrained("https://example.org/", { fetch, signal })).rejects.toBe(reason);
  });

  test("another device", async () => {
    const device = reference();
    const before = memory().tensors;
    const { model } = await fromPretrained(checkpoint(config, tensors), { device });
    expect(new Set(model.parameters().map((parameter: Tensor) => parameter.device))).toEqual(
      new Set([device]),
    );
    await expectLoaded(model);
    expect(memory().tensors).toBe(before);
  });

  test("fields of the configuration that shall differ", async () => {
    const changes = { dropout: 0.25, eosTokenId: 3 };
    const loaded = await fromPretrained(checkpoint(config, tensors), { config: changes });
    expect(loaded.config).toMatchObject(changes);
    expect(loaded.generationConfig).toEqual({ stopTokens: [3] });
  });
});

describe("what does not fit is named", () => {
  const message = async (files: ReadonlyMap<string, Blob>, options = {}): Promise<string> => {
    const error: unknown = await fromPretrained(files, options).then(
      () => null,
      (caught: unknown) => caught,
    );
    expect(error).toMatchObject({ name: "XError", code: "checkpoint" });
    return (error as Error).message;
  };
  const without = (name: string): PlainTensors =>
    Object.fromEntries(Object.entries(tensors).filter(([key]) => key !== name));
  const norm = "model.layers.1.input_layernorm.weight";

  test("a missing, an unexpected and a misshapen tensor", async () => {
    expect(await message(checkpoint(config, without(norm)))).toBe(
      `fromPretrained: the tensors must be those of Transformer, got missing ${norm}. Check config.json and the files, or pass strict: false to load what fits.`,
    );
    const extra = { ...tensors, ...randomTensors({ "model.extra": [2] }) };
    expect(await message(checkpoint(config, extra))).toMatch(/got unexpected model\.extra\. /);
    const wrong = { ...tensors, ...randomTensors({ [norm]: [9] }) };
    expect(await message(checkpoint(config, wrong))).toMatch(
      `got not fitting ${norm} (shape [9] instead of [8]). `,
    );
    const gate = "model.layers.0.mlp.gate_proj.weight";
    expect(await message(checkpoint(config, without(gate)))).toMatch(`got missing ${gate}. `);
  });

  test("with strict: false they are reported, and the rest is loaded", async () => {
    const given = { ...without(norm), ...randomTensors({ extra: [2], "model.norm.weight": [3] }) };
    const { model, report } = await fromPretrained(checkpoint(config, given), { strict: false });
    expect(report).toEqual({
      missing: [norm],
      unexpected: ["extra"],
      unused: [],
      misfits: ["model.norm.weight (shape [3] instead of [8])"],
      missingFiles: [],
      notes: [],
    });
    await expectLoaded(model);
    const ones = new Float32Array(8).fill(1);
    expect(await model.stateDict()["encoder.norm.weight"]!.data()).toEqual(ones);
  });

  test("a misshapen tensor behind a URL", async () => {
    const wrong = { ...tensors, ...randomTensors({ "lm_head.weight": [3, 8] }) };
    const { fetch } = server(sharded(wrong));
    await expect(fromPretrained("https://example.org/", { fetch })).rejects.toThrow(
      "got not fitting lm_head.weight (shape [3, 8] instead of [12, 8]).",
    );
    const { report } = await fromPretrained("https://example.org/", { fetch, strict: false });
    expect(report.misfits).toHaveLength(1);
  });

  test("a missing file", async () => {
    const files = sharded();
    files.delete("model-00002-of-00002.safetensors");
    expect(await message(files)).toMatch("got missing files model-00002-of-00002.safetensors");
    const { report } = await fromPretrained(files, { strict: false });
    expect(report.missingFiles).toEqual(["model-00002-of-00002.safetensors"]);
    expect(report.missing.length).toBe(Object.keys(tensors).length - 9);
    const { fetch } = server(files);
    await expect(fromPretrained("https://example.org/", { fetch })).rejects.toThrow(
      "got missing files model-00002-of-00002.safetensors",
    );
  });

  test("no files of a checkpoint", async () => {
    expect(await message(new Map())).toBe(
      "fromPretrained: the given files must hold config.json, got none. Check that it is the folder of a checkpoint.",
    );
    expect(await message(new Map([["config.json", jsonBlob(config)]]))).toMatch(
      /^fromPretrained: the given files must hold model\.safetensors or model\.safetensors\.index\.json, got neither\. /,
    );
    await expect(fromPretrained("/nowhere/at/all")).rejects.toThrow(
      'fromPretrained: the source must be a folder that exists, got "/nowhere/at/all". Check the path.',
    );
    // What a program without types may pass.
    await expect(fromPretrained(7 as unknown as string)).rejects.toMatchObject({
      code: "argument",
    });
  });

  test.each<[string, string | object, RegExp]>([
    [
      "config.json",
      "",
      /config\.json must hold an object of JSON, got an empty file\. Fetch it again\.$/,
    ],
    ["config.json", "<html>", /must hold an object of JSON, got text that begins with "<html>"/],
    ["generation_config.json", "[]", /generation_config\.json must hold an object/],
    [
      "model.safetensors.index.json",
      {},
      /must say for each tensor in which file it is, got no weight_map/,
    ],
    [
      "model.safetensors.index.json",
      { weight_map: { a: "../../secret.safetensors" } },
      /got "\.\.\/\.\.\/secret\.safetensors" for "a"/,
    ],
    [
      "model.safetensors.index.json",
      { weight_map: { a: "model-00001-of-00002.safetensors" } },
      /must hold the tensors that model\.safetensors\.index\.json says it holds, got one without "a"/,
    ],
  ])("%s that is damaged: %j", async (name, content, expected) => {
    const text = typeof content === "string" ? content : JSON.stringify(content);
    expect(await message(sharded().set(name, new Blob([text])))).toMatch(expected);
  });

  test.each<[object, RegExp]>([
    [
      { model_type: "mamba" },
      /"model_type" one of miniformer, gpt2, llama, .*, got "mamba"\. Choose a checkpoint/,
    ],
    [{ model_type: undefined }, /"model_type" one of .*, got null\./],
    [
      { hidden_size: "8" },
      /must give "hidden_size" as a whole number above 0, got "8"\. Check the file\.$/,
    ],
    [{ vocab_size: undefined }, /must give "vocab_size" as a whole number above 0, got null\./],
    [{ hidden_act: "tanh" }, /must name one of the functions .*, got "tanh" for "hidden_act"\./],
    [
      { rope_scaling: { type: "longrope" } },
      /rotary positions of the type default, .*, got "longrope"\./,
    ],
    [
      { rope_scaling: { type: "linear" } },
      /must give "factor" for rotary positions of the type "linear", got none\./,
    ],
    [
      { rope_parameters: { full_attention: {} } },
      /must give all layers the same "rope_parameters"/,
    ],
    [
      { hidden_size: 9 },
      /must give "head_dim" where "hidden_size" is no multiple of "num_attention_heads", got 9 and 2\./,
    ],
    [
      { model_type: "qwen2", layer_types: ["full_attention"] },
      /must give "layer_types" for each of 2 layers, got 1\./,
    ],
    [
      { model_type: "bert", is_decoder: true },
      /must not ask for a decoder, got true for "is_decoder"\./,
    ],
    [
      { model_type: "bert", position_embedding_type: "relative_key" },
      /must not ask for positions relative to each other, got "relative_key"/,
    ],
    [{ model_type: "gpt2", add_cross_attention: true }, /must not ask for attention to an encoder/],
  ])("config.json that asks for what is not there: %j", async (changes, expected) => {
    expect(await message(checkpoint({ ...config, ...changes }, tensors))).toMatch(expected);
  });

  test("a server that fails, and a connection that ends early", async () => {
    const failing: Fetch = async () => new Response("no", { status: 500 });
    await expect(fromPretrained("https://example.org/a", { fetch: failing })).rejects.toThrow(
      'fromPretrained: https://example.org/a/config.json could not be fetched, got "status 500". Check the address and the connection.',
    );
    const { fetch } = server(checkpoint(config, tensors), (response) => {
      const { headers } = response;
      if (Number(headers.get("content-length")) < 1000) return response;
      return new Response("short", { headers });
    });
    await expect(fromPretrained("https://example.org/a", { fetch })).rejects.toThrow(
      /model\.safetensors must have \d+ bytes, got 5: the connection ended early\. Load again\./,
    );
  });
});

test("tokens that the vocabulary does not have are left out, and those of generation count", async () => {
  const files = checkpoint({ ...config, eos_token_id: 2, bos_token_id: 99 }, tensors);
  files.set("generation_config.json", jsonBlob({ eos_token_id: [3, 50], pad_token_id: 4 }));
  const loaded = await fromPretrained(files);
  expect(loaded.config).toMatchObject({ eosTokenId: 3, bosTokenId: null });
  expect(loaded.generationConfig).toEqual({ stopTokens: [3], padTokenId: 4 });
  expect(loaded.report.notes).toEqual([
    "eosTokenId is 50, but the vocabulary ends at 11: it was left out.",
    "bosTokenId is 99, but the vocabulary ends at 11: it was left out.",
  ]);
});

describe("a folder", () => {
  const original = fileURLToPath(
    new URL("../../../../goldens-hf/llama-tiny-mqa-tied-bf16-sharded", import.meta.url),
  );
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "pretrained-"));
    await cp(original, folder, { recursive: true });
  });
  afterAll(async () => rm(folder, { recursive: true }));

  test("with a file that is damaged or gone", async () => {
    await expect(fromPretrained(folder)).resolves.toBeDefined();
    const path = join(folder, "model-00002-of-00002.safetensors");
    const bytes = await readFile(path);
    await writeFile(path, bytes.subarray(0, 5000));
    await expect(fromPretrained(folder)).rejects.toMatchObject({ code: "checkpoint" });
    await unlink(path);
    await expect(fromPretrained(folder)).rejects.toThrow(
      "got missing files model-00002-of-00002.safetensors. ",
    );
  });
});
