/** The errors of checkpoints. */

import { XError } from "@x/tensor";

/** What to do in a runtime without Node's file system. */
export const withoutFolders = "Pass a URL, files or a directory handle.";

/** A checkpoint that cannot be loaded. */
export function unloadable(message: string, cause?: unknown): XError {
  return new XError("checkpoint", `fromPretrained: ${message}`, { cause });
}

/** Passes on why something was aborted, and `XError`s; gives everything else a sentence. */
export function explained(
  error: unknown,
  signal: AbortSignal | undefined,
  message: string,
): unknown {
  if (XError.isInstance(error) || signal?.aborted === true) return error;
  return unloadable(message, error);
}
