/** What a golden file is cut into, and how the runner of a part is found. */

import type { Device } from "@x/tensor";
import type { GoldenFile } from "./golden-file.js";
import type { Settings } from "./settings.js";
import { Subject, type Runner } from "./subject.js";

/** What can be computed and compared by itself: a whole file or one operation of it. */
export interface Part {
  /** What stands before the tensors' own names in the file. */
  readonly key?: string;
  readonly subject: Subject;
  readonly runner: Runner;
}

/** A file that is one part. */
export function wholeFile(file: GoldenFile, device: Device, runner: Runner): Part[] {
  return [{ subject: new Subject(device, file.config, file.tensors), runner }];
}

/** What the settings say is computed: the name of a class or function. */
export function nameIn(settings: Settings): string {
  return ["cls", "function", "functions"].map((key) => settings.string(key)).find(Boolean) ?? "";
}

/** The runner of a name. */
export function runnerNamed(runners: Readonly<Record<string, Runner>>, name: string): Runner {
  const runner = runners[name];
  if (runner === undefined) throw new Error(`the class or function "${name}" is unknown`);
  return runner;
}
