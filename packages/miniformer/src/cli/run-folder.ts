/** The folder of a run: what it is about, its model, and its checkpoints. */

import { access, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { XError } from "@x/tensor";
import { reasonOf } from "../runtime/reason.js";
import { inOrder } from "../training/checkpoint.js";
import { folderStorage } from "../training/folder-storage.js";
import type { CheckpointStorage } from "../training/storage.js";
import { notWritable, prepareFolder } from "./inputs.js";
import { isFacts, type Facts } from "./tasks/facts.js";

/** What is written beside a model that was trained. */
export interface TrainingRecord {
  readonly version: 1;
  /** What it was trained for. */
  readonly facts: Facts;
  /** With which options. */
  readonly options: Readonly<Record<string, unknown>>;
  /** Of which model. */
  readonly config: Readonly<Record<string, unknown>>;
}

/** Names of files and folders in the folder of a run. */
export const names = {
  record: "training.json",
  config: "config.json",
  tokenizer: "tokenizer.json",
  checkpoints: "checkpoints",
  log: "log.csv",
} as const;

/** Where the checkpoints of a run are. */
export const checkpointsIn = (folder: string): CheckpointStorage =>
  folderStorage(join(folder, names.checkpoints));

/** The folder of the last checkpoint of a run; `null` if it has none. */
export async function lastCheckpointIn(folder: string): Promise<string | null> {
  const last = inOrder(await checkpointsIn(folder).list()).at(-1);
  return last === undefined ? null : join(folder, names.checkpoints, last);
}

/** Whether there is a file. */
export async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/**
 * Makes a folder for a new run, if it is not there.
 *
 * @throws XError `argument` if it cannot be written to, or holds a run and nobody said that it may go
 */
export async function prepareRunFolder(folder: string, mayOverwrite: boolean): Promise<void> {
  await prepareFolder(folder);
  const taken = await checkpointsIn(folder).list();
  if (taken.length === 0 || mayOverwrite) return;
  throw new XError(
    "argument",
    `--save: the folder of a new run must hold no other, got "${folder}" with ${taken.length} checkpoints. Go on with it by --resume ${folder}, replace it with --overwrite, or name another folder.`,
  );
}

/**
 * Removes an earlier run from a folder.
 *
 * @throws XError `argument` if it cannot be written to
 */
export async function clearRunFolder(folder: string): Promise<void> {
  try {
    for (const name of [names.checkpoints, names.log, names.record]) {
      await rm(join(folder, name), { recursive: true, force: true });
    }
  } catch (error) {
    throw notWritable(folder, error);
  }
}

/**
 * What is written beside a model; `null` if there is nothing.
 *
 * @throws XError `checkpoint` if it is damaged
 */
export async function readRecord(folder: string): Promise<TrainingRecord | null> {
  const path = join(folder, names.record);
  if (!(await exists(path))) return null;
  try {
    const record: unknown = JSON.parse(await readFile(path, "utf8"));
    const { version, facts, options, config } = (record ?? {}) as Partial<TrainingRecord>;
    if (
      version !== 1 ||
      !isFacts(facts) ||
      typeof options !== "object" ||
      typeof config !== "object"
    ) {
      throw new Error("it lacks what a run needs");
    }
    return { version, facts, options, config };
  } catch (error) {
    throw new XError(
      "checkpoint",
      `miniformer: ${names.record} must be as \`miniformer train\` wrote it, got one in "${folder}" that is not (${reasonOf(error)}). Remove the file to use the model without it, or train again.`,
      { cause: error },
    );
  }
}
