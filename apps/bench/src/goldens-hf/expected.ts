/** What was recorded of a checkpoint. */

import { openSafetensorsFile } from "@x/tensor/safetensors";
import { readTensors, type RecordedTensor } from "../recorded/tensors.js";

/** Everything in `expected.safetensors`. */
export interface Expected {
  readonly tensors: ReadonlyMap<string, RecordedTensor>;
  /** The text whose ids were recorded; `null` without. */
  readonly text: string | null;
}

/** Reads what was recorded. */
export async function readExpected(path: string): Promise<Expected> {
  await using file = await openSafetensorsFile(path);
  return { tensors: await readTensors(file), text: textOf(file.metadata.get("text")) };
}

/** Metadata is written as JSON, so that a text stands in quotes; one that does not is taken as it is. */
function textOf(metadata: string | undefined): string | null {
  if (metadata === undefined) return null;
  try {
    const parsed: unknown = JSON.parse(metadata);
    return typeof parsed === "string" ? parsed : metadata;
  } catch {
    return metadata;
  }
}

/** Ids as numbers of JavaScript. */
export function idsOf({ data }: RecordedTensor): number[] {
  return Array.from(data);
}
