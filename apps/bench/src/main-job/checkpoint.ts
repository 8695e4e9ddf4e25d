/** Checkpoints: a folder with the model, the optimizer, and how far the run has come. */

import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { XError } from "@x/tensor";
import type { Module } from "@x/tensor/nn";
import { packOptimizerState, unpackOptimizerState, type AdamW } from "@x/tensor/optim";
import { getDefaultGenerator, type GeneratorState } from "@x/tensor/random";
import {
  loadSafetensorsFile,
  openSafetensorsFile,
  saveSafetensorsFile,
} from "@x/tensor/safetensors";
import type { ModelShape } from "./model.js";

/** What a checkpoint says besides numbers. */
export interface RunState {
  readonly shape: ModelShape;
  /** Steps done. */
  readonly step: number;
  readonly random: GeneratorState;
}

const files = { model: "model.safetensors", optimizer: "optimizer.safetensors", run: "run.json" };

/** Writes everything needed to continue. Each file is written beside its target and renamed. */
export async function saveCheckpoint(
  folder: string,
  model: Module,
  optimizer: AdamW,
  run: Omit<RunState, "random">,
): Promise<void> {
  await mkdir(folder, { recursive: true });
  await saveSafetensorsFile(join(folder, files.model), model.stateDict());
  const { tensors, metadata } = packOptimizerState(optimizer.stateDict());
  await saveSafetensorsFile(join(folder, files.optimizer), tensors, metadata);
  const path = join(folder, files.run);
  const state: RunState = { ...run, random: getDefaultGenerator().getState() };
  await writeFile(`${path}.new`, `${JSON.stringify(state, null, 2)}\n`);
  await rename(`${path}.new`, path);
}

/** Reads how far a run had come. */
export async function readRun(folder: string): Promise<RunState> {
  try {
    return JSON.parse(await readFile(join(folder, files.run), "utf8")) as RunState;
  } catch (error) {
    throw new XError(
      "checkpoint",
      `--load: the folder must hold a checkpoint of this program, got "${folder}" (${error instanceof Error ? error.message : String(error)}). Name a folder that --save wrote.`,
      { cause: error },
    );
  }
}

/** Puts the numbers of a checkpoint into a model and its optimizer. */
export async function loadCheckpoint(
  folder: string,
  model: Module,
  optimizer: AdamW,
  run: RunState,
): Promise<void> {
  model.loadStateDict(await loadSafetensorsFile(join(folder, files.model)));
  const path = join(folder, files.optimizer);
  const file = await openSafetensorsFile(path);
  const { metadata } = file;
  await file.close();
  optimizer.loadStateDict(unpackOptimizerState(await loadSafetensorsFile(path), metadata));
  getDefaultGenerator().setState(run.random);
}
