import { join, resolve } from "node:path";
import { gzipSync } from "node:zlib";
import { build, type Platform } from "esbuild";
import { root } from "./check.js";

/** What a bundler makes of a program. */
export interface Bundle {
  /** All of it. */
  text: string;
  /** Bytes, once compressed, that are loaded at the start. */
  gzipped: number;
  /** Bytes, once compressed, of the files that are loaded when they are first needed. */
  later: number;
  /** What it still imports. */
  imports: string[];
}

/** Nothing is written there. */
const bundleFolder = join(root, "node_modules/.cache/bundle");

/** Bundles and minifies a program that may import every built package of the workspace. */
export async function bundle(
  contents: string,
  { platform, external = [] }: { platform: Platform; external?: string[] },
): Promise<Bundle> {
  const { outputFiles, metafile } = await build({
    absWorkingDir: root,
    // An app may import everything.
    stdin: { contents, resolveDir: join(root, "apps/bench") },
    bundle: true,
    minify: true,
    write: false,
    metafile: true,
    // As bundlers do by default: what is imported when it is needed gets files of its own.
    splitting: true,
    outdir: bundleFolder,
    format: "esm",
    target: "es2023",
    platform,
    external,
    logLevel: "silent",
  });
  const outputs = new Map(
    Object.entries(metafile.outputs).map(([file, o]) => [resolve(root, file), o]),
  );
  const entry = [...outputs].find(([, { entryPoint }]) => entryPoint === "<stdin>")![0];
  // Files that nothing imports are written too.
  const closure = (kinds: readonly string[]): ReadonlySet<string> => {
    const found = new Set([entry]);
    for (const file of found) {
      for (const { path, kind, external } of outputs.get(file)!.imports) {
        if (kinds.includes(kind) && external !== true) found.add(resolve(root, path));
      }
    }
    return found;
  };
  const atStart = closure(["import-statement"]);
  const all = closure(["import-statement", "dynamic-import"]);
  const compressed = (isWanted: (file: string) => boolean): number =>
    outputFiles
      .filter(({ path }) => isWanted(path))
      .reduce((sum, { contents }) => sum + gzipSync(contents, { level: 9 }).length, 0);
  return {
    text: outputFiles
      .filter(({ path }) => all.has(path))
      .map(({ text }) => text)
      .join(""),
    gzipped: compressed((file) => atStart.has(file)),
    later: compressed((file) => all.has(file) && !atStart.has(file)),
    imports: [...all]
      .map((file) => outputs.get(file)!)
      .flatMap(({ imports }) =>
        imports.filter(({ external }) => external === true).map(({ path }) => path),
      ),
  };
}

/** For people. */
export function kilobytes(bytes: number): string {
  return `${(bytes / 1000).toFixed(1)} kB`;
}
