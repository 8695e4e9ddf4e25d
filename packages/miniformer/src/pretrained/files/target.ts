/** Where checkpoints are saved to. */

import { XError } from "@x/tensor";
import type { DirectoryHandle, WritableFile } from "./blobs.js";
import { fileSystem, flushFile, joinPath, pathOf } from "../../runtime/node.js";
import { reasonOf } from "../../runtime/reason.js";
import { withoutFolders } from "./failure.js";
import { isDirectoryHandle } from "./source.js";

/** The path of a folder, a directory handle, or a map to which files are added as blobs. */
export type PretrainedTarget = string | URL | DirectoryHandle | Map<string, Blob>;

/** Files that are being written. */
export interface TargetFiles {
  /** Writes text. */
  text(name: string, text: string): Promise<void>;
  /** Writes bytes, one chunk after the other. */
  chunks(name: string, chunks: AsyncIterable<Uint8Array>): Promise<void>;
  /**
   * Puts all files in their places and gives their names. Of an older checkpoint in the same place,
   * files named in `stale`, and parts of a divided one, are removed unless they were written again.
   */
  finish(stale: readonly string[]): Promise<string[]>;
  /** Removes what was written. */
  discard(): Promise<void>;
}

const shardName = /^model-\d+-of-\d+\.safetensors$/;

/** Opens a target; `op` begins the message of an error. */
export async function openTarget(op: string, target: PretrainedTarget): Promise<TargetFiles> {
  if (target instanceof Map) return mapTarget(target);
  if (isDirectoryHandle(target)) return handleTarget(op, target);
  if (typeof target === "string" && !/^[a-z][a-z\d+.-]+:/i.test(target)) {
    return folderTarget(op, target);
  }
  const url = typeof target === "string" || target instanceof URL ? new URL(target) : null;
  if (url?.protocol === "file:") return folderTarget(op, pathOf(url));
  throw new XError(
    "argument",
    `${op}: the target must be a path, a directory handle or a map for blobs, got ${url === null ? typeof target : url.href}. Pass one of these.`,
  );
}

function failure(op: string, place: string, error: unknown): XError {
  if (XError.isInstance(error)) return error;
  return new XError(
    "checkpoint",
    `${op}: the files must be writable, got ${JSON.stringify(reasonOf(error))} for ${JSON.stringify(place)}. Check the path, the permissions and the space.`,
    { cause: error },
  );
}

/** Makes the files in a folder beside the target. */
async function folderTarget(op: string, folder: string): Promise<TargetFiles> {
  const system = fileSystem(op, withoutFolders);
  const target = folder.replace(/(?<=.)[/\\]+$/, "");
  const staging = `${target}.${crypto.randomUUID()}.tmp`;
  const names: string[] = [];
  const attempt = async <T>(work: () => Promise<T>): Promise<T> => {
    try {
      return await work();
    } catch (error) {
      throw failure(op, target, error);
    }
  };
  await attempt(async () => system.mkdir(staging, { recursive: true }));
  return {
    async text(name, text) {
      names.push(name);
      await attempt(async () => system.writeFile(joinPath(staging, name), text));
    },
    async chunks(name, chunks) {
      names.push(name);
      await attempt(async () => system.writeFile(joinPath(staging, name), chunks));
    },
    async finish(stale) {
      await attempt(async () => {
        for (const name of names) await flushFile(system, joinPath(staging, name));
        // An empty or missing folder is replaced as a whole.
        const isNew = await system.rename(staging, target).then(
          () => true,
          () => false,
        );
        if (isNew) return;
        for (const name of names) {
          await system.rename(joinPath(staging, name), joinPath(target, name));
        }
        for (const name of await system.readdir(target)) {
          const isOld = stale.includes(name) || shardName.test(name);
          if (isOld && !names.includes(name)) await system.rm(joinPath(target, name), {});
        }
        await system.rm(staging, { recursive: true, force: true });
      });
      return names;
    },
    discard: async () => system.rm(staging, { recursive: true, force: true }),
  };
}

/** Adds blobs to a map when all are made. */
function mapTarget(target: Map<string, Blob>): TargetFiles {
  const made = new Map<string, Blob>();
  return {
    async text(name, text) {
      made.set(name, new Blob([text], { type: "application/json" }));
    },
    async chunks(name, chunks) {
      const parts: BlobPart[] = [];
      // A blob keeps a copy, perhaps not in memory.
      for await (const chunk of chunks) parts.push(new Blob([chunk as Uint8Array<ArrayBuffer>]));
      made.set(name, new Blob(parts, { type: "application/octet-stream" }));
    },
    async finish(stale) {
      for (const name of [...target.keys()]) {
        if (stale.includes(name) || shardName.test(name)) target.delete(name);
      }
      for (const [name, blob] of made) target.set(name, blob);
      return [...made.keys()];
    },
    discard: async () => made.clear(),
  };
}

/** Writes through a directory handle; files change when all are written. */
function handleTarget(op: string, directory: DirectoryHandle): TargetFiles {
  const open = new Map<string, WritableFile>();
  const writable = async (name: string): Promise<WritableFile> => {
    const handle = await directory.getFileHandle(name, { create: true });
    if (handle.createWritable === undefined) {
      throw new XError(
        "unsupported",
        `${op}: the browser must be able to write through file handles, got one that is not. Save to a map of blobs and download them.`,
      );
    }
    const file = await handle.createWritable();
    open.set(name, file);
    return file;
  };
  const attempt = async (work: () => Promise<void>): Promise<void> => {
    try {
      await work();
    } catch (error) {
      throw failure(op, directory.name, error);
    }
  };
  return {
    text: async (name, text) => attempt(async () => (await writable(name)).write(text)),
    chunks: async (name, chunks) =>
      attempt(async () => {
        const file = await writable(name);
        for await (const chunk of chunks) await file.write(chunk as Uint8Array<ArrayBuffer>);
      }),
    async finish(stale) {
      await attempt(async () => {
        // What was written takes the place of the old file when it is closed.
        for (const file of open.values()) await file.close();
        for await (const name of directory.keys?.() ?? []) {
          const isOld = stale.includes(name) || shardName.test(name);
          if (isOld && !open.has(name)) await directory.removeEntry?.(name);
        }
      });
      return [...open.keys()];
    },
    async discard() {
      for (const file of open.values()) await file.abort().catch(() => undefined);
    },
  };
}
