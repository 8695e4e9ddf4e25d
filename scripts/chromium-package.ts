/**
 * What the npm package `@sparticuz/chromium` holds, so that a test needs nothing but npm: a headless
 * Chromium for Linux on x64 with the libraries and fonts that a bare machine lacks, and SwiftShader,
 * a Vulkan driver that computes on the CPU.
 */
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { brotliDecompressSync } from "node:zlib";
import { root } from "./check/check.js";

/** A file to be written. */
export interface UnpackedFile {
  /** Its path in the folder. */
  readonly path: string;
  readonly contents: Buffer;
}

/** Whether the package holds something for this platform. */
export const packageRunsHere: boolean = process.platform === "linux" && process.arch === "x64";

const packageFolder = join(
  createRequire(import.meta.url).resolve("@sparticuz/chromium"),
  "../../..",
);

/** A compressed file of the package. */
export function readCompressed(name: string): Buffer {
  return brotliDecompressSync(readFileSync(join(packageFolder, "bin", name)));
}

/** The files of a compressed tar archive of the package. */
export function readArchive(name: string): UnpackedFile[] {
  const archive = readCompressed(name);
  const text = (start: number, length: number): string =>
    archive.toString("latin1", start, start + length).replace(/\0.*$/s, "");
  const files: UnpackedFile[] = [];
  // Headers of 512 bytes, and contents padded to such blocks.
  for (let header = 0; text(header, 100) !== "";) {
    const size = parseInt(text(header + 124, 12), 8);
    const start = header + 512;
    const isFile = ["0", ""].includes(text(header + 156, 1));
    if (isFile) {
      files.push({ path: text(header, 100), contents: archive.subarray(start, start + size) });
    }
    header = start + Math.ceil(size / 512) * 512;
  }
  return files;
}

/**
 * The folder `name` in the cache of the workspace, filled with `files` unless that was done already.
 * Each version of the package has a folder of its own.
 */
export function unpackOnce(name: string, files: () => readonly UnpackedFile[]): string {
  const { version } = JSON.parse(readFileSync(join(packageFolder, "package.json"), "utf8")) as {
    version: string;
  };
  const cache = join(root, "node_modules/.cache");
  const folder = join(cache, `${name}-${version}`);
  if (existsSync(folder)) return folder;

  // Made under another name first: processes that look at the same time see all of it or nothing.
  const unfinished = join(cache, `unfinished-${name}.${process.pid}`);
  mkdirSync(unfinished, { recursive: true });
  for (const { path, contents } of files()) {
    const target = join(unfinished, path);
    mkdirSync(dirname(target), { recursive: true });
    writeFileSync(target, contents, { mode: 0o755 });
  }
  try {
    renameSync(unfinished, folder);
  } catch (error) {
    rmSync(unfinished, { recursive: true });
    if (!existsSync(folder)) throw error;
  }
  return folder;
}
