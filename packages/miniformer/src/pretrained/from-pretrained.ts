/** Loading checkpoints. */

import { getDevice, setDevice, type Device } from "@x/tensor";
import type { Module } from "@x/tensor/nn";
import type { TransformerOptions } from "../config/fields.js";
import { TransformerConfig } from "../config/transformer-config.js";
import { Transformer } from "../model/transformer.js";
import { loadTokenizer } from "../tokenizers/load-tokenizer.js";
import type { Tokenizer } from "../tokenizers/tokenizer.js";
import { ConfigFile, parseObject, type JsonObject } from "./config-file.js";
import type { Description } from "./families/family.js";
import { familyOf } from "./families/index.js";
import type { CheckpointFiles, ReadOptions } from "./files/checkpoint-files.js";
import { unloadable } from "./files/failure.js";
import type { Fetch } from "./files/remote.js";
import { openSource, type PretrainedSource } from "./files/source.js";
import { readGenerationConfig, type GenerationConfig } from "./generation-config.js";
import { attachHead } from "./heads.js";
import { rememberOrigin } from "./origin.js";
import { ownTranslation, ownType, readOwnConfig, type OwnConfig } from "./own-format.js";
import { loadWeights, type PretrainedReport } from "./weights/load-weights.js";
import { StoredTensors } from "./weights/stored-tensors.js";

/** Options of {@link fromPretrained}. */
export interface FromPretrainedOptions<Model extends Module = Transformer> extends ReadOptions {
  /**
   * Makes the model of its configuration, before it is given its tensors: for another class, such as
   * `(config) => new Seq2SeqTransformer(config)`, or to add adapters. Default: a `Transformer`.
   */
  readonly make?: (config: TransformerConfig) => Model;
  /** Fields of the configuration that shall differ, such as `dropout` for training. */
  readonly config?: TransformerOptions;
  /** Whether tensors that are missing, unexpected or of another shape are an error. Default true. */
  readonly strict?: boolean;
  /** Where the model shall live; the current device unless given. */
  readonly device?: Device;
  /** Whether the tokenizer is loaded, if the checkpoint has one. Default true. */
  readonly tokenizer?: boolean;
  /** Fetches files from URLs, for example with headers of its own. Default: `fetch`. */
  readonly fetch?: Fetch;
}

/** A checkpoint that was loaded. */
export interface Pretrained<Model extends Module = Transformer> {
  /** The model, set to inference: call `train()` before you train it. */
  readonly model: Model;
  /** What it is made of. */
  readonly config: TransformerConfig;
  /** Its tokenizer, or `null` where the checkpoint has none. */
  readonly tokenizer: Tokenizer | null;
  /** How its makers want text to be generated, as options of `generate`. */
  readonly generationConfig: GenerationConfig;
  /** What did not fit. */
  readonly report: PretrainedReport;
}

/**
 * Loads a model from a checkpoint: `config.json`, and `model.safetensors` or several such files with
 * `model.safetensors.index.json`. Tensors are read one at a time, and float16 and bfloat16 are
 * widened to float32. The checkpoint is one that {@link savePretrained} wrote, or a published one of
 * GPT-2, Llama, Mistral, Qwen 2, Qwen 3, BERT, RoBERTa or DistilBERT, as `model_type` says.
 *
 * @param source the path of a folder (in Node), the URL of one, a directory handle, the files that a
 * user chose, or a map from names to blobs
 * @throws XError `checkpoint` if a file is missing or damaged, asks for what the model cannot do, or
 * has other tensors than the model, which are named; `unsupported` if the tokenizer needs a package
 * that is not installed
 * @example
 * ```ts
 * import { Transformer, TransformerConfig } from "@x/miniformer";
 * import { fromPretrained, savePretrained } from "@x/miniformer/pretrained";
 *
 * const trained = new Transformer(TransformerConfig.tiny({ vocabSize: 100, outputDim: 100 }));
 * const files = new Map<string, Blob>();
 * await savePretrained(trained, files);
 *
 * const { model, config, report } = await fromPretrained(files);
 * console.log(model.parameters().length === trained.parameters().length); // → true
 * console.log(config.vocabSize, report.missing); // → 100 []
 * ```
 */
