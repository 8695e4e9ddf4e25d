/** The little of Node's file system that is used; asked for when needed and never imported. */

import { XError } from "@x/tensor";

/** An open file. */
interface FileHandle {
  writeFile(bytes: Uint8Array | string): Promise<void>;
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** The functions of `node:fs/promises` that are used. */
export interface FileSystem {
  open(path: string, flags: string): Promise<FileHandle>;
  mkdir(path: string, options: { readonly recursive: boolean }): Promise<unknown>;
  readdir(path: string): Promise<string[]>;
  readFile(path: string): Promise<Uint8Array<ArrayBuffer>>;
  appendFile(path: string, text: string): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  rm(
    path: string,
    options: { readonly recursive: boolean; readonly force: boolean },
  ): Promise<void>;
}

interface NodeProcess {
  readonly getBuiltinModule?: (name: string) => unknown;
}

/** Node's file system; an error in a runtime without. */
export function fileSystem(op: string): FileSystem {
  const { process } = globalThis as { readonly process?: NodeProcess };
  const found = process?.getBuiltinModule?.("node:fs/promises");
  if (found === undefined) {
    throw new XError(
      "unsupported",
      `${op}: the runtime must have Node's file system, got none. In a page, use originPrivateStorage().`,
    );
  }
  return found as FileSystem;
}

/** Whether an error says that there is no such file. */
export function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}

/** The error for a file that cannot be read or written. */
export function notUsable(op: string, path: string, error: unknown): XError {
  const reason = error instanceof Error ? error.message : String(error);
  return new XError(
    "checkpoint",
    `${op}: the files must be readable and writable, got "${path}" (${reason}). Check the path, the permissions and the space on the disk.`,
    { cause: error },
  );
}

/** Writes a file and flushes it to the disk. */
export async function writeFlushed(
  system: FileSystem,
  path: string,
  bytes: Uint8Array | string,
): Promise<void> {
  const handle = await system.open(path, "w");
  try {
    await handle.writeFile(bytes);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Makes what happened to the names in a folder last through a power cut, where that is possible. */
export async function flushFolder(system: FileSystem, path: string): Promise<void> {
  try {
    const handle = await system.open(path, "r");
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  } catch {
    // Windows opens no folders, and some file systems cannot flush them.
  }
}
