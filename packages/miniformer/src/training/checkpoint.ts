/** Checkpoints: everything a run needs to go on as if it had never stopped. */

import { XError } from "@x/tensor";
import type { Module } from "@x/tensor/nn";
import {
  packOptimizerState,
  unpackOptimizerState,
  type Optimizer,
  type ScheduleState,
} from "@x/tensor/optim";
import type { GeneratorState } from "@x/tensor/random";
import { loadSafetensors, openSafetensors, saveSafetensors } from "@x/tensor/safetensors";
import type { BatchPosition } from "../data/batches.js";
import type { ProgressState } from "./early-stopping.js";
import type { LossScaleState } from "./mixed-precision.js";
import { isCheckpointName, type CheckpointFiles, type CheckpointStorage } from "./storage.js";
import type { Metrics } from "./task.js";

/** A checkpoint that was kept because it was among the best. */
export interface BestCheckpoint {
  /** Its name. */
  readonly name: string;
  /** The metric by which it is compared. */
  readonly value: number;
}

/** Why a run ended. */
export type Ending = "finished" | "early stopping" | "aborted";

/** What a checkpoint says besides tensors. */
export interface RunState {
  /** The version of this record. */
  readonly version: 1;
  /** How many steps were done. */
  readonly step: number;
  /** What the order of the data depends on. */
  readonly data: {
    readonly batchSize: number;
    readonly seed: number | null;
    readonly length: number | null;
  };
  /** The batch that comes next. */
  readonly position: BatchPosition;
  /** The default generator: dropout draws from it. */
  readonly random: GeneratorState;
  readonly schedule: ScheduleState;
  readonly lossScale: LossScaleState | null;
  /** The running mean of the loss. */
  readonly averageLoss: number | null;
  /** After which step the last evaluation was made, and what it gave. */
  readonly evaluation: { readonly step: number; readonly metrics: Metrics } | null;
  readonly progress: ProgressState;
  /** The best checkpoints, the best first. */
  readonly best: readonly BestCheckpoint[];
  /** Why the run ended, if it did. */
  readonly ending: Exclude<Ending, "aborted"> | null;
}

/** The files of a checkpoint. `model.safetensors` is what `fromPretrained` and PyTorch read. */
const files = {
  model: "model.safetensors",
  optimizer: "optimizer.safetensors",
  run: "run.json",
} as const;
const lastNote = "last.json";

const encoder = new TextEncoder();

/** The files of a checkpoint. */
export async function checkpointFiles(
  model: Module,
  optimizer: Optimizer,
  run: RunState,
  others: Readonly<Record<string, string | Uint8Array>>,
): Promise<CheckpointFiles> {
  const { tensors, metadata } = packOptimizerState(optimizer.stateDict());
  const all = new Map<string, Uint8Array<ArrayBuffer>>([
    [files.model, await saveSafetensors(model.stateDict(), { format: "pt" })],
    [files.optimizer, await saveSafetensors(tensors, metadata)],
  ]);
  for (const [name, content] of Object.entries(others)) {
    all.set(name, typeof content === "string" ? encoder.encode(content) : content.slice());
  }
  return all.set(files.run, encoder.encode(`${JSON.stringify(run, null, 2)}\n`));
}

function damaged(name: string, wrong: string, cause?: unknown): XError {
  return new XError(
    "checkpoint",
    `Trainer: the checkpoint must be one that a Trainer wrote, got "${name}" (${wrong}). Remove it, or name another storage.`,
    { cause },
  );
}

async function needed(
  storage: CheckpointStorage,
  name: string,
  file: string,
): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = await storage.read(name, file);
  if (bytes === null) throw damaged(name, `${file} is missing`);
  return bytes;
}

/** Puts the tensors of a checkpoint into a model and its optimizer; gives what it says besides. */
export async function loadCheckpoint(
  storage: CheckpointStorage,
  name: string,
  model: Module,
  optimizer: Optimizer,
): Promise<RunState> {
  let run: unknown;
  try {
    run = JSON.parse(new TextDecoder().decode(await needed(storage, name, files.run)));
  } catch (error) {
    if (XError.isInstance(error)) throw error;
    throw damaged(name, `${files.run} is not JSON`, error);
  }
  if (!isRunState(run)) throw damaged(name, `${files.run} lacks what a run needs`);
  const bytes = await needed(storage, name, files.optimizer);
  const { metadata } = await openSafetensors(bytes);
  await loadModel(storage, name, model);
  optimizer.loadStateDict(unpackOptimizerState(await loadSafetensors(bytes), metadata));
  return run;
}

