/** Area `linear-attn`. */

import type { Device } from "@x/tensor";
import { nameIn, runnerNamed, wholeFile, type Part } from "../parts.js";
import type { GoldenFile } from "../golden-file.js";
import type { Runner } from "../subject.js";
import { modelRunners } from "./models.js";
import { partRunners, runSelfAttention } from "./parts.js";

const runners: Readonly<Record<string, Runner>> = {
  ...partRunners,
  ...modelRunners,
};

/** By the name up to a remark in it; a formula without a name is that of self-attention. */
function findRunner({ config }: GoldenFile): Runner {
  const name = nameIn(config);
  if (name === "" && config.boolean("formula") === true) return runSelfAttention;
  return runnerNamed(runners, name.replace(/ [([].*$/, ""));
}

/** A file of area `linear-attn` is one part. */
export function partsOfLinearAttn(file: GoldenFile, device: Device): Part[] {
  return wholeFile(file, device, findRunner(file));
}
