/** Models from folders: of this program, and published ones. */

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { XError } from "@x/tensor";
import type { TransformerOptions } from "../config/fields.js";
import type { TransformerConfig } from "../config/transformer-config.js";
import { fromPretrained, type Pretrained } from "../pretrained/from-pretrained.js";
import type { ConfiguredModel } from "../pretrained/own-format.js";
import { loadTokenizer } from "../tokenizers/load-tokenizer.js";
import type { Tokenizer } from "../tokenizers/tokenizer.js";
import { reasonOf } from "../runtime/reason.js";
import { loadAttention } from "./plug-ins.js";
import { exists, lastCheckpointIn, names } from "./run-folder.js";

/** The folder of a checkpoint, before its tensors are read. */
export interface ModelFolder {
  readonly path: string;
  readonly config: Readonly<Record<string, unknown>>;
}

/**
 * The folder that holds a model: the one that is named, or the last checkpoint of a run in it that has not
 * ended. What its configuration names is loaded.
 *
 * @throws XError `checkpoint` if there is none; `unsupported` if a package is not installed
 */
export async function openModelFolder(folder: string, option: string): Promise<ModelFolder> {
  let path = folder;
  if (!(await exists(join(path, names.config)))) {
    path = (await lastCheckpointIn(folder)) ?? folder;
  }
  let config: unknown;
  try {
    config = JSON.parse(await readFile(join(path, names.config), "utf8"));
    if (typeof config !== "object" || config === null || Array.isArray(config)) {
      throw new Error("it holds no object");
    }
  } catch (error) {
    throw new XError(
      "checkpoint",
      `${option}: the folder must hold a checkpoint, got "${folder}" (${names.config}: ${reasonOf(error)}). Name a folder that \`miniformer train\` wrote, or that of a published model.`,
      { cause: error },
    );
  }
  const { attention } = config as { readonly attention?: unknown };
  const specs: readonly unknown[] = [attention].flat();
  await loadAttention(
    specs.flatMap((spec) => {
      const name: unknown =
        typeof spec === "string" ? spec : (spec as { name?: unknown } | null)?.name;
      return typeof name === "string" ? [name] : [];
    }),
  );
  return { path, config: config as ModelFolder["config"] };
}

/** The tokenizer of a checkpoint, or `null`. */
export async function tokenizerIn({ path }: ModelFolder): Promise<Tokenizer | null> {
  const read = async (name: string): Promise<string | null> =>
    (await exists(join(path, name))) ? readFile(join(path, name), "utf8") : null;
  const json = await read(names.tokenizer);
  return json === null
    ? null
    : loadTokenizer(json, (await read("tokenizer_config.json")) ?? undefined);
}

/** The error for the folder of a model that needs a tokenizer and has none. */
export function withoutTokenizer({ path }: ModelFolder): XError {
  return new XError(
    "checkpoint",
    `--model: the folder must hold tokenizer.json, got "${path}" without. Put it there.`,
  );
}

/**
 * Loads the model of a folder, as `make` makes it.
 *
 * @throws XError `checkpoint` if its files are damaged or do not fit
 */
export async function loadModel<M extends ConfiguredModel>(
  { path }: ModelFolder,
  make: (config: TransformerConfig) => M,
  config: TransformerOptions = {},
): Promise<Pretrained<M>> {
  try {
    return await fromPretrained(path, { make, config, tokenizer: false });
  } catch (error) {
    throw namingPlace(error, `the tensors (model.safetensors) in "${path}"`);
  }
}

/** An error about a file of tensors, with the name of the file. */
export function namingPlace(error: unknown, place: string): unknown {
  if (
    !XError.isInstance(error) ||
    !/^(openSafetensors(File)?|SafetensorsFile|loadSafetensors): /.test(error.message)
  )
    return error;
  return new XError(
    "checkpoint",
    `miniformer: a file in the safetensors format must be whole, got ${place} that cannot be read (${error.message}). Fetch or save it again.`,
    { cause: error },
  );
}

/** Whether the checkpoint is one of an encoder–decoder. */
export function isPair({ config }: ModelFolder): boolean {
  const { architectures } = config;
  return Array.isArray(architectures) && architectures[0] === "Seq2SeqTransformer";
}
