/** Saving checkpoints. */

import { realize } from "@x/tensor";
import { check, checkChoice, checkNumbers, count } from "@x/tensor/checks";
import { streamSafetensors, type SafetensorsStream } from "@x/tensor/safetensors";
import type { Tokenizer } from "../tokenizers/tokenizer.js";
import type { JsonObject } from "./config-file.js";
import { openTarget, type PretrainedTarget, type TargetFiles } from "./files/target.js";
import { writeGenerationConfig, type GenerationConfig } from "./generation-config.js";
import { originOf } from "./origin.js";
import { ownConfigOf, type ConfiguredModel } from "./own-format.js";
import { namesOfTensors } from "./weights/load-weights.js";
import { packed, type SavedTensor, type SavedType } from "./weights/saved-tensor.js";
import { toStored, storedShapes } from "./weights/rule.js";
import { weightFiles } from "./weights/stored-tensors.js";

/** Options of {@link savePretrained}. */
export interface SavePretrainedOptions {
  /** The type in which floating-point tensors are stored. Default: that of each tensor. */
  readonly dtype?: "float32" | "float16" | "bfloat16";
  /** A file of tensors takes no more bytes than this, unless one tensor does. Default 2 000 000 000. */
  readonly maxShardBytes?: number;
  /** Saved beside the model as `tokenizer.json`. Default: none. */
  readonly tokenizer?: Tokenizer | null;
  /** Saved beside the model as `generation_config.json`. Default: none. */
  readonly generationConfig?: GenerationConfig;
  /**
   * How tensors are named: as in the model, or as in the published checkpoint that it was loaded from,
   * so that others can load it too. Default `"miniformer"`.
   */
  readonly layout?: "miniformer" | "huggingface";
}

const owner = "savePretrained";

const types: Readonly<Record<string, SavedType>> = {
  float32: "F32",
  float16: "F16",
  bfloat16: "BF16",
};

/**
 * Saves a model: `config.json`, and its tensors as `model.safetensors` or, where they are large, in
 * several such files with `model.safetensors.index.json`. {@link fromPretrained} loads it again, with the
 * same tensors bit for bit unless `dtype` rounds them.
 *
 * All files are written beside those that are there and renamed when all are whole: a folder that
 * did not exist appears at once, complete.
 *
 * @param target the path of a folder, which is made (in Node), a directory handle, such as one in the
 * origin-private file system of a page, or a map to which the files are added as blobs
 * @returns the names of the files
 * @throws XError `argument` if the model cannot be written down or an option is out of its range;
 * `checkpoint` if the files cannot be written
 * @example
 * ```ts
 * import { tmpdir } from "node:os";
 * import { join } from "node:path";
 * import { Transformer, TransformerConfig } from "@x/miniformer";
 * import { savePretrained } from "@x/miniformer/pretrained";
 *
 * const model = new Transformer(TransformerConfig.tiny({ vocabSize: 100, outputDim: 100 }));
 * const folder = join(tmpdir(), "x-example-pretrained");
 * const names = await savePretrained(model, folder, { dtype: "float16" });
 * console.log(names); // → [ 'config.json', 'model.safetensors' ]
 * ```
 */
export async function savePretrained(
  model: ConfiguredModel,
  target: PretrainedTarget,
  options: SavePretrainedOptions = {},
): Promise<string[]> {
  const { maxShardBytes = 2_000_000_000, layout = "miniformer", dtype } = options;
  checkNumbers(owner, count, { maxShardBytes });
  checkChoice(owner, "layout", layout, ["miniformer", "huggingface"]);
  if (dtype !== undefined) checkChoice(owner, "dtype", dtype, Object.keys(types));
  const type = dtype === undefined ? null : types[dtype]!;
  const { config, tensors } =
    layout === "miniformer" ? inOwnLayout(model, type) : inLayoutOfOrigin(model, type);
  const files = new Map<string, JsonObject | unknown[]>([["config.json", config]]);
  if (options.generationConfig !== undefined) {
    files.set("generation_config.json", writeGenerationConfig(options.generationConfig));
  }
  addTokenizer(files, options.tokenizer ?? null);

  // Fresh parameters are drawn in one plan.
  await realize(...Object.values(model.stateDict()));
  const writer = await openTarget(owner, target);
  try {
    for (const [name, json] of files) await writer.text(name, `${JSON.stringify(json, null, 2)}\n`);
    await writeTensors(writer, tensors, maxShardBytes);
    return await writer.finish([weightFiles.single, weightFiles.index]);
  } catch (error) {
    await writer.discard();
    throw error;
  }
}

