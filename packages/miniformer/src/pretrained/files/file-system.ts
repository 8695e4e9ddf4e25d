/** Node's file system, where there is one: it is asked for when first needed and never imported. */

import { XError } from "@x/tensor";

/** What is used of `node:fs/promises`: a library compiles without the types of Node. */
export interface FileSystem {
  readFile(path: string, encoding: "utf8"): Promise<string>;
  writeFile(path: string, data: string | AsyncIterable<Uint8Array>): Promise<void>;
  open(path: string, flags: string): Promise<{ sync(): Promise<void>; close(): Promise<void> }>;
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

/** The file system; `op` begins the message of an error. */
export function fileSystem(op: string): FileSystem {
  const found = builtin("node:fs/promises");
  if (found === undefined) {
    throw new XError(
      "unsupported",
      `${op}: the runtime must have Node's file system for folders, got none. Pass a URL, files or a directory handle.`,
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

/** Whether an error says that there is no such file. */
export function isAbsence(error: unknown): boolean {
  const { code, name } = (error ?? {}) as { readonly code?: unknown; readonly name?: unknown };
  return code === "ENOENT" || code === "ENOTDIR" || name === "NotFoundError";
}
