/** Checkpoints in files that a page was given. */

import { openSafetensors } from "@x/tensor/safetensors";
import type { CheckpointFiles } from "./checkpoint-files.js";
import { isMissing } from "../../runtime/node.js";
import { reasonOf } from "../../runtime/reason.js";
import { unloadable } from "./failure.js";

/** What is used of a `FileSystemWritableFileStream`. */
export interface WritableFile {
  /** Writes at the end. */
  write(chunk: Uint8Array<ArrayBuffer> | string): Promise<void>;
  /** Puts what was written in the place of the file. */
  close(): Promise<void>;
  /** Forgets what was written. */
  abort(): Promise<void>;
}

/** What is used of a `FileSystemFileHandle`. */
export interface FileHandle {
  /** What the file holds now. */
  getFile(): Promise<Blob>;
  /** Begins to write the file anew. */
  createWritable?(): Promise<WritableFile>;
}

/** What is used of a `FileSystemDirectoryHandle`. */
export interface DirectoryHandle {
  /** Marks a directory. */
  readonly kind: "directory";
  /** Its name, for messages. */
  readonly name: string;
  /** The handle of a file in it. */
  getFileHandle(name: string, options?: { readonly create?: boolean }): Promise<FileHandle>;
  /** The names of what is in it. */
  keys?(): AsyncIterable<string>;
  /** Removes a file. */
  removeEntry?(name: string): Promise<void>;
}

/** How many folders a file that was chosen with its folder lies in. */
function depthOf(file: File): number {
  // Only browsers say where a file lies.
  const { webkitRelativePath: path = "" } = file as Partial<File>;
  return path.split("/").length;
}

/** Files by their names; of several with one name, that in the outermost folder. */
export function byName(files: Iterable<File>): ReadonlyMap<string, Blob> {
  const sorted = [...files].sort((a, b) => depthOf(b) - depthOf(a));
  return new Map(sorted.map((file) => [file.name, file]));
}

/** The files of a map. */
export function blobFiles(blobs: ReadonlyMap<string, Blob>): CheckpointFiles {
  return filesOf("the given files", async (name) => blobs.get(name) ?? null);
}

/** The files of a directory handle. */
export function handleFiles(directory: DirectoryHandle): CheckpointFiles {
  return filesOf(JSON.stringify(directory.name), async (name) => {
    try {
      return await (await directory.getFileHandle(name)).getFile();
    } catch (error) {
      if (isMissing(error)) return null;
      throw unloadable(
        `${name} in ${JSON.stringify(directory.name)} could not be read, got ${JSON.stringify(reasonOf(error))}. Ask for permission to read.`,
        error,
      );
    }
  });
}

function filesOf(place: string, find: (name: string) => Promise<Blob | null>): CheckpointFiles {
  return {
    place,
    opensCheaply: true,
    text: async (name) => (await find(name))?.text() ?? null,
    async open(name) {
      const blob = await find(name);
      return blob === null ? null : openSafetensors(blob);
    },
  };
}