async function loadModel(storage: CheckpointStorage, name: string, model: Module): Promise<void> {
  model.loadStateDict(await loadSafetensors(await needed(storage, name, files.model)));
}

function isRunState(value: unknown): value is RunState {
  const { version, step, position, random, schedule, progress, best } = (value ??
    {}) as Partial<RunState>;
  return (
    version === 1 &&
    Number.isSafeInteger(step) &&
    [position, random, schedule, progress].every((part) => typeof part === "object") &&
    Array.isArray(best)
  );
}

/** The name of a checkpoint made after some steps that is not taken. */
export function freeName(step: number, taken: readonly string[]): string {
  const name = `step-${String(step).padStart(6, "0")}`;
  if (!taken.includes(name)) return name;
  for (let again = 2; ; again++) {
    if (!taken.includes(`${name}-${again}`)) return `${name}-${again}`;
  }
}

/** Checkpoints in the order in which they were made. */
export function inOrder(names: readonly string[]): string[] {
  const parts = (name: string): readonly [number, number] => {
    const [, step, again] = /^step-(\d+)(?:-(\d+))?$/.exec(name)!;
    return [Number(step), Number(again ?? 1)];
  };
  return names.filter(isCheckpointName).sort((a, b) => {
    const [[step, again], [otherStep, otherAgain]] = [parts(a), parts(b)];
    return step - otherStep || again - otherAgain;
  });
}

/** Notes which checkpoints are the last and the best, for those who look for one. */
export async function noteCheckpoints(
  storage: CheckpointStorage,
  last: string,
  best: readonly BestCheckpoint[],
): Promise<void> {
  const text = `${JSON.stringify({ last, best }, null, 2)}\n`;
  await storage.writeNote(lastNote, encoder.encode(text));
}

/** The best checkpoints, the best first, as far as there is a note of them. */
async function notedBest(storage: CheckpointStorage): Promise<readonly BestCheckpoint[]> {
  const bytes = await storage.readNote(lastNote);
  if (bytes === null) return [];
  let note: unknown;
  try {
    note = JSON.parse(new TextDecoder().decode(bytes));
  } catch (error) {
    throw damagedNote(error);
  }
  const { best = [] } = (note ?? {}) as { readonly best?: unknown };
  if (!Array.isArray(best) || !best.every(isBestCheckpoint)) throw damagedNote();
  return best;
}

function isBestCheckpoint(value: unknown): value is BestCheckpoint {
  const { name } = (value ?? {}) as Partial<BestCheckpoint>;
  return typeof name === "string";
}

function damagedNote(cause?: unknown): XError {
  return new XError(
    "checkpoint",
    `loadWeights: ${lastNote} must say which checkpoints are the best, as a Trainer wrote it, got one that does not. Remove it, and name a checkpoint.`,
    { cause },
  );
}

/** Which checkpoint to load: the last, the best, or one by its name. */
export type WhichCheckpoint = "last" | "best" | (string & {});

/**
 * Gives a model the weights of a checkpoint, for evaluation or generation.
 *
 * @param which default `"last"`; `"best"` is the one with the best evaluation
 * @returns the name of the checkpoint
 * @throws XError `checkpoint` if there is no such checkpoint, or it does not fit the model
 * @example
 * ```ts
 * const storage = new MemoryStorage();
 * const task = regression({ inputDim: 1 });
 * class Mean extends Module {
 *   readonly linear = new Linear(1, 1);
 *   forward(x: Tensor): Tensor {
 *     return this.linear.forward(x.mean(1));
 *   }
 * }
 * const data = [{ features: [1, 2], target: [3] }];
 * await new Trainer({ model: new Mean(), task, data, steps: 2, storage }).train();
 * console.log(await loadWeights(new Mean(), storage)); // → step-000002
 * ```
 */
export async function loadWeights(
  model: Module,
  storage: CheckpointStorage,
  which: WhichCheckpoint = "last",
): Promise<string> {
  const names = inOrder(await storage.list());
  let name: string | undefined = which;
  if (which === "last") name = names.at(-1);
  if (which === "best") {
    const best = await notedBest(storage);
    name = best.find((checkpoint) => names.includes(checkpoint.name))?.name;
  }
  if (name === undefined || !names.includes(name)) {
    throw new XError(
      "checkpoint",
      `loadWeights: the storage must hold the checkpoint, got no ${JSON.stringify(which)} among ${names.length}. Choose another, or train first.`,
    );
  }
  await loadModel(storage, name, model);
  return name;
}
