/**
 * What the archive holds: the layout of the repository, with TypeScript compiled in place.
 *
 * The bench runs on the built packages in `dist`, as users would; tests run on their source, which
 * the condition `@x/source` leads to. Packages of others are bundled.
 */
import { existsSync, readdirSync } from "node:fs";
import { chmod, cp, mkdir, readFile, realpath, symlink, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { build, transform } from "esbuild";
import { root } from "../check/check.js";
import { publicPackages } from "../check/packages.js";
import { suitesOfDevices } from "../check/tests.js";

/** Tests of kernels that need nothing but a GPU: no mocks, no bundler, no null backend. */
const kernelSuites = [
  "packages/kernels-webgpu/src/kernels",
  "packages/kernels-webgpu/src/loop",
  "packages/kernels-webgpu/src/wgsl",
  "packages/kernels-webgpu/src/device.test.ts",
  "packages/kernels-webgpu/test/training.test.ts",
];

const here = fileURLToPath(new URL(".", import.meta.url));

/** Fills a folder with all that a machine with a GPU needs. `node` is the Node program to carry. */
export async function fillFolder(folder: string, node: string): Promise<void> {
  await mkdir(join(folder, "bin"), { recursive: true });
  await cp(node, join(folder, "bin/node"));
  await chmod(join(folder, "bin/node"), 0o755);
  for (const file of ["run.sh", "run-suites.mjs"]) await cp(join(here, file), join(folder, file));
  await cp(join(root, "goldens"), join(folder, "goldens"), { recursive: true });
  await copyDawn(join(folder, "node_modules/webgpu"));
  await copyPackages(folder);
  await copyTests(folder);
  await bundlePrograms(folder);
}

/** The npm package `webgpu` with the binary for this platform alone. */
async function copyDawn(target: string): Promise<void> {
  const main = createRequire(join(root, "packages/kernels-webgpu/package.json")).resolve("webgpu");
  const source = dirname(main);
  for (const part of ["package.json", "index.js", "LICENSE.md", "dist/linux-x64"]) {
    await cp(join(source, part), join(target, part), { recursive: true });
  }
}

/** Built packages, without what only compilers and debuggers read. */
async function copyPackages(folder: string): Promise<void> {
  await mkdir(join(folder, "node_modules/@x"), { recursive: true });
  for (const { name, folder: source } of publicPackages()) {
    const place = relative(root, source);
    await cp(join(source, "dist"), join(folder, place, "dist"), {
      recursive: true,
      filter: (file) => !/\.(map|d\.ts)$/.test(file),
    });
    const manifest = await readFile(join(source, "package.json"), "utf8");
    // The source is compiled in place.
    await writeFile(join(folder, place, "package.json"), manifest.replace(/\.ts"/g, '.js"'));
    await symlink(join("../..", place), join(folder, "node_modules", name));
  }
}

/** Source and tests of the packages, compiled file by file, and the list of the suites. */
async function copyTests(folder: string): Promise<void> {
  const places = publicPackages().map((package_) => relative(root, package_.folder));
  const files = [
    ...places.flatMap((place) => [...below(`${place}/src`), ...below(`${place}/test`)]),
    // What the tests of mechanisms are made of.
    ...["apps/bench/src/mechanisms", "apps/bench/test"].flatMap(below),
  ];
  const manifest = "apps/bench/package.json";
  await mkdir(join(folder, dirname(manifest)), { recursive: true });
  await cp(join(root, manifest), join(folder, manifest));
  for (const file of files.filter((name) => name.endsWith(".ts"))) {
    const text = await readFile(join(root, file), "utf8");
    // Files that tests name by their paths.
    const renamed = text.replace(/(new URL\("[^"]+)\.ts"/g, '$1.js"');
    const { code } = await transform(renamed, { loader: "ts", format: "esm", target: "node20" });
    const target = join(folder, file.replace(/\.ts$/, ".js"));
    await mkdir(dirname(target), { recursive: true });
    await writeFile(target, code);
  }
  const suites = [...suitesOfDevices, ...kernelSuites]
    .flatMap(below)
    .filter((file) => file.endsWith(".test.ts"))
    .map((file) => file.replace(/\.ts$/, ".js"));
  await writeFile(join(folder, "suites.json"), JSON.stringify(suites, null, 2));
}

/** The files in a folder of the repository, or the one named, by their paths in it. */
function below(place: string): string[] {
  if (place.endsWith(".ts") || !existsSync(join(root, place))) return [place];
  return readdirSync(join(root, place), { recursive: true, encoding: "utf8" }).map((file) =>
    join(place, file),
  );
}

/** The programs, and packages that tests import, each with everything of others that it needs. */
async function bundlePrograms(folder: string): Promise<void> {
  const vitest = await realpath(join(root, "node_modules/vitest"));
  await build({
    entryPoints: {
      bench: join(root, "apps/bench/dist/bench/main.js"),
      goldens: join(root, "apps/bench/dist/goldens/main.js"),
      "node_modules/vitest/index": join(here, "vitest.mjs"),
      "node_modules/fast-check/index": createRequire(
        join(root, "packages/tensor/package.json"),
      ).resolve("fast-check"),
    },
    outdir: folder,
    outExtension: { ".js": ".mjs" },
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node20",
    // Libraries to compare with stay behind; the packages of vitest are found beside it.
    external: ["@x/*", "webgpu", "@tensorflow/*", "@jax-js/*", "onnxruntime-*"],
    nodePaths: [dirname(vitest)],
    banner: { js: requireForBundles },
    logLevel: "warning",
  });
  for (const name of ["vitest", "fast-check"]) {
    await writeFile(
      join(folder, "node_modules", name, "package.json"),
      JSON.stringify({ name, type: "module", exports: "./index.mjs" }),
    );
  }
}

/** CommonJS packages inside of ES modules ask for Node's modules with `require`. */
const requireForBundles = `import { createRequire as makeRequire } from "node:module";
const require = makeRequire(import.meta.url);`;
