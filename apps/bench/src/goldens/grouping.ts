/** Files that hold several parts, each with a key in the names of its tensors. */

import type { RecordedTensor } from "../recorded/tensors.js";
import type { GoldenFile } from "./golden-file.js";

/** The tensors of each part, by the first part of their names, which the new names lack. */
export function groupByKey(file: GoldenFile): Map<string, Map<string, RecordedTensor>> {
  const groups = new Map<string, Map<string, RecordedTensor>>();
  for (const [name, tensor] of file.tensors) {
    const [, kind, key, rest] = /^([^.]+)\.([^.]+)\.(.+)$/.exec(name) ?? [];
    if (kind === undefined) continue;
    const group = groups.get(key!) ?? new Map<string, RecordedTensor>();
    groups.set(key!, group.set(`${kind}.${rest!}`, tensor));
  }
  return groups;
}
