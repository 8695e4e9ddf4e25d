/** What a checkpoint can be loaded from. */

import { XError } from "@x/tensor";
import { blobFiles, byName, handleFiles, type DirectoryHandle } from "./blobs.js";
import type { CheckpointFiles } from "./checkpoint-files.js";
import { hasFileSystem, pathOf } from "../../runtime/node.js";
import { folderFiles } from "./folder.js";
import { remoteFiles, type Fetch } from "./remote.js";

/**
 * Where a checkpoint is: the path of a folder (in Node), the URL of one, a directory handle, files
 * that a user chose, or blobs by their names.
 */
export type PretrainedSource =
  string | URL | DirectoryHandle | Iterable<File> | ReadonlyMap<string, Blob>;

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}

/** Whether something is a directory handle, also one of another realm. */
export function isDirectoryHandle(value: unknown): value is DirectoryHandle {
  return isObject(value) && "getFileHandle" in value;
}

/** The URL that a string or URL stands for, or `null` for the path of a folder. */
function urlOf(source: string | URL): URL | null {
  if (typeof source !== "string") return new URL(source);
  // A scheme of one letter is the name of a drive.
  if (/^[a-z][a-z\d+.-]+:/i.test(source)) return new URL(source);
  if (hasFileSystem()) return null;
  const { location } = globalThis as { readonly location?: { readonly href: string } };
  return new URL(source, location?.href);
}

/** The files of a checkpoint. */
export async function openSource(
  source: PretrainedSource,
  fetch: Fetch | undefined,
): Promise<CheckpointFiles> {
  if (typeof source === "string" || source instanceof URL) {
    const url = urlOf(source);
    if (url === null) return folderFiles(source as string);
    if (url.protocol === "file:") return folderFiles(pathOf(url));
    return remoteFiles(url, fetch ?? (async (...call) => globalThis.fetch(...call)));
  }
  if (isDirectoryHandle(source)) return handleFiles(source);
  if (source instanceof Map) return blobFiles(source as ReadonlyMap<string, Blob>);
  if (isObject(source) && Symbol.iterator in source)
    return blobFiles(byName(source as Iterable<File>));
  throw new XError(
    "argument",
    `fromPretrained: the source must be a path, a URL, a directory handle, files or a map of blobs, got ${typeof source}. Pass one of these.`,
  );
}
