/** Saving a checkpoint, loading it again, and comparing bit by bit. */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fromPretrained, savePretrained, type Pretrained } from "@x/miniformer/pretrained";
import { problemWith, type Finding } from "../recorded/finding.js";

/** Saves the model, loads it and compares all tensors. */
export async function compareSaved(
  { model, tokenizer, generationConfig }: Pretrained,
  layout: "miniformer" | "huggingface",
): Promise<Finding> {
  const tensor = `saved as ${layout}`;
  const folder = await mkdtemp(join(tmpdir(), "goldens-hf-"));
  try {
    const own = model.stateDict();
    const bytes = Object.values(own).reduce((sum, { size }) => sum + 4 * size, 0);
    await savePretrained(model, join(folder, "saved"), {
      layout,
      tokenizer,
      generationConfig,
      // In several files, which is the harder way.
      maxShardBytes: Math.ceil(bytes / 3),
    });
    const again = await fromPretrained(join(folder, "saved"));
    const loaded = again.model.stateDict();
    const problem = await firstDifference(own, loaded);
    again.model.dispose();
    return problem === null ? { tensor, error: 0, tolerance: 0 } : problemWith(tensor, problem);
  } finally {
    await rm(folder, { recursive: true });
  }
}

type State = ReturnType<Pretrained["model"]["stateDict"]>;

async function firstDifference(saved: State, loaded: State): Promise<string | null> {
  const names = Object.keys(saved);
  if (names.join() !== Object.keys(loaded).join()) return "the tensors must have the same names";
  for (const name of names) {
    const [a, b] = [await bitsOf(saved, name), await bitsOf(loaded, name)];
    if (a.length !== b.length || a.some((byte, i) => byte !== b[i])) {
      return `${name} must be the same bit for bit, got other bits`;
    }
  }
  return null;
}

async function bitsOf(state: State, name: string): Promise<Uint8Array> {
  const { buffer, byteOffset, byteLength } = await state[name]!.data();
  return new Uint8Array(buffer, byteOffset, byteLength);
}
