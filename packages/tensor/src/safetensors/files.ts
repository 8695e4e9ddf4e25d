/**
 * Safetensors files on disk, for runtimes with Node's file system (Node, Deno, Bun). It is asked
 * for when first needed and never imported, so that browsers and bundlers do not meet it.
 */

import { XError } from "../error.js";
import { damaged, reasonOf } from "./format.js";
import { openSource } from "./reader.js";
import type { SafetensorsFile } from "./reader.js";
import type { RandomAccessSource } from "./source.js";
import { streamLayout } from "./writer.js";
import type { LazySafetensorsTensor, SafetensorsMetadata } from "./writer.js";

// The little of Node's types that is used: the library itself must compile without them.
interface FileStats {
  readonly size: number;
  readonly mode: number;
  isFile(): boolean;
}

interface FileHandle {
  read(
    buffer: Uint8Array,
    offset: number,
    length: number,
    position: number,
  ): Promise<{ readonly bytesRead: number }>;
  write(
    buffer: Uint8Array,
    offset: number,
    length: number,
  ): Promise<{ readonly bytesWritten: number }>;
  stat(): Promise<FileStats>;
  sync(): Promise<void>;
  close(): Promise<void>;
}

interface FileSystem {
  open(path: string, flags: string, mode?: number): Promise<FileHandle>;
  realpath(path: string): Promise<string>;
  rename(from: string, to: string): Promise<void>;
  stat(path: string): Promise<FileStats>;
  unlink(path: string): Promise<void>;
}

interface Paths {
  readonly fileURLToPath: (url: URL) => string;
}

// One call of the file system moves at most 2^31 - 1 bytes.
const mostPerCall = 2 ** 30;

interface NodeProcess {
  readonly getBuiltinModule?: (name: string) => unknown;
}

function builtin(op: string, name: string): unknown {
  const { process } = globalThis as { readonly process?: NodeProcess };
  const found = process?.getBuiltinModule?.(name);
  if (found === undefined) {
    throw new XError(
      "unsupported",
      `${op}: the runtime must have Node's file system, got none. Use openSafetensors with a Blob, or streamSafetensors.`,
    );
  }
  return found;
}

function fileSystem(op: string): FileSystem {
  return builtin(op, "node:fs/promises") as FileSystem;
}

function toPath(op: string, path: string | URL): string {
  if (typeof path === "string") return path;
  return (builtin(op, "node:url") as Paths).fileURLToPath(path);
}

/**
 * Opens a safetensors file on disk. It stays open for reading tensor by tensor until `close()`, or
 * the end of a `using` or `await using` block.
 *
 * @throws XError `checkpoint` if the file cannot be read, is damaged or was made to do harm;
 * `unsupported` in a runtime without Node's file system
 * @example
 * ```ts
 * import { tmpdir } from "node:os";
 * import { join } from "node:path";
 * import { openSafetensorsFile, writeSafetensorsFile } from "@x/tensor/safetensors";
 *
 * const path = join(tmpdir(), "x-example-open.safetensors");
 * const bytes = new Uint8Array(new Int32Array([7, 8]).buffer);
 * await writeSafetensorsFile(path, [{ name: "ids", dtype: "I32", shape: [2], bytes }]);
 *
 * await using file = await openSafetensorsFile(path);
 * console.log((await file.data("ids")).data); // → Int32Array(2) [ 7, 8 ]
 * ```
 */
export async function openSafetensorsFile(path: string | URL): Promise<SafetensorsFile> {
  const op = "openSafetensorsFile";
  const system = fileSystem(op);
  const name = toPath(op, path);
  let handle: FileHandle;
  try {
    handle = await system.open(name, "r");
  } catch (error) {
    throw damaged(
      `${op}: the file could not be opened, got ${JSON.stringify(reasonOf(error))}. Check the path and the permissions.`,
      { cause: error },
    );
  }
  try {
    const stats = await handle.stat();
    if (!stats.isFile()) {
      throw damaged(
        `${op}: the path must name a file, got ${JSON.stringify(name)}, which is something else. Check the path.`,
      );
    }
    return await openSource(op, fileSource(op, handle, stats.size));
  } catch (error) {
    await handle.close();
    throw error;
  }
}

