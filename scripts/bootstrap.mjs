/**
 * Brings the workspace from a fresh clone to installed, with nothing but Node and npm.
 *
 * Runs before anything is installed, so it uses only what Node has built in.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("..", import.meta.url));
const modules = join(root, "node_modules");
const stampFile = join(modules, ".installed");

/**
 * Installs the locked dependencies unless that was done already, and puts the workspace's own
 * tools (pnpm among them) first on the PATH of this process and its children.
 */
export function ensureInstalled() {
  process.env.PATH = join(modules, ".bin") + delimiter + (process.env.PATH ?? "");
  process.env.TURBO_TELEMETRY_DISABLED = "1";
  const stamp = describeInstallation();
  if (existsSync(stampFile) && readFileSync(stampFile, "utf8") === stamp) return;

  const pnpm = pinnedPnpm();
  console.log(`Installing the development dependencies with ${pnpm} …`);
  const { status, output } = runHidden("npx", [
    "--yes",
    pnpm,
    "install",
    "--frozen-lockfile",
    "--prod=false",
  ]);
  if (status !== 0) {
    throw new Error(`The installation failed (exit code ${status}):\n${output.trim()}`);
  }
  writeFileSync(stampFile, stamp);
}

/** The pnpm that `packageManager` in package.json names, as `pnpm@<version>`. */
function pinnedPnpm() {
  const { packageManager } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  return packageManager.split("+")[0];
}

/** A fingerprint of everything that decides what an installation looks like. */
function describeInstallation() {
  const manifests = ["packages", "apps"]
    .filter((folder) => existsSync(join(root, folder)))
    .flatMap((folder) => readdirSync(join(root, folder)).map((name) => join(folder, name)))
    .map((folder) => join(folder, "package.json"));
  const hash = createHash("sha256").update(`${process.platform} ${process.arch}`);
  for (const file of ["package.json", "pnpm-lock.yaml", "pnpm-workspace.yaml", ...manifests]) {
    if (existsSync(join(root, file))) hash.update(file).update(readFileSync(join(root, file)));
  }
  return hash.digest("hex");
}

/** Runs a command in the root and keeps what it prints instead of showing it. */
export function runHidden(command, commandArguments) {
  const result = spawnSync(command, commandArguments, {
    cwd: root,
    encoding: "utf8",
    maxBuffer: 1 << 28,
    // npx is a script on Windows, which only a shell can start.
    shell: process.platform === "win32",
    env: { ...process.env, CI: "1" },
  });
  if (result.error) throw result.error;
  return { status: result.status, output: result.stdout + result.stderr };
}
