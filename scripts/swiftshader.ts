/**
 * A GPU for machines without one: SwiftShader, a Vulkan driver that computes on the CPU. It comes
 * with the npm package `@sparticuz/chromium`, so that a test needs nothing but npm.
 */
import { mkdirSync, existsSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { delimiter, join } from "node:path";
import { brotliDecompressSync } from "node:zlib";
import { root } from "./check/check.js";

/** Environment variable that, set to `system`, leaves the choice of the GPU to the system. */
const choice = "X_GPU";

/**
 * Lets the processes started from now on find SwiftShader where they ask for Vulkan. It cannot be
 * done for the running process: the dynamic linker reads its search path at the start only.
 *
 * Does nothing where the driver cannot run, and with `X_GPU=system`: the GPU of the machine is
 * used there.
 */
export function provideSwiftShader(): void {
  if (!runsHere() || process.env[choice] === "system") return;
  const folder = unpack();
  const path = process.env.LD_LIBRARY_PATH?.split(delimiter) ?? [];
  if (!path.includes(folder)) process.env.LD_LIBRARY_PATH = [folder, ...path].join(delimiter);
}

/** Vitest calls this before it starts the processes of the tests. */
export const setup: () => void = provideSwiftShader;

/** The package holds the driver for one platform. */
function runsHere(): boolean {
  return process.platform === "linux" && process.arch === "x64";
}

/** Unpacks the driver unless that was done already; returns its folder. */
function unpack(): string {
  const bin = join(createRequire(import.meta.url).resolve("@sparticuz/chromium"), "../../../bin");
  const manifest = JSON.parse(readFileSync(join(bin, "../package.json"), "utf8")) as {
    version: string;
  };
  const cache = join(root, "node_modules/.cache");
  const folder = join(cache, `swiftshader-${manifest.version}`);
  if (existsSync(folder)) return folder;

  const archive = brotliDecompressSync(readFileSync(join(bin, "swiftshader.tar.br")));
  // Made under another name first: processes that look at the same time see all of it or nothing.
  const unfinished = `${folder}.${process.pid}`;
  mkdirSync(unfinished, { recursive: true });
  // The name of the Vulkan loader, which would only lead to the driver anyway.
  writeFileSync(join(unfinished, "libvulkan.so.1"), findInTar(archive, "libvk_swiftshader.so"));
  try {
    renameSync(unfinished, folder);
  } catch (error) {
    rmSync(unfinished, { recursive: true });
    if (!existsSync(folder)) throw error;
  }
  return folder;
}

/** The contents of a file in a tar archive: headers of 512 bytes, contents padded to such blocks. */
function findInTar(archive: Buffer, name: string): Buffer {
  const text = (start: number, length: number): string =>
    archive.toString("latin1", start, start + length).replace(/\0.*$/s, "");
  for (let header = 0; text(header, 100) !== "";) {
    const size = parseInt(text(header + 124, 12), 8);
    const start = header + 512;
    if (text(header, 100).split("/").at(-1) === name) return archive.subarray(start, start + size);
    header = start + Math.ceil(size / 512) * 512;
  }
  throw new Error(`The archive of @sparticuz/chromium holds no ${name}.`);
}
