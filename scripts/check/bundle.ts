import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { build, type Platform } from "esbuild";
import { root } from "./check.js";

/** What a bundler makes of a program. */
export interface Bundle {
  text: string;
  /** Bytes once compressed. */
  gzipped: number;
  /** What it still imports. */
  imports: string[];
}

/** Bundles and minifies a program that may import every built package of the workspace. */
export async function bundle(
  contents: string,
  { platform, external = [] }: { platform: Platform; external?: string[] },
): Promise<Bundle> {
  const { outputFiles, metafile } = await build({
    // An app may import everything.
    stdin: { contents, resolveDir: join(root, "apps/bench") },
    bundle: true,
    minify: true,
    write: false,
    metafile: true,
    format: "esm",
    target: "es2023",
    platform,
    external,
    logLevel: "silent",
  });
  const { contents: bytes, text } = outputFiles[0]!;
  const imports = Object.values(metafile.outputs).flatMap((output) => output.imports);
  return {
    text,
    gzipped: gzipSync(bytes, { level: 9 }).length,
    imports: imports.map(({ path }) => path),
  };
}

/** For people. */
export function kilobytes(bytes: number): string {
  return `${(bytes / 1000).toFixed(1)} kB`;
}
