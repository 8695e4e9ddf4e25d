import { readdirSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { command, root } from "./check.js";

/** A publishable package of the workspace. */
export interface Package {
  name: string;
  /** Absolute path. */
  folder: string;
  /** What users can import, such as `@x/tensor` and `@x/tensor/nn`. */
  entries: Entry[];
}

/** One way into a package. */
export interface Entry {
  specifier: string;
  /** Absolute path of the TypeScript file. */
  source: string;
  /** Absolute path of the built JavaScript file. */
  built: string;
}

interface Manifest {
  name: string;
  version: string;
  exports: Record<string, string | { "@x/source": string; default: string }>;
}

/** The publishable packages of the workspace. */
export function publicPackages(): Package[] {
  return readdirSync(join(root, "packages")).map((name) =>
    readPackage(join(root, "packages", name)),
  );
}

function readPackage(folder: string): Package {
  const manifest = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as Manifest;
  const entries: Entry[] = [];
  for (const [subpath, target] of Object.entries(manifest.exports)) {
    // Only ./package.json is a plain path.
    if (typeof target === "string") continue;
    entries.push({
      specifier: manifest.name + subpath.slice(1),
      source: join(folder, target["@x/source"]),
      built: join(folder, target.default),
    });
  }
  return { name: manifest.name, folder, entries };
}

/**
 * Packs every package as it would be published and passes the tarballs (package name to file) to
 * `use`; they are gone afterwards.
 */
export async function withTarballs<T>(
  use: (tarballs: ReadonlyMap<string, string>) => Promise<T>,
): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), "x-tarballs-"));
  try {
    const tarballs = new Map<string, string>();
    for (const { name, folder: cwd } of publicPackages()) {
      const tarball = join(folder, `${name.replace(/\W+/g, "-")}.tgz`);
      const { succeeded, output } = await command("pnpm", ["pack", "--out", tarball], { cwd });
      if (!succeeded) throw new Error(`Packing ${name} failed:\n${output}`);
      tarballs.set(name, tarball);
    }
    return await use(tarballs);
  } finally {
    await rm(folder, { recursive: true });
  }
}
