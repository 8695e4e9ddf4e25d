/** Checkpoints: a folder with the model, the optimizer, and how far the run has come. */

import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { XError } from "@x/tensor";
import type { Module } from "@x/tensor/nn";
import type { AdamW } from "@x/tensor/optim";
import { loadSafetensorsFile, saveSafetensorsFile } from "@x/tensor/safetensors";
import { defaultGenerator } from "@x/tensor/random";
import type { ModelShape } from "./model.js";

/** What a checkpoint says besides numbers. */
export interface RunState {
  readonly shape: ModelShape;
  /** Steps done. */
  readonly step: number;
  readonly random: unknown;
}

const files = { model: "model.safetensors", optimizer: "optimizer.safetensors", run: "run.json" };

/** Writes everything needed to continue. Each file is written beside its target and renamed. */
export async function saveCheckpoint(
  folder: string,
  model: Module,
  optimizer: AdamW,
  shape: ModelShape,
  step: number,
): Promise<void> {
  await mkdir(folder, { recursive: true });
  await saveSafetensorsFile(join(folder, files.model), model.stateDict());
  await saveSafetensorsFile(join(folder, files.optimizer), optimizer.stateTensors());
  const run: RunState = { shape, step, random: defaultGenerator().getState() };
  const path = join(folder, files.run);
  await writeFile(`${path}.new`, `${JSON.stringify(run, null, 2)}\n`);
  await rename(`${path}.new`, path);
}

/** Reads how far a run had come. */
export async function readRun(folder: string): Promise<RunState> {
  const path = join(folder, files.run);
  try {
    return JSON.parse(await readFile(path, "utf8")) as RunState;
  } catch (error) {
    throw new XError(
      "checkpoint",
      `--load: the folder must hold a checkpoint of this program, got "${folder}" (${String(error)}). Name a folder that --save wrote.`,
      { cause: error },
    );
  }
}

/** Puts the numbers of a checkpoint into a model and its optimizer. */
export async function loadCheckpoint(
  folder: string,
  model: Module,
  optimizer: AdamW,
): Promise<void> {
  model.loadStateDict(await loadSafetensorsFile(join(folder, files.model)));
  optimizer.loadStateTensors(await loadSafetensorsFile(join(folder, files.optimizer)));
}
