/** `miniformer inspect`. */

import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Command } from "commander";
import { XError } from "@x/tensor";
import { openSafetensorsFile, type SafetensorsEntry } from "@x/tensor/safetensors";
import { reasonOf } from "../runtime/reason.js";
import { namingPlace } from "./load-model.js";
import type { Output, Surroundings } from "./output.js";
import { exists, lastCheckpointIn, names, readRecord } from "./run-folder.js";
import { formatBytes, formatCount, formatTable } from "./table.js";

interface Contents {
  readonly entries: readonly SafetensorsEntry[];
  readonly notes: ReadonlyMap<string, string>;
}

/** Adds the command to a program. */
export function addInspect(program: Command, { output }: Surroundings): void {
  program
    .command("inspect")
    .description(
      "Shows the tensors of a checkpoint or of a safetensors file, without loading them.",
    )
    .argument("<path>", "folder of a checkpoint, or a file in the safetensors format")
    .addHelpText("after", "\nOnly the header of a file is read, however large it is.")
    .action((path: string) => runInspect(path, output));
}

async function runInspect(path: string, output: Output): Promise<void> {
  let isFolder: boolean;
  try {
    isFolder = (await stat(path)).isDirectory();
  } catch (error) {
    throw new XError(
      "argument",
      `inspect: the path must be a folder or a file that exists, got "${path}" (${reasonOf(error)}). Check it.`,
      { cause: error },
    );
  }
  if (!isFolder) return show(await contentsOf([path]), output);
  const folder = await checkpointFolder(path);
  if (folder !== path) output.write(`The run has not ended; this is ${folder}.\n`);
  const files = await weightFilesIn(folder);
  const contents = await contentsOf(files.map((file) => join(folder, file)));
  await describe(folder, output);
  show(contents, output);
}

async function checkpointFolder(path: string): Promise<string> {
  const places = ["model.safetensors", "model.safetensors.index.json"];
  for (const place of places) if (await exists(join(path, place))) return path;
  return (await lastCheckpointIn(path)) ?? path;
}

async function weightFilesIn(folder: string): Promise<readonly string[]> {
  if (await exists(join(folder, "model.safetensors"))) return ["model.safetensors"];
  try {
    const text = await readFile(join(folder, "model.safetensors.index.json"), "utf8");
    const { weight_map: map } = JSON.parse(text) as { readonly weight_map?: unknown };
    const files = Object.values(map ?? {}) as readonly unknown[];
    if (files.length > 0 && files.every((file) => typeof file === "string")) {
      return [...new Set(files)].sort();
    }
    throw new Error("model.safetensors.index.json names no files");
  } catch (error) {
    throw new XError(
      "checkpoint",
      `inspect: the folder must hold model.safetensors or its index, got "${folder}" (${reasonOf(error)}). Name the folder of a checkpoint, or a file.`,
      { cause: error },
    );
  }
}

async function contentsOf(files: readonly string[]): Promise<Contents> {
  const entries: SafetensorsEntry[] = [];
  const notes = new Map<string, string>();
  for (const path of files) {
    try {
      await using file = await openSafetensorsFile(path);
      entries.push(...file.names.map((name) => file.entry(name)));
      for (const [name, note] of file.metadata) notes.set(name, note);
    } catch (error) {
      throw namingPlace(error, `"${path}"`);
    }
  }
  return { entries, notes };
}

/** What the files beside the tensors say. */
async function describe(folder: string, output: Output): Promise<void> {
  const path = join(folder, names.config);
  const lines: (readonly [string, string])[] = [];
  if (await exists(path)) {
    let config: Readonly<Record<string, unknown>>;
    try {
      config = JSON.parse(await readFile(path, "utf8")) as typeof config;
    } catch (error) {
      throw new XError(
        "checkpoint",
        `inspect: config.json must hold an object of JSON, got one in "${folder}" that does not (${reasonOf(error)}). Fetch it again.`,
        { cause: error },
      );
    }
    for (const name of shownFields) {
      const value = config[name];
      if (value === undefined || value === null) continue;
      lines.push([name, typeof value === "string" ? value : JSON.stringify(value)]);
    }
  }
  const record = await readRecord(folder);
  if (record !== null) lines.push(["trained for", record.facts.task]);
  if (lines.length > 0) output.write(`${formatTable(lines, [])}\n`);
}

const shownFields = [
  ...["model_type", "architectures", "vocabSize", "vocab_size", "inputDim", "outputDim"],
  ...["dModel", "hidden_size", "n_embd", "nHeads", "num_attention_heads", "n_head", "nKvHeads"],
  ...["num_key_value_heads", "nLayers", "num_hidden_layers", "n_layer", "maxSeqLen"],
  ...["max_position_embeddings", "n_positions", "positions", "attention", "torch_dtype", "dtype"],
];

function show({ entries, notes }: Contents, output: Output): void {
  const countOf = (entry: SafetensorsEntry): number => entry.shape.reduce((a, b) => a * b, 1);
  const rows = entries.map((entry) => [
    entry.name,
    entry.dtype,
    `[${entry.shape.join(", ")}]`,
    formatCount(countOf(entry)),
    formatBytes(entry.byteLength),
  ]);
  const types = [...new Set(entries.map(({ dtype }) => dtype))].sort();
  const numbers = entries.reduce((sum, entry) => sum + countOf(entry), 0);
  const bytes = entries.reduce((sum, { byteLength }) => sum + byteLength, 0);
  const total = [
    `${formatCount(entries.length)} tensors`,
    types.join(" "),
    "",
    formatCount(numbers),
    formatBytes(bytes),
  ];
  output.write(
    formatTable([["name", "dtype", "shape", "numbers", "size"], ...rows, total], [3, 4]),
  );
  for (const [name, note] of notes) {
    output.write(`${name}: ${note.length <= 100 ? note : `${note.slice(0, 99)}…`}\n`);
  }
}