export async function fromPretrained(
  source: PretrainedSource,
  options?: FromPretrainedOptions,
): Promise<Pretrained>;
/** With `make`, which decides the class of the model. */
export async function fromPretrained<Model extends Module>(
  source: PretrainedSource,
  options: FromPretrainedOptions<Model> & Required<Pick<FromPretrainedOptions<Model>, "make">>,
): Promise<Pretrained<Model>>;
export async function fromPretrained(
  source: PretrainedSource,
  options: FromPretrainedOptions<Module> = {},
): Promise<Pretrained<Module>> {
  const files = await openSource(source, options.fetch);
  const json = await objectIn(files, "config.json", options);
  if (json === null) {
    throw unloadable(
      `${files.place} must hold config.json, got none. Check that it is the folder of a checkpoint.`,
    );
  }
  // What is wrong with small files is found before large ones are fetched.
  const tokenizer = options.tokenizer === false ? null : await tokenizerIn(files, options);
  const generation = (await objectIn(files, "generation_config.json", options)) ?? {};
  const stored = await StoredTensors.open(files, options);
  try {
    const { model, config, report } = await load(json, generation, stored, options);
    const { eosTokenId, padTokenId, vocabSize } = config;
    const generationConfig = {
      ...(eosTokenId !== null && { stopTokens: [eosTokenId].flat() }),
      ...(padTokenId !== null && { padTokenId }),
      ...readGenerationConfig(generation, vocabSize ?? 0),
    };
    return { model, config, tokenizer, generationConfig, report };
  } finally {
    await stored.close();
  }
}

async function objectIn(
  files: CheckpointFiles,
  name: string,
  options: ReadOptions,
): Promise<JsonObject | null> {
  const text = await files.text(name, options);
  return text === null ? null : parseObject(name, text);
}

async function tokenizerIn(
  files: CheckpointFiles,
  options: ReadOptions,
): Promise<Tokenizer | null> {
  const json = await objectIn(files, "tokenizer.json", options);
  if (json === null) return null;
  return loadTokenizer(json, (await objectIn(files, "tokenizer_config.json", options)) ?? {});
}

type Loaded = Pick<Pretrained<Module>, "model" | "config" | "report">;

async function load(
  json: JsonObject,
  generation: JsonObject,
  stored: StoredTensors,
  options: FromPretrainedOptions<Module>,
): Promise<Loaded> {
  const isOwn = json.model_type === ownType;
  const own = isOwn ? readOwnConfig(json) : null;
  const file = new ConfigFile(json);
  const described = own ?? (await familyOf(file).describe(file, stored));
  const { fields, notes } = withKnownTokens(described, generation);
  const config = new TransformerConfig({ ...fields, ...options.config });
  const model = makeOn(options.device ?? getDevice(), () => {
    const made = makeModel(config, own, options.make);
    if (described.head !== null) attachHead(made, config, described.head);
    return made.eval();
  });
  const translation = isOwn ? ownTranslation(model) : (described as Description);
  const report = await loadWeights(model, translation, stored, {
    strict: options.strict ?? true,
    device: options.device,
    notes: [...notes, ...(isOwn ? [] : (described as Description).notes)],
  });
  if (!isOwn) rememberOrigin(model, { json, translation });
  return { model, config, report };
}

function makeModel(
  config: TransformerConfig,
  own: OwnConfig | null,
  make: FromPretrainedOptions<Module>["make"],
): Module {
  if (make !== undefined) return make(config);
  if (own !== null && own.architecture !== "Transformer") {
    throw unloadable(
      `the checkpoint must be one of a Transformer, got one of a ${own.architecture}. Pass make: (config) => new ${own.architecture}(config).`,
    );
  }
  return new Transformer(config);
}

/** What `make` makes, with its tensors on a device. */
function makeOn<T>(device: Device, make: () => T): T {
  const before = getDevice();
  setDevice(device);
  try {
    return make();
  } finally {
    setDevice(before);
  }
}

/** Options without tokens that the vocabulary does not have, and with the ends that generation knows. */
function withKnownTokens(
  { options }: Pick<Description, "options">,
  generation: JsonObject,
): { readonly fields: TransformerOptions; readonly notes: readonly string[] } {
  const { vocabSize = null } = options;
  const said = new ConfigFile(generation, "generation_config.json");
  const eosTokenId = said.ids("eos_token_id") ?? options.eosTokenId ?? null;
  const fields = { ...options, eosTokenId };
  const notes: string[] = [];
  if (vocabSize === null) return { fields, notes };
  const known = (name: string, id: number): boolean => {
    if (id < vocabSize) return true;
    notes.push(`${name} is ${id}, but the vocabulary ends at ${vocabSize - 1}: it was left out.`);
    return false;
  };
  const one = (name: "padTokenId" | "bosTokenId"): number | null => {
    const id = options[name] ?? null;
    return id !== null && known(name, id) ? id : null;
  };
  const ends = [eosTokenId ?? []].flat().filter((id) => known("eosTokenId", id));
  return {
    fields: {
      ...fields,
      padTokenId: one("padTokenId"),
      bosTokenId: one("bosTokenId"),
      eosTokenId: ends.length === 0 ? null : ends.length === 1 ? ends[0]! : ends,
    },
    notes,
  };
}
