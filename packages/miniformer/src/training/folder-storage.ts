/** Checkpoints in a folder of the file system. */

import { fileSystem, flushFolder, isMissing, writeFlushed } from "../runtime/node.js";
import { isCheckpointName, type CheckpointFiles, type CheckpointStorage } from "./storage.js";
import { notUsable, withoutFiles } from "./storage-failure.js";

const op = "folderStorage";
const partial = ".partial";

const isPartial = (name: string): boolean =>
  name.endsWith(partial) && isCheckpointName(name.slice(0, -partial.length));

/**
 * Checkpoints in a folder, each a folder in it. One is written under another name (`….partial`),
 * flushed to the disk and then renamed as a whole: whatever ends the program, and whenever, every
 * checkpoint that can be seen is complete. Needs Node's file system (also in Deno and Bun).
 *
 * @throws XError `unsupported` in a runtime without it; its methods throw `checkpoint` for files that
 * cannot be read or written
 * @example
 * ```ts
 * import { mkdtemp } from "node:fs/promises";
 * import { tmpdir } from "node:os";
 * import { join } from "node:path";
 *
 * const storage = folderStorage(await mkdtemp(join(tmpdir(), "x-run-")));
 * await storage.write("step-000001", new Map([["run.json", new TextEncoder().encode("{}")]]));
 * console.log(await storage.list()); // → [ 'step-000001' ]
 * ```
 */
export function folderStorage(folder: string): CheckpointStorage {
  const system = fileSystem(op, withoutFiles);
  const pathOf = (...parts: string[]): string => [folder, ...parts].join("/");
  const guarded = async <T>(path: string, work: () => Promise<T>): Promise<T> => {
    try {
      return await work();
    } catch (error) {
      throw notUsable(op, path, error);
    }
  };
  const read = async (path: string): Promise<Uint8Array<ArrayBuffer> | null> => {
    try {
      return await system.readFile(path);
    } catch (error) {
      if (isMissing(error)) return null;
      throw notUsable(op, path, error);
    }
  };
  const namesIn = async (): Promise<string[]> => {
    try {
      return await system.readdir(folder);
    } catch (error) {
      if (isMissing(error)) return [];
      throw notUsable(op, folder, error);
    }
  };
  return {
    async list() {
      return (await namesIn()).filter(isCheckpointName);
    },
    async write(name: string, files: CheckpointFiles) {
      const beside = pathOf(name + partial);
      await guarded(beside, async () => {
        // What an interrupted attempt left, of this or another checkpoint.
        const left = (await namesIn()).filter(isPartial);
        for (const other of left) await system.rm(pathOf(other), { recursive: true, force: true });
        await system.mkdir(beside, { recursive: true });
        for (const [file, bytes] of files) await writeFlushed(system, `${beside}/${file}`, bytes);
        await flushFolder(system, beside);
        await system.rename(beside, pathOf(name));
        await flushFolder(system, folder);
      });
    },
    read: (name, file) => read(pathOf(name, file)),
    async remove(name) {
      // Renamed first: a checkpoint of which a part is gone must not be seen.
      await guarded(pathOf(name), async () => {
        const beside = pathOf(name + partial);
        await system.rm(beside, { recursive: true, force: true });
        try {
          await system.rename(pathOf(name), beside);
        } catch (error) {
          if (isMissing(error)) return;
          throw error;
        }
        await system.rm(beside, { recursive: true, force: true });
      });
    },
    async writeNote(file, bytes) {
      await guarded(pathOf(file), async () => {
        await system.mkdir(folder, { recursive: true });
        await writeFlushed(system, pathOf(`${file}.new`), bytes);
        await system.rename(pathOf(`${file}.new`), pathOf(file));
        await flushFolder(system, folder);
      });
    },
    readNote: (file) => read(pathOf(file)),
  };
}
