/** What the main job says, and exits with, when something is wrong, and when it is interrupted. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { cp, mkdtemp, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { runCommand } from "../src/main-job/command.js";

let folder: string;
let text: string;
let checkpoint: string;

async function run(...args: string[]): Promise<{ code: number; output: string; errors: string }> {
  let output = "";
  const errors: string[] = [];
  const code = await runCommand(
    args,
    { write: (part) => void (output += part), complain: (line) => errors.push(line) },
    new AbortController().signal,
  );
  return { code, output, errors: errors.join("\n") };
}

/** Arguments of a run that takes no time. */
const tiny = (save: string): string[] => [
  ...["--text", text, "--save", save, "--width", "32", "--layers", "1"],
  ...["--length", "8", "--batch", "1", "--steps", "2", "--generate", "3"],
];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "main-job-"));
  text = join(folder, "text.txt");
  await writeFile(text, "All happy families are alike. ".repeat(2000));
  await writeFile(join(folder, "empty.txt"), "");
  checkpoint = join(folder, "checkpoint");
  const { code, output } = await run(...tiny(checkpoint));
  expect(code).toBe(0);
  expect(output).toMatch(
    /Held-out text after 2 steps .*\n[^]*ms a byte[^]*--load .* continues\.\n$/,
  );
});

afterAll(async () => rm(folder, { recursive: true }));

test.each([
  ["missing.txt", /--text: the file must be readable, got ".*missing\.txt" \(ENOENT.*\)\. Name a/],
  [".", /--text: the file must be readable, got ".*" \(EISDIR.*\)\. Name a/],
  [
    "empty.txt",
    /--text: both parts .* longer than --length 8, got 0 bytes .* and 0 held out\. Take/,
  ],
])("the text %s", async (name, message) => {
  const { code, errors } = await run(...tiny(checkpoint), "--text", join(folder, name));
  expect(code).toBe(1);
  expect(errors).toMatch(message);
});

test.each([
  ["--steps", "NaN", /whole number of at least 0/],
  ["--steps", "1.5", /whole number of at least 0/],
  ["--length", "1", /whole number of at least 2/],
  ["--width", "48", /multiple of 32/],
  ["--rate", "0", /number above 0/],
  ["--device", "abacus", /there are wasm, webgpu, reference/],
  ["--speed", "9", /unknown option '--speed'/],
])("wrong usage: %s %s", async (option, value, message) => {
  const { code, errors, output } = await run(option, value);
  expect(code).toBe(2);
  expect(errors).toMatch(message);
  expect(output).toBe("");
});

test("help is no error", async () => {
  const { code, output } = await run("--help");
  expect(code).toBe(0);
  expect(output).toMatch(/--text <file>[^]*Ctrl-C ends the training early, saves and says where/);
});

test.each([
  ["model.safetensors", (file: string) => truncate(file, 1000)],
  ["model.safetensors", (file: string) => rm(file)],
  ["optimizer.safetensors", (file: string) => truncate(file, 1000)],
  ["optimizer.safetensors", (file: string) => rm(file)],
  ["run.json", (file: string) => truncate(file, 20)],
  ["run.json", (file: string) => writeFile(file, '{"step": 2}')],
  ["run.json", (file: string) => rm(file)],
])("a checkpoint whose %s is damaged", async (name, damage) => {
  const damaged = await mkdtemp(join(folder, "damaged-"));
  await cp(checkpoint, damaged, { recursive: true });
  await damage(join(damaged, name));
  const { code, errors, output } = await run(...tiny(checkpoint), "--load", damaged);
  expect(code).toBe(1);
  expect(errors).toContain(
    `--load: the folder must hold a checkpoint of this program, got "${damaged}" (`,
  );
  expect(errors).toMatch(/\)\. Name a folder that --save wrote\.$/);
  expect(output).toBe("");
});

test("a place that cannot be written to is refused before any work", async () => {
  const { code, errors, output } = await run(...tiny(join(text, "checkpoint")));
  expect(code).toBe(1);
  expect(errors).toMatch(/--save: the folder must be writable, got ".*" \(E.*\)\. Name another/);
  expect(output).toBe("");
});

test("a place that stops being writable is reported", async () => {
  const save = await mkdtemp(join(folder, "save-"));
  // A folder in the place of a file cannot be overwritten.
  await cp(checkpoint, join(save, "run.json"), { recursive: true });
  const { code, errors } = await run(...tiny(save));
  expect(code).toBe(1);
  expect(errors).toMatch(/--save: the folder must be writable, got ".*" \(E.*\)\. Name another/);
});

test("Ctrl-C saves and says where, and --load goes on from there", async () => {
  const save = join(folder, "interrupted");
  const root = fileURLToPath(new URL("../../..", import.meta.url));
  const child = spawn(
    process.execPath,
    [
      ...["--conditions=@x/source", "--import", "tsx", "apps/bench/src/main-job/main.ts"],
      ...[...tiny(save), "--steps", "1000000"],
    ],
    { cwd: root, stdio: ["ignore", "pipe", "inherit"] },
  );
  let output = "";
  child.stdout.setEncoding("utf8");
  child.stdout.on("data", (part: string) => {
    if (!/step 1\//.test(output) && /step 1\//.test(output + part)) child.kill("SIGINT");
    output += part;
  });
  const [code] = (await once(child, "exit")) as [number | null];
  expect(code).toBe(130);
  const { step } = JSON.parse(await readFile(join(save, "run.json"), "utf8")) as { step: number };
  expect(step).toBeGreaterThan(0);
  expect(output).toContain(`Stopped after step ${step}. Saved to ${save}; --load`);
  const next = await run(...tiny(checkpoint), "--load", save, "--generate", "0");
  expect(next.code).toBe(0);
  expect(next.output).toContain(`Held-out text after ${step + 2} steps`);
});
