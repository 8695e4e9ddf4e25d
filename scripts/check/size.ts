import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { fail, pass, root, type Outcome } from "./check.js";
import { publicPackages, type Package } from "./packages.js";

/** The most bytes that everything a package exports may take, bundled, minified and gzipped. */
const ceilings: Record<string, number> = {
  "@x/tensor": 80_000,
  "@x/kernels-webgpu": 60_000,
};
const attentionPackageCeiling = 12_000;

/** Entries that are for development only, and so count towards no ceiling. */
const uncounted = ["@x/tensor/testing"];

/** Bundles each package whole, other `@x` packages left out, and compares it with its ceiling. */
export async function checkSizes(): Promise<Outcome> {
  const rows: string[] = [];
  const complaints: string[] = [];
  for (const package_ of publicPackages()) {
    const { name } = package_;
    const ceiling = ceilings[name] ?? attentionPackageCeiling;
    const size = await bundledSize(package_);
    rows.push(`${name} ${kilobytes(size)} of ${kilobytes(ceiling)}`);
    if (size > ceiling) {
      complaints.push(`${name} takes ${size} bytes gzipped; its ceiling is ${ceiling}.`);
    }
  }
  return complaints.length === 0 ? pass(rows.join(", ")) : fail(complaints.join("\n"));
}

async function bundledSize({ name, entries }: Package): Promise<number> {
  const others = publicPackages().filter((other) => other.name !== name);
  const result = await build({
    stdin: {
      contents: entries
        .filter(({ specifier }) => !uncounted.includes(specifier))
        .map(({ built }, index) => `export * as entry${index} from ${JSON.stringify(built)};`)
        .join("\n"),
      resolveDir: root,
    },
    bundle: true,
    minify: true,
    write: false,
    format: "esm",
    target: "es2023",
    external: ["node:*", ...others.flatMap((other) => [other.name, `${other.name}/*`])],
    logLevel: "silent",
  });
  return gzipSync(result.outputFiles[0]!.contents, { level: 9 }).length;
}

function kilobytes(bytes: number): string {
  return `${(bytes / 1000).toFixed(1)} kB`;
}
