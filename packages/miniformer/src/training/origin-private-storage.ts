/** Checkpoints in the origin-private file system of a page. */

import { XError } from "@x/tensor";
import { isMissing } from "../runtime/node.js";
import { isCheckpointName, type CheckpointFiles, type CheckpointStorage } from "./storage.js";

/** What workers have and the types of pages lack. */
interface SyncAccessHandle {
  truncate(size: number): void;
  write(bytes: Uint8Array, options: { readonly at: number }): number;
  flush(): void;
  close(): void;
}

interface WorkerFileHandle {
  createSyncAccessHandle?(): Promise<SyncAccessHandle>;
}

/** Written last into each checkpoint: the sizes of all its files. */
const marker = "complete.json";

/**
 * Checkpoints in the origin-private file system, which belongs to the page's origin and needs no
 * permission. Works in pages and workers; where files cannot be replaced at once there (Safari before
 * 26), only in workers. Each checkpoint has a file that is written last and names the sizes of all
 * others: one without it, or with other sizes, is not complete and is not seen.
 *
 * @param name the folder within the origin's file system
 * @throws XError `unsupported` where there is no such file system
 */
export async function originPrivateStorage(name: string = "training"): Promise<CheckpointStorage> {
  const storage = (globalThis.navigator as Navigator | undefined)?.storage as
    Partial<StorageManager> | undefined;
  if (storage?.getDirectory === undefined) {
    throw new XError(
      "unsupported",
      "originPrivateStorage: the runtime must have an origin-private file system, got none. Serve the page by HTTPS, or use MemoryStorage and offer its files as downloads; in Node, use folderStorage().",
    );
  }
  const root = await storage.getDirectory();
  const folder = await root.getDirectoryHandle(name, { create: true });
  const folderOf = async (checkpoint: string): Promise<FileSystemDirectoryHandle | null> =>
    ifThere(folder.getDirectoryHandle(checkpoint));

  const isComplete = async (checkpoint: string): Promise<boolean> => {
    const own = await folderOf(checkpoint);
    const sizes = own === null ? null : sizesIn(await readFile(own, marker));
    if (own === null || sizes === null) return false;
    for (const [file, size] of Object.entries(sizes)) {
      if ((await fileIn(own, file))?.size !== size) return false;
    }
    return true;
  };

  return {
    async list() {
      const complete: string[] = [];
      for (const checkpoint of await namesIn(folder)) {
        if (isCheckpointName(checkpoint) && (await isComplete(checkpoint))) {
          complete.push(checkpoint);
        }
      }
      return complete;
    },
    async write(checkpoint: string, files: CheckpointFiles) {
      for (const other of await namesIn(folder)) {
        const isLeft = isCheckpointName(other) && !(await isComplete(other));
        if (isLeft) await folder.removeEntry(other, { recursive: true });
      }
      const own = await folder.getDirectoryHandle(checkpoint, { create: true });
      const sizes: Record<string, number> = {};
      for (const [file, bytes] of files) {
        await writeFile(own, file, bytes);
        sizes[file] = bytes.length;
      }
      await writeFile(own, marker, new TextEncoder().encode(JSON.stringify(sizes)));
    },
    async read(checkpoint, file) {
      const own = await folderOf(checkpoint);
      return own === null ? null : readFile(own, file);
    },
    async remove(checkpoint) {
      const own = await folderOf(checkpoint);
      if (own === null) return;
      // First what makes it complete: one of which a part is gone must not be seen.
      await ifThere(own.removeEntry(marker));
      await folder.removeEntry(checkpoint, { recursive: true });
    },
    writeNote: (file, bytes) => writeFile(folder, file, bytes),
    readNote: (file) => readFile(folder, file),
  };
}

async function namesIn(folder: FileSystemDirectoryHandle): Promise<string[]> {
  const names: string[] = [];
  // The types of some versions of TypeScript lack the iteration over a folder.
  const iterable = folder as unknown as { keys(): AsyncIterable<string> };
  for await (const name of iterable.keys()) names.push(name);
  return names;
}

async function fileIn(folder: FileSystemDirectoryHandle, file: string): Promise<File | null> {
  const handle = await ifThere(folder.getFileHandle(file));
  return handle === null ? null : ifThere(handle.getFile());
}

/** What is found, or `null` where there is no such file. */
async function ifThere<T>(found: Promise<T>): Promise<T | null> {
  try {
    return await found;
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}

async function readFile(
  folder: FileSystemDirectoryHandle,
  file: string,
): Promise<Uint8Array<ArrayBuffer> | null> {
  const found = await fileIn(folder, file);
  return found === null ? null : new Uint8Array(await found.arrayBuffer());
}

async function writeFile(
  folder: FileSystemDirectoryHandle,
  file: string,
  bytes: Uint8Array<ArrayBuffer>,
): Promise<void> {
  const handle: Partial<FileSystemFileHandle> & WorkerFileHandle = await folder.getFileHandle(
    file,
    { create: true },
  );
  // Takes the place of the old file when it is closed.
  const stream = await handle.createWritable?.();
  if (stream !== undefined) {
    await stream.write(bytes);
    await stream.close();
    return;
  }
  const access = await handle.createSyncAccessHandle?.();
  if (access === undefined) {
    throw new XError(
      "unsupported",
      "originPrivateStorage: this browser must be able to write files here, got one that can do so only in workers. Train in a worker.",
    );
  }
  try {
    access.truncate(0);
    access.write(bytes, { at: 0 });
    access.flush();
  } finally {
    access.close();
  }
}

function sizesIn(bytes: Uint8Array | null): Record<string, number> | null {
  if (bytes === null) return null;
  try {
    return JSON.parse(new TextDecoder().decode(bytes)) as Record<string, number>;
  } catch {
    return null;
  }
}
