/** Checkpoints: a folder with the model, the optimizer, and how far the run has come. */

import { access, constants, mkdir, readFile, rename, writeFile } from "node:fs/promises";
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

const reasonOf = (error: unknown): string =>
  error instanceof Error ? error.message : String(error);

function notWritable(folder: string, error: unknown): XError {
  return new XError(
    "argument",
    `--save: the folder must be writable, got "${folder}" (${reasonOf(error)}). Name another folder, or make room.`,
    { cause: error },
  );
}

function notLoadable(folder: string, error: unknown): XError {
  return new XError(
    "checkpoint",
    `--load: the folder must hold a checkpoint of this program, got "${folder}" (${reasonOf(error)}). Name a folder that --save wrote.`,
    { cause: error },
  );
}

/** Makes the folder if it is not there, and refuses one that cannot be written to. */
export async function prepareFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder, { recursive: true });
    await access(folder, constants.W_OK);
  } catch (error) {
    throw notWritable(folder, error);
  }
}

/** Writes everything needed to continue. Each file is written beside its target and renamed. */
export async function saveCheckpoint(
  folder: string,
  model: Module,
  optimizer: AdamW,
  run: Omit<RunState, "random">,
): Promise<void> {
  await prepareFolder(folder);
  const { tensors, metadata } = packOptimizerState(optimizer.stateDict());
  const path = join(folder, files.run);
  const state: RunState = { ...run, random: getDefaultGenerator().getState() };
  try {
    await saveSafetensorsFile(join(folder, files.model), model.stateDict());
    await saveSafetensorsFile(join(folder, files.optimizer), tensors, metadata);
    await writeFile(`${path}.new`, `${JSON.stringify(state, null, 2)}\n`);
    await rename(`${path}.new`, path);
  } catch (error) {
    throw notWritable(folder, error);
  }
}

function isRunState(value: unknown): value is RunState {
  const { shape, step, random } = (value ?? {}) as Partial<RunState>;
  const sizes = [shape?.width, shape?.layers, shape?.length];
  return (
    sizes.every((size) => Number.isInteger(size) && size! > 0) &&
    Number.isInteger(step) &&
    typeof random === "object"
  );
}

/** Reads how far a run had come. */
export async function readRun(folder: string): Promise<RunState> {
  try {
    const state: unknown = JSON.parse(await readFile(join(folder, files.run), "utf8"));
    if (!isRunState(state)) throw new Error(`${files.run} lacks what a run needs`);
    return state;
  } catch (error) {
    throw notLoadable(folder, error);
  }
}

/** Puts the numbers of a checkpoint into a model and its optimizer. */
export async function loadCheckpoint(
  folder: string,
  model: Module,
  optimizer: AdamW,
  run: RunState,
): Promise<void> {
  try {
    model.loadStateDict(await loadSafetensorsFile(join(folder, files.model)));
    const path = join(folder, files.optimizer);
    const file = await openSafetensorsFile(path);
    const { metadata } = file;
    await file.close();
    optimizer.loadStateDict(unpackOptimizerState(await loadSafetensorsFile(path), metadata));
    getDefaultGenerator().setState(run.random);
  } catch (error) {
    throw notLoadable(folder, error);
  }
}
