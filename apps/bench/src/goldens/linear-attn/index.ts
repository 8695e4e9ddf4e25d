/** Area `linear-attn`. */

import type { Device } from "@x/tensor";
import type { Part } from "../areas.js";
import type { GoldenFile } from "../golden-file.js";
import { Subject, type Runner } from "../subject.js";
import { modelRunners } from "./models.js";
import { partRunners, runSelfAttention } from "./parts.js";

const runners: Readonly<Record<string, Runner>> = {
  ...partRunners,
  ...modelRunners,
};

/** By the name up to a remark in it; a formula without a name is that of self-attention. */
function findRunner({ config }: GoldenFile): Runner {
  const name = config.string("cls") ?? config.string("function") ?? config.string("functions") ?? "";
  if (name === "" && config.boolean("formula") === true) return runSelfAttention;
  const runner = runners[name.replace(/ [([].*$/, "")];
  if (runner === undefined) throw new Error(`the class or function "${name}" is unknown`);
  return runner;
}

/** A file of area `linear-attn` is one part. */
export function partsOfLinearAttn(file: GoldenFile, device: Device): Part[] {
  const subject = new Subject(device, file.config, file.tensors);
  return [{ subject, runner: findRunner(file) }];
}
