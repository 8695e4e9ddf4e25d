/** The little of Node that is used, where there is one: asked for when needed and never imported. */

import { XError } from "@x/tensor";

/** An open file. */
interface FileHandle {
  writeFile(bytes: Uint8Array | string): Promise<void>;
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** What is used of `node:fs/promises`: a library compiles without the types of Node. */
export interface FileSystem {
  readFile(path: string): Promise<Uint8Array<ArrayBuffer>>;
  readFile(path: string, encoding: "utf8"): Promise<string>;
  writeFile(path: string, data: string | AsyncIterable<Uint8Array>): Promise<void>;
  appendFile(path: string, text: string): Promise<void>;
  open(path: string, flags: string): Promise<FileHandle>;
  mkdir(path: string, options: { readonly recursive: boolean }): Promise<unknown>;
  readdir(path: string): Promise<string[]>;
  rename(from: string, to: string): Promise<void>;
  rm(path: string, options: { readonly recursive?: boolean; force?: boolean }): Promise<void>;
  stat(path: string): Promise<{ isDirectory(): boolean }>;
}

interface Paths {
  readonly join: (...parts: string[]) => string;
}

interface Locations {
  readonly fileURLToPath: (url: URL) => string;
}

interface NodeProcess {
  readonly getBuiltinModule?: (name: string) => unknown;
}

function builtin(name: string): unknown {
  const { process } = globalThis as { readonly process?: NodeProcess };
  return process?.getBuiltinModule?.(name);
}

/** Whether there is a file system. */
export function hasFileSystem(): boolean {
  return builtin("node:fs/promises") !== undefined;
}

/**
 * The file system.
 *
 * @param op begins the message of an error
 * @param advice ends it
 * @throws XError `unsupported` in a runtime without one
 */
export function fileSystem(op: string, advice: string): FileSystem {
  const found = builtin("node:fs/promises");
  if (found === undefined) {
    throw new XError(
      "unsupported",
      `${op}: the runtime must have Node's file system, got none. ${advice}`,
    );
  }
  return found as FileSystem;
}

/** A path in a folder. */
export function joinPath(...parts: string[]): string {
  return (builtin("node:path") as Paths).join(...parts);
}

/** The path that a `file:` URL stands for. */
export function pathOf(url: URL): string {
  return (builtin("node:url") as Locations).fileURLToPath(url);
}

/** Whether an error, of Node or of a page, says that there is no such file. */
export function isMissing(error: unknown): boolean {
  const { code, name } = (error ?? {}) as { readonly code?: unknown; readonly name?: unknown };
  return code === "ENOENT" || name === "NotFoundError";
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

/** Makes sure that a file that was written is on the disk. */
export async function flushFile(system: FileSystem, path: string): Promise<void> {
  await flush(system, path, "r+");
}

/** Makes what happened to the names in a folder last through a power cut, where that is possible. */
export async function flushFolder(system: FileSystem, path: string): Promise<void> {
  try {
    await flush(system, path, "r");
  } catch {
    // Windows opens no folders, and some file systems cannot flush them.
  }
}

async function flush(system: FileSystem, path: string, flags: string): Promise<void> {
  const handle = await system.open(path, flags);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
