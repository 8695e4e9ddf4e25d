/** Area `ops`: single operations, optimizers, schedules, and whole modules of torch.nn. */

import type { Device } from "@x/tensor";
import type { Part } from "../parts.js";
import type { RecordedTensor } from "../../recorded/tensors.js";
import type { GoldenFile } from "../golden-file.js";
import { groupByKey } from "../grouping.js";
import type { Settings } from "../settings.js";
import { Subject, type Runner } from "../subject.js";
import { attention, dropout } from "./attention.js";
import { clipByNorm, clipByValue } from "./clipping.js";
import { elementwiseOperations } from "./elementwise.js";
import { indexingOperations } from "./indexing.js";
import { lossOperations } from "./losses.js";
import { runModule } from "./modules.js";
import { normalizationOperations } from "./normalization.js";
import type { Operation, Operations } from "./operation.js";
import { runOptimizer } from "./optimizers.js";
import { productOperations } from "./products.js";
import { reductionOperations } from "./reductions.js";
import { rotary } from "./rotary.js";
import { runSchedule } from "./schedules.js";
import { shapeOperation } from "./shapes.js";

const operations: Operations = {
  ...elementwiseOperations,
  ...indexingOperations,
  ...lossOperations,
  ...normalizationOperations,
  ...productOperations,
  ...reductionOperations,
};

/** Splits a file of area `ops` into what can be computed by itself. */
export function partsOfOps(file: GoldenFile, device: Device): Part[] {
  const { config, tensors } = file;
  if (config.has("cls")) return [{ subject: new Subject(device, config, tensors), runner: runModule }];
  if (config.string("function")?.includes("rotary")) {
    return [{ subject: new Subject(device, config, tensors), runner: rotary }];
  }
  if (config.has("optimizers")) {
    return partsByKey(file, device, config.object("optimizers"), runOptimizer);
  }
  if (config.has("schedules")) {
    return partsByKey(file, device, config.object("schedules"), runSchedule);
  }
  return operationParts(file, device);
}

function partsByKey(
  file: GoldenFile,
  device: Device,
  settings: Settings,
  runner: Runner,
): Part[] {
  const groups = groupByKey(file);
  return [...groups].map(([key, tensors]) => ({
    key,
    subject: new Subject(device, settings.object(key), tensors),
    runner,
  }));
}

function operationParts(file: GoldenFile, device: Device): Part[] {
  const all = file.config.object("ops");
  const groups = groupByKey(file);
  return [...groups.keys()].map((key) => {
    const tensors = withBorrowedInputs(groups, key);
    const subject = new Subject(device, all.object(key), tensors);
    const runner: Runner = (own) => findOperation(all, key, own)(own, key);
    return { key, subject, runner };
  });
}

/** Minima recorded for the inputs of the maxima have no inputs of their own. */
function withBorrowedInputs(
  groups: ReadonlyMap<string, ReadonlyMap<string, RecordedTensor>>,
  key: string,
): ReadonlyMap<string, RecordedTensor> {
  const own = groups.get(key)!;
  if ([...own.keys()].some((name) => name.startsWith("input."))) return own;
  const swapped = key.includes("min") ? key.replace("min", "max") : key.replace("max", "min");
  const other = [...(groups.get(swapped) ?? [])].filter(([name]) => name.startsWith("input."));
  return new Map([...own, ...other]);
}

/** What an operation is: by what its settings name, by its tensors, or by how its key begins. */
function findOperation(all: Settings, key: string, subject: Subject): Operation {
  const { settings } = subject;
  const text = all.text(key);
  if (text !== undefined) return shapeOperation(text);
  if (settings.has("equation")) return operations.einsum!;
  if (settings.has("max_norm")) return clipByNorm;
  if (settings.has("clip_value")) return clipByValue;
  if (subject.recorded.has("random.keep_mask")) return dropout;
  if (["q", "k", "v"].every((name) => subject.hasInput(name))) return attention;
  const name = settings.string("op") ?? key;
  const found = Object.keys(operations)
    .filter((known) => name.startsWith(known) && !/^[a-z]/i.test(name.slice(known.length)))
    .sort((a, b) => b.length - a.length)[0];
  if (found === undefined) throw new Error(`the operation "${name}" is unknown`);
  return operations[found]!;
}
