/** The contract of the command, and checkpoints that were rewritten in other ways. */

import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  loadSafetensorsFile,
  openSafetensorsFile,
  writeSafetensorsFile,
  type SafetensorsTensor,
} from "@x/tensor/safetensors";
import { checkpoints } from "../src/goldens-hf/recordings.js";
import { runIn } from "./run-command.js";

let folder: string;

const run = runIn(checkpoints);

/** All tensors of a checkpoint, widened to float32 if asked for. */
async function tensorsOf(path: string, isWidened: boolean): Promise<SafetensorsTensor[]> {
  const tensors: SafetensorsTensor[] = [];
  for (const name of (await readdir(path)).filter((one) => /^model.*\.safetensors$/.test(one))) {
    await using file = await openSafetensorsFile(join(path, name));
    const loaded = isWidened ? await loadSafetensorsFile(join(path, name)) : null;
    for (const key of file.names) {
      const { dtype, shape } = file.entry(key);
      const wide = (await loaded?.get(key)!.data()) as Float32Array | undefined;
      tensors.push({
        name: key,
        shape,
        dtype: wide === undefined ? dtype : "F32",
        bytes: wide === undefined ? await file.bytes(key) : new Uint8Array(wide.buffer),
      });
    }
  }
  return tensors;
}

interface Rewriting {
  readonly config?: (config: Record<string, unknown>) => Record<string, unknown>;
  readonly name?: (name: string) => string;
  readonly isWidened?: boolean;
  readonly extra?: readonly SafetensorsTensor[];
  readonly shards?: number;
}

/** Writes a recorded checkpoint again in another way. */
async function rewrite(from: string, to: string, how: Rewriting): Promise<void> {
  const source = join(checkpoints.folder, from);
  const target = join(folder, to);
  await mkdir(target);
  for (const name of await readdir(source)) {
    if (!name.startsWith("model")) await cp(join(source, name), join(target, name));
  }
  const config = JSON.parse(await readFile(join(source, "config.json"), "utf8")) as Record<
    string,
    unknown
  >;
  await writeFile(join(target, "config.json"), JSON.stringify(how.config?.(config) ?? config));
  const tensors = (await tensorsOf(source, how.isWidened ?? false)).map((tensor) => ({
    ...tensor,
    name: how.name?.(tensor.name) ?? tensor.name,
  }));
  tensors.push(...(how.extra ?? []));
  const { shards = 1 } = how;
  if (shards === 1) return writeSafetensorsFile(join(target, "model.safetensors"), tensors);
  const map: Record<string, string> = {};
  for (let i = 0; i < shards; i++) {
    // Parts of a layer lie in different files.
    const part = tensors.filter((_, place) => place % shards === i);
    const file = `model-0000${i + 1}-of-0000${shards}.safetensors`;
    for (const { name } of part) map[name] = file;
    await writeSafetensorsFile(join(target, file), part);
  }
  await writeFile(
    join(target, "model.safetensors.index.json"),
    JSON.stringify({ weight_map: map }),
  );
}

/** Rotary settings as older files have them. */
const older = ({
  rope_parameters,
  ...config
}: Record<string, unknown>): Record<string, unknown> => ({
  ...config,
  rope_theta: (rope_parameters as { rope_theta: number }).rope_theta,
  rope_scaling: null,
});

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "goldens-hf-"));
});
afterAll(async () => rm(folder, { recursive: true }));

