/**
 * `pnpm gpu-bundle [--out FILE] [--node VERSION]` makes an archive that runs the self-test, the
 * suites of devices and the GPU bench on a Linux machine that has a GPU with a driver for Vulkan, but
 * no network and no Node.
 */
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { command } from "../check/check.js";
import { findNode } from "../check/find-node.js";
import { fillFolder } from "./contents.js";

/** The largest archive that such machines were seen to take. */
const mostBytes = 60e6;

const { values: options } = parseArgs({
  options: {
    out: { type: "string", default: "gpu-bundle.tar.gz" },
    node: { type: "string", default: "20" },
    help: { type: "boolean", default: false },
  },
});

const help = `pnpm gpu-bundle [--out FILE] [--node VERSION]

Makes an archive (default gpu-bundle.tar.gz) with Node for Linux on x86-64 (default version 20), the
built packages, Dawn, the tests of devices, the goldens and the bench. On the machine with the GPU:

    tar -xzf gpu-bundle.tar.gz && gpu-bundle/run.sh --help
    gpu-bundle/run.sh

The machine needs a driver for Vulkan and its loader, libvulkan.so.1. Where the loader is missing,
bring Debian's package libvulkan1 and unpack it beside run.sh: dpkg -x libvulkan1_*.deb gpu-bundle`;

if (options.help) console.log(help);
else await makeArchive(resolve(options.out), options.node);

async function makeArchive(file: string, version: string): Promise<void> {
  if (process.platform !== "linux" || process.arch !== "x64") {
    throw new Error("The archive carries Node for Linux on x86-64, and is made on such a machine.");
  }
  const folder = await mkdtemp(join(tmpdir(), "x-gpu-bundle-"));
  try {
    await runChecked("turbo", ["run", "build", "--output-logs=errors-only"]);
    await fillFolder(join(folder, "gpu-bundle"), await findNode(version));
    await runChecked("tar", ["-czf", file, "-C", folder, "gpu-bundle"]);
  } finally {
    await rm(folder, { recursive: true });
  }
  const { size } = await stat(file);
  console.log(`${file}: ${(size / 1e6).toFixed(1)} MB`);
  if (size > mostBytes) throw new Error(`The archive may take ${mostBytes / 1e6} MB at most.`);
}

async function runChecked(file: string, programArguments: readonly string[]): Promise<void> {
  const { succeeded, output } = await command(file, programArguments);
  if (!succeeded) throw new Error(`${file} failed:\n${output}`);
}
