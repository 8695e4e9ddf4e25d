/** The error for files that cannot be used. */

import { XError } from "@x/tensor";
import { reasonOf } from "../runtime/reason.js";

/** The error for a file that cannot be read or written. */
export function notUsable(op: string, path: string, error: unknown): XError {
  return new XError(
    "checkpoint",
    `${op}: the files must be readable and writable, got "${path}" (${reasonOf(error)}). Check the path, the permissions and the space on the disk.`,
    { cause: error },
  );
}

/** What to do in a runtime without Node's file system. */
export const withoutFiles = "In a page, use originPrivateStorage().";