test("rewritten checkpoints pass", async () => {
  const bytes = new Uint8Array(64 * 64);
  const mask = { name: "h.0.attn.bias", dtype: "BOOL", shape: [1, 1, 64, 64], bytes } as const;
  await rewrite("gpt2-tiny", "a", {
    name: (name) => name.replace("transformer.", ""),
    extra: [mask],
    // As the file says itself where a field is missing.
    config: ({ tie_word_embeddings: _, n_inner: __, ...config }) => config,
  });
  await rewrite("llama-tiny-gqa", "b", {
    config: ({ head_dim: _, ...config }) => older(config),
    shards: 3,
  });
  await rewrite("llama-tiny-mqa-tied-bf16-sharded", "c", {
    name: (name) => name.replace("model.", ""),
    isWidened: true,
    config: older,
  });
  await rewrite("qwen2-tiny-f16", "d", {
    isWidened: true,
    config: ({ layer_types: _, ...config }) => ({ ...older(config), sliding_window: 2 }),
  });
  await rewrite("bert-tiny", "e", {
    name: (name) =>
      `bert.${name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")}`,
    shards: 2,
  });
  const { code, lines } = await run("--dir", folder);
  expect(lines.at(-1)).toBe("5 passed, 0 failed, 0 skipped");
  expect(lines).toHaveLength(6);
  expect(lines[0]).toMatch(
    /^passed {2}wasm {6}a {2}logits, beam, greedy, text_ids, saved as miniformer, saved as huggingface; {2}largest error \S+, tolerance \S+ \(output\.logits\)$/,
  );
  expect(code).toBe(0);
});

test("wrong results, unknown tensors and families fail, what is not recorded is skipped", async () => {
  const wrong = await mkdtemp(join(folder, "wrong-"));
  const copy = async (from: string, to: string): Promise<string> => {
    await cp(join(checkpoints.folder, from), join(wrong, to), { recursive: true });
    return join(wrong, to);
  };
  const swap = async (path: string, change: (tensors: SafetensorsTensor[]) => void) => {
    const tensors: SafetensorsTensor[] = [];
    const file = await openSafetensorsFile(join(path, "expected.safetensors"));
    for (const name of file.names) {
      const { dtype, shape } = file.entry(name);
      tensors.push({ name, dtype, shape, bytes: await file.bytes(name) });
    }
    await file.close();
    change(tensors);
    await writeSafetensorsFile(join(path, "expected.safetensors"), tensors, file.metadata);
  };
  await swap(await copy("gpt2-tiny", "numbers"), (tensors) => {
    for (const { name, bytes } of tensors) if (!name.startsWith("input")) bytes[2]! ^= 1;
    for (const { name, bytes } of tensors) if (name === "output.logits") bytes[3]! ^= 0x40;
  });
  await swap(await copy("bert-tiny", "unknown"), (tensors) => {
    tensors.push({ name: "output.attentions", dtype: "F32", shape: [0], bytes: new Uint8Array(0) });
    tensors.push({ name: "input.odd", dtype: "F32", shape: [0], bytes: new Uint8Array(0) });
  });
  const family = await copy("bert-tiny", "family");
  await writeFile(join(family, "config.json"), '{ "model_type": "mamba" }');
  await rm(join(await copy("bert-tiny", "without"), "expected.safetensors"));
  const { code, lines } = await run("--dir", wrong, "--device", "wasm");
  const text = lines.join("\n");
  expect(code).toBe(1);
  expect(lines.at(-1)).toBe("0 passed, 3 failed, 1 skipped");
  expect(text).toMatch(/output\.logits: error \S+ above \S+\n/);
  expect(text).toMatch(/output\.greedy: ids must be .*, got /);
  expect(text).toMatch(/output\.beam: ids must be .*, got /);
  expect(text).toMatch(/output\.text_ids: ids must be .*, got /);
  expect(text).toMatch(/output\.attentions: a tensor of this name is not known/);
  expect(text).toMatch(/input\.odd: an input of this name is not known/);
  expect(text).toMatch(/"model_type" one of .*, got "mamba"/);
  expect(text).toMatch(/skipped wasm +without\n +it has no expected\.safetensors/);
});

test("a folder without checkpoints", async () => {
  const empty = await mkdtemp(join(folder, "empty-"));
  const { code, lines } = await run("--dir", empty);
  expect(code).toBe(2);
  expect(lines.join("\n")).toMatch(/goldens:hf: at least one case must be selected, got none/);
});

test("one checkpoint by its name, on devices that are named", async () => {
  const { code, lines } = await run(
    ...["--only", "bert-tiny", "--device", "reference", "--device", "wasm"],
  );
  expect(code).toBe(0);
  expect(lines.map((line) => line.split(/ +/).slice(0, 3).join(" "))).toEqual([
    "passed reference bert-tiny",
    "passed wasm bert-tiny",
    "2 passed, 0",
  ]);
});
