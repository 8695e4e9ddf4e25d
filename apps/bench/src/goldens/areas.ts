/** The areas of the goldens, and how their cases are built. */

import type { Device } from "@x/tensor";
import type { GoldenFile } from "./golden-file.js";
import { partsOfLinearAttn } from "./linear-attn/index.js";
import { partsOfMiniformer } from "./miniformer/index.js";
import { partsOfOps } from "./ops/index.js";
import { partsOfSrf } from "./srf/index.js";
import type { Part } from "./parts.js";
import { partsOfThinformer } from "./thinformer/index.js";
import { partsOfTrim } from "./trim/index.js";

/** Splits a file into parts on a device. */
type Area = (file: GoldenFile, device: Device) => Part[];

const areas: Readonly<Record<string, Area>> = {
  "linear-attn": partsOfLinearAttn,
  miniformer: partsOfMiniformer,
  ops: partsOfOps,
  srf: partsOfSrf,
  thinformer: partsOfThinformer,
  trim: partsOfTrim,
};

/** How cases of an area are built; `undefined` for areas whose package does not exist. */
export function findArea(name: string): Area | undefined {
  return Object.hasOwn(areas, name) ? areas[name] : undefined;
}
