/** The contract of the command: options, lines, exit codes. */

import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openSafetensorsFile, writeSafetensors } from "@x/tensor/safetensors";
import { goldens } from "../src/goldens/recordings.js";
import { runIn } from "./run-command.js";

let folder: string;

const run = runIn(goldens);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "goldens-"));
  await mkdir(join(folder, "ops"));
  await mkdir(join(folder, "elsewhere"));
  const path = join(goldens.folder, "ops", "scans.safetensors");
  await writeFile(join(folder, "ops", "renamed.safetensors"), await readFile(path));
  await using file = await openSafetensorsFile(path);
  const tensors = await Promise.all(
    file.names.map(async (name) => {
      const { dtype, shape } = file.entry(name);
      const bytes = (await file.bytes(name)).slice();
      if (name === "output.cumsum_last.y") bytes.fill(0);
      return { name, dtype, shape, bytes };
    }),
  );
  const wrong = writeSafetensors(tensors, file.metadata);
  await writeFile(join(folder, "ops", "wrong.safetensors"), wrong);
  const elsewhere = new Map([...file.metadata, ["area", "elsewhere"]]);
  const unknown = writeSafetensors(tensors, elsewhere);
  await writeFile(join(folder, "elsewhere", "case.safetensors"), unknown);
  await writeFile(join(folder, "ops", "damaged.safetensors"), Uint8Array.of(1, 2, 3));
});

afterAll(async () => rm(folder, { recursive: true }));

test("a case passes with one line, whatever its file is called", async () => {
  const { code, lines } = await run(
    ...["--dir", folder, "--device", "reference", "--only", "ops/renamed"],
  );
  expect(code).toBe(0);
  expect(lines).toHaveLength(2);
  expect(lines[0]).toMatch(
    /^passed +reference +ops\/renamed {2}largest error \d\S+, tolerance \d\S+ \(\S+\)$/,
  );
  expect(lines[1]).toBe("1 passed, 0 failed, 0 skipped");
});

test("wrong numbers and damaged files fail, unknown areas are skipped", async () => {
  const { code, lines } = await run("--dir", folder, "--device", "reference");
  expect(code).toBe(1);
  expect(lines.at(-1)).toBe("1 passed, 2 failed, 1 skipped");
  expect(lines.join("\n")).toMatch(/failed +reference +ops\/wrong/);
  expect(lines.join("\n")).toMatch(/output\.cumsum_last\.y: error \S+ above 2\.00e-5/);
  expect(lines.join("\n")).toMatch(/the area "elsewhere" is unknown/);
});

test("areas and devices may be named several times", async () => {
  const { code, lines } = await run(
    ...["--only", "trim/mha_bias", "--only", "trim/attn_full"],
    ...["--device", "wasm", "--device", "reference", "--device", "wasm"],
  );
  expect(code).toBe(0);
  expect(lines.at(-1)).toBe("4 passed, 0 failed, 0 skipped");
});

test.each([
  [["--dir", "/nowhere"], /the folder must exist, got "\/nowhere"/],
  [["--only", "ops/nothing"], /at least one case must be selected, got none .* for ops\/nothing/],
  [["--device", "abacus", "--only", "ops/optim"], /one of reference, wasm.*got "abacus"/],
  [["--what"], /unknown option '--what'/],
] as const)("wrong options: %j", async (args, message) => {
  const { code, lines } = await run(...args);
  expect(code).toBe(2);
  expect(lines.join("\n")).toMatch(message);
});

test("help", async () => {
  const { code, lines } = await run("--help");
  expect(code).toBe(0);
  expect(lines.join("\n")).toMatch(/--only <area\[\/case\]>/);
});
