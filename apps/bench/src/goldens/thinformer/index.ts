/** Area `thinformer`. */

import type { Device } from "@x/tensor";
import type { Part } from "../areas.js";
import type { GoldenFile } from "../golden-file.js";
import { Subject, type Runner } from "../subject.js";

function findRunner({ config }: GoldenFile): Runner {
  const name = config.string("cls") ?? config.string("function") ?? "";
  throw new Error(`the class or function "${name}" is unknown`);
}

/** A file of area `thinformer` is one part. */
export function partsOfThinformer(file: GoldenFile, device: Device): Part[] {
  const subject = new Subject(device, file.config, file.tensors);
  return [{ subject, runner: findRunner(file) }];
}