interface Layout {
  readonly config: JsonObject;
  readonly tensors: readonly SavedTensor[];
}

function inOwnLayout(model: ConfiguredModel, type: SavedType | null): Layout {
  const tensors = [...namesOfTensors(model)].map(([tensor, names]) =>
    packed(names[0]!, tensor.shape, tensor.dtype, type, async () => [tensor]),
  );
  return { config: ownConfigOf(model), tensors };
}

function inLayoutOfOrigin(model: ConfiguredModel, type: SavedType | null): Layout {
  const origin = originOf(model);
  check(
    origin !== null,
    "argument",
    () =>
      `${owner}: the layout "huggingface" needs a model that was loaded from it, got ${model.constructor.name} that was not. Leave layout out.`,
  );
  const own = model.stateDict();
  const tensors = origin.translation.rules.flatMap((rule) => {
    check(
      (rule.skippedRows ?? 0) === 0,
      "argument",
      () =>
        `${owner}: the layout "huggingface" needs all that the published checkpoint has, got a model without first rows of ${rule.stored[0]![0]}. Leave layout out.`,
    );
    const parts = rule.own.map((name) => {
      const tensor = own[name];
      check(
        tensor?.dtype === "float32",
        "argument",
        () =>
          `${owner}: the layout "huggingface" needs the tensors that were loaded, in float32, got ${tensor?.dtype ?? "none"} for ${name}. Leave layout out.`,
      );
      return tensor;
    });
    const shapes = parts.map(({ shape }) => shape);
    return storedShapes(rule, shapes).map((shape, i) =>
      packed(rule.stored[i]![0]!, shape, "float32", type, async () => {
        const read = [];
        for (const part of parts) read.push(await part.data());
        return toStored(rule, read, shapes)[i] as Float32Array;
      }),
    );
  });
  const dtype = Object.keys(types).find((name) => types[name] === (type ?? "F32"))!;
  const { torch_dtype: _, ...json } = origin.json;
  return { config: { ...json, dtype }, tensors };
}

function addTokenizer(
  files: Map<string, JsonObject | unknown[]>,
  tokenizer: (Tokenizer & { configJSON?(): JsonObject }) | null,
): void {
  if (tokenizer === null) return;
  const json = tokenizer.toJSON?.();
  check(
    typeof json === "object" && json !== null,
    "argument",
    () =>
      `${owner}: a tokenizer that is saved must have toJSON(), got ${tokenizer.constructor.name} without. Leave tokenizer out.`,
  );
  files.set("tokenizer.json", json as JsonObject);
  const config = tokenizer.configJSON?.() ?? {};
  if (Object.keys(config).length > 0) files.set("tokenizer_config.json", config);
}

/** Divides tensors into files of at most so many bytes. */
function sharded(tensors: readonly SavedTensor[], most: number): SavedTensor[][] {
  const shards: SavedTensor[][] = [];
  let size = Infinity;
  for (const tensor of tensors) {
    if (size + tensor.byteLength > most) {
      shards.push([]);
      size = 0;
    }
    shards.at(-1)!.push(tensor);
    size += tensor.byteLength;
  }
  return shards;
}

async function writeTensors(
  writer: TargetFiles,
  tensors: readonly SavedTensor[],
  maxShardBytes: number,
): Promise<void> {
  const stream = (part: readonly SavedTensor[]): SafetensorsStream =>
    streamSafetensors(part, { format: "pt" });
  const shards = sharded(tensors, maxShardBytes);
  if (shards.length <= 1) {
    await writer.chunks(weightFiles.single, stream(tensors));
    return;
  }
  const number = (i: number): string => String(i).padStart(5, "0");
  const places: Record<string, string> = {};
  for (const [i, shard] of shards.entries()) {
    const file = `model-${number(i + 1)}-of-${number(shards.length)}.safetensors`;
    for (const { name } of shard) places[name] = file;
    await writer.chunks(file, stream(shard));
  }
  const total = tensors.reduce((sum, { byteLength }) => sum + byteLength, 0);
  const index = { metadata: { total_size: total }, weight_map: places };
  await writer.text(weightFiles.index, `${JSON.stringify(index, null, 2)}\n`);
}