function fileSource(op: string, handle: FileHandle, size: number): RandomAccessSource {
  return {
    size,
    async read(offset, length) {
      let buffer: Uint8Array;
      try {
        buffer = new Uint8Array(length);
      } catch (error) {
        throw new XError(
          "memory",
          `${op}: a tensor must fit one array, got ${length} bytes. Save it in several parts.`,
          { cause: error },
        );
      }
      let done = 0;
      while (done < length) {
        const wanted = Math.min(length - done, mostPerCall);
        const { bytesRead } = await handle.read(buffer, done, wanted, offset + done);
        // The file became shorter since it was opened; the caller refuses what is too short.
        if (bytesRead === 0) return buffer.subarray(0, done);
        done += bytesRead;
      }
      return buffer;
    },
    close: async () => handle.close(),
  };
}

/**
 * Writes tensors to a safetensors file on disk. The bytes go to a temporary file beside the target,
 * which is flushed to the disk and then renamed over the target: whatever fails, and whenever, the
 * target is either the old file or the whole new one. Bytes given as functions are asked for one
 * tensor at a time.
 *
 * @throws XError `argument`, `dtype` or `shape` if a tensor is described wrongly or its bytes do
 * not fit; `checkpoint` if the file cannot be written; `unsupported` in a runtime without Node's
 * file system
 * @example
 * ```ts
 * import { tmpdir } from "node:os";
 * import { join } from "node:path";
 * import { openSafetensorsFile, writeSafetensorsFile } from "@x/tensor/safetensors";
 *
 * const path = join(tmpdir(), "x-example-write.safetensors");
 * const bytes = async () => new Uint8Array(12);
 * await writeSafetensorsFile(path, [{ name: "bias", dtype: "F32", shape: [3], bytes }], {
 *   step: "100",
 * });
 *
 * await using file = await openSafetensorsFile(path);
 * console.log(file.names, file.metadata.get("step")); // → [ 'bias' ] 100
 * ```
 */
export async function writeSafetensorsFile(
  path: string | URL,
  tensors: Iterable<LazySafetensorsTensor>,
  metadata?: SafetensorsMetadata,
): Promise<void> {
  return writeFile("writeSafetensorsFile", path, tensors, metadata);
}

/** {@link writeSafetensorsFile}; `op` begins the message of an error. */
export async function writeFile(
  op: string,
  path: string | URL,
  tensors: Iterable<LazySafetensorsTensor>,
  metadata: SafetensorsMetadata | undefined,
): Promise<void> {
  const stream = streamLayout(op, tensors, metadata);
  const system = fileSystem(op);
  const target = await resolveLink(system, toPath(op, path));
  const temporary = `${target}.${crypto.randomUUID()}.tmp`;
  // The new file must not be readable to more users than the old one was.
  const mode = await modeOf(system, target);
  let handle: FileHandle;
  try {
    handle = await system.open(temporary, "wx", mode);
  } catch (error) {
    throw notSaved(op, error);
  }
  try {
    for await (const chunk of stream) await writeAll(op, handle, chunk);
    await inFileSystem(op, handle.sync());
    await inFileSystem(op, handle.close());
    await inFileSystem(op, system.rename(temporary, target));
  } catch (error) {
    // The first failure is the one to report, also where cleaning up fails. Closing twice is
    // harmless.
    await handle.close().catch(() => undefined);
    await system.unlink(temporary).catch(() => undefined);
    throw error;
  }
  await syncDirectory(system, target);
}

function notSaved(op: string, error: unknown): XError {
  return damaged(
    `${op}: the file could not be written, got ${JSON.stringify(reasonOf(error))}. Check the path, the permissions and the space on the disk.`,
    { cause: error },
  );
}

/** Gives failures of the file system a sentence; those of the data pass through unchanged. */
async function inFileSystem<T>(op: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw notSaved(op, error);
  }
}

async function writeAll(op: string, handle: FileHandle, chunk: Uint8Array): Promise<void> {
  let done = 0;
  while (done < chunk.length) {
    const wanted = Math.min(chunk.length - done, mostPerCall);
    const { bytesWritten } = await inFileSystem(op, handle.write(chunk, done, wanted));
    done += bytesWritten;
  }
}

/** Where a link points, so that saving replaces the file and leaves the link. */
async function resolveLink(system: FileSystem, path: string): Promise<string> {
  return system.realpath(path).catch(() => path);
}

async function modeOf(system: FileSystem, path: string): Promise<number> {
  return system.stat(path).then(
    (stats) => stats.mode & 0o777,
    () => 0o666,
  );
}

/** Makes the rename itself last through a power cut, where the platform can. */
async function syncDirectory(system: FileSystem, path: string): Promise<void> {
  const directory = /^(.*)[/\\]/.exec(path)?.[1] ?? ".";
  try {
    const handle = await system.open(directory === "" ? "/" : directory, "r");
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  } catch {
    // Windows opens no directories, and some file systems cannot flush them: the file is whole.
  }
}
