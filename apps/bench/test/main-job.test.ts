/** What `npm start` asks of the command `miniformer`, which has tests of its own. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { commandArguments } from "../src/main-job/start.js";

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "main-job-"));
  await writeFile(join(folder, "text.txt"), "All happy families are alike. ".repeat(400));
});
afterAll(async () => rm(folder, { recursive: true }));

const root = fileURLToPath(new URL("../../..", import.meta.url));

/** Runs the main job in the temporary folder. */
async function run(...args: string[]): Promise<{ code: number; output: string }> {
  const main = join(root, "apps/bench/src/main-job/main.ts");
  const tsx = import.meta.resolve("tsx");
  const child = spawn(
    process.execPath,
    ["--conditions=@x/source", "--import", tsx, main, ...args],
    { cwd: folder, stdio: ["ignore", "pipe", "pipe"] },
  );
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (part: string) => (output += part));
  }
  const [code] = (await once(child, "close")) as [number];
  return { code, output };
}

test("the old options train, write and show the table; then the model is there for the others", async () => {
  const { code, output } = await run(
    ...["--text", "text.txt", "--save", "saved", "--width", "32", "--layers", "1"],
    ...["--length", "8", "--batch", "1", "--steps", "2", "--generate", "3", "--threads", "1"],
  );
  expect(output).toMatch(/Learning from text\.txt: 11,400 bytes, 600 held out/);
  expect(output).toMatch(/, trim attention, /);
  expect(output).toMatch(/The model writes on:\n\nThe tensor [^]*bits per byte +\d+\.\d{3}\n/);
  expect(output).toMatch(
    /position 2,000 +\d+\.\d+\n[^]*Saved to .*saved; --resume saved continues/,
  );
  expect(code).toBe(0);
  expect(await run("inspect", "saved")).toMatchObject({ code: 0 });
});

test("help is that of training, and wrong options are refused", async () => {
  const help = await run("--help");
  expect(help.output).toMatch(/--text, --data <file>[^]*--attention/);
  expect(help.code).toBe(0);
  const wrong = await run("--text", "text.txt", "--speed", "9");
  expect(wrong.output).toMatch(/unknown option '--speed'/);
  expect(wrong.code).toBe(2);
});

test("without a text it is this repository's", async () => {
  const before = process.cwd();
  process.chdir(folder);
  try {
    const args = await commandArguments(["--steps", "1", "--attention", "srf"]);
    const file = args[args.indexOf("--data") + 1]!;
    expect(await readFile(file, "utf8")).toContain("# Architecture");
    // What is given comes last, and so decides.
    expect(args.lastIndexOf("srf")).toBeGreaterThan(args.indexOf("trim"));
  } finally {
    process.chdir(before);
  }
});

test("commands and runs that go on are left as they are", async () => {
  expect(await commandArguments(["eval", "--model", "m"])).toEqual(["eval", "--model", "m"]);
  expect(await commandArguments(["--resume=r"])).toEqual(["train", "--resume=r"]);
});
