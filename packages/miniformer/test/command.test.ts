/** The command as a user meets it: what it says, and exits with. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { cp, mkdir, mkdtemp, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Transformer } from "../src/index.js";
import { fromPretrained } from "../src/pretrained/index.js";
import { runCommand } from "../src/cli/command.js";
import { runTheCommand as run } from "./run-command.js";

let folder: string;
let text: string;
let trained: string;

/** Arguments of a run that takes no time. */
const tiny = (save: string, ...more: string[]): string[] => [
  ...["train", "--save", save, "--width", "32", "--layers", "1", "--length", "8"],
  ...["--batch", "2", "--steps", "4", "--threads", "1", ...more],
];

/** A tiny run on the text that is there. */
const tinyText = (save: string, ...more: string[]): string[] => tiny(save, "--text", text, ...more);

const path = (name: string): string => join(folder, name);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "miniformer-command-"));
  text = path("text.txt");
  await writeFile(text, "All happy families are alike. ".repeat(400));
  trained = path("trained");
  const more = ["--steps", "60", "--generate", "3", "--prompt", "All ", "--table"];
  const { code, output, errors } = await run(...tinyText(trained, ...more));
  expect(errors).toBe("");
  expect(code).toBe(0);
  expect(output).toMatch(/Learning from .*text\.txt: 11,400 bytes, 600 held out\./);
  expect(output).toMatch(/step 60\/60: \d\.\d{3} bits\/byte, [\d,]+ bytes\/s, /);
  const found = /after 60 steps .*: (\d\.\d+) bits per byte; before: (\d\.\d+)/.exec(output)!;
  expect(Number(found[1])).toBeLessThan(Number(found[2]) - 3);
  expect(output).toMatch(/The model writes on:\n\nAll [^]*bits per byte +\d\.\d{3}\n/);
  expect(output).toMatch(/ms a generated token at position 2,000 +\d+\.\d+\n/);
  expect(output).toMatch(/Saved to .*trained; --resume .* continues\.\n$/);
});

afterAll(async () => rm(folder, { recursive: true }));

describe("help", () => {
  test("of the command names the others", async () => {
    const { code, output } = await run("--help");
    expect(code).toBe(0);
    expect(output).toMatch(/Commands:[^]*train[^]*generate[^]*eval[^]*inspect/);
  });

  test.each([
    [
      "train",
      /--text, --data <file>[^]*--attention <names>[^]*softmax, trim, linear, srf[^]*Ctrl-C/,
    ],
    ["generate", /--model <folder>[^]*--prompt <text>[^]*--temperature[^]*--top-k/],
    ["eval", /--model <folder>[^]*--data <file>/],
    ["inspect", /<path>/],
  ])("of %s is no error", async (command, wanted) => {
    const { code, output, errors } = await run(command, "--help");
    expect([code, errors]).toEqual([0, ""]);
    expect(output).toMatch(wanted);
  });
});

test.each([
  [[], /Usage: miniformer/],
  [["dance"], /unknown command 'dance'/],
  [["train"], /required option '--text, --data <file>' not specified/],
  [["train", "--speed", "9"], /unknown option '--speed'/],
  [["train", "--steps", "NaN"], /whole number of at least 0/],
  [["train", "--steps", "1.5"], /whole number of at least 0/],
  [["train", "--length", "1"], /whole number of at least 2/],
  [["train", "--data", "x", "--width", "48"], /multiple of 32, or of --heads/],
  [["train", "--data", "x", "--width", "48", "--heads", "5"], /multiple of --heads 5/],
  [["train", "--rate", "0"], /number above 0/],
  [["train", "--held-out", "1"], /above 0 and below 1/],
  [["train", "--device", "abacus"], /there are wasm, webgpu, reference/],
  [["train", "--attention", "hard"], /there are softmax, trim, linear, srf, thinformer/],
  [["train", "--data", "x", "--attention", "trim,srf"], /one name, or one for each of 3 layers/],
  [["generate"], /required option '--model <folder>' not specified/],
  [["generate", "--model", "x"], /required option '--prompt <text>' not specified/],
  [["generate", "--model", "x", "--prompt", "y", "--tokens", "0"], /at least 1/],
  [["eval", "--model", "x"], /required option '--text, --data <file>' not specified/],
  [["inspect"], /missing required argument 'path'/],
  [["inspect", "a", "b"], /too many arguments/],
])("wrong usage: %s", async (args, message) => {
  const { code, errors, output } = await run(...args);
  expect(code).toBe(2);
  expect(errors).toMatch(message);
  expect(errors).not.toMatch(/ {4}at /);
  expect(output).toBe("");
});

describe("files", () => {
  test.each([
    ["missing.txt", null, /--data: the file must be readable, got ".*" \(ENOENT.*\)\. Name a/],
    [".", null, /--data: the file must be readable, got ".*" \(EISDIR.*\)\. Name a/],
    ["empty.txt", "", /both parts .* longer than --length 8, got 0 tokens .* and 0 held out\. T/],
    ["bad.jsonl", '{"text": "a"}\n{"text', /readJsonl: .* line 2 of ".*bad\.jsonl"/],
    ["bad.csv", "text,label\na,b,c\n", /readCsv: .* line 2 of ".*bad\.csv"/],
    ["number.jsonl", "7\n8\n", /line 1 .*must hold an object, a text or a list of numbers/],
    ["fields.jsonl", '{"a": "b"}\n{"a": "c"}\n', /rows must have fields for a task .* got a\./],
    ["one.csv", "text,label\na,b\n", /at least two different values, got 1/],
  ])("%s to learn from", async (name, content, message) => {
    if (content !== null) await writeFile(path(name), content);
    const { code, errors, output } = await run(...tiny(path("never"), "--data", path(name)));
    expect(code).toBe(1);
    expect(errors).toMatch(message);
    expect(output).toBe("");
  });

  test("that are not what a task needs", async () => {
    const classes = await run(...tinyText(path("never"), "--task", "classification"));
    expect(classes.code).toBe(1);
    expect(classes.errors).toContain(
      "--task classification: the data must be rows of JSONL or CSV",
    );
    const field = ["--data", path("rows.csv"), "--target", "colour"];
    await writeFile(path("rows.csv"), "text,label\na,b\nc,d\n");
    const { code, errors } = await run(...tiny(path("never"), ...field));
    expect(code).toBe(1);
    expect(errors).toBe(
      '--target: it must be a field of the data, got "colour" where there are text, label. Name one of these.',
    );
  });

  test("a tokenizer that is none", async () => {
    const { code, errors } = await run(...tinyText(path("never"), "--tokenizer", path("nowhere")));
    expect(code).toBe(1);
    expect(errors).toMatch(/--tokenizer: it must be byte, character or a tokenizer\.json .*ENOENT/);
  });

  test("a place that cannot be written to is refused before any work", async () => {
    const { code, errors, output } = await run(...tinyText(join(text, "run")));
    expect(code).toBe(1);
    expect(errors).toMatch(/--save: the folder must be writable, got ".*" \(E.*\)\. Name another/);
    expect(output).toBe("");
  });

  test("a place that stops being writable is reported", async () => {
    const save = path("blocked");
    // A file in the place of a folder cannot hold checkpoints.
    await mkdir(save);
    await mkdir(join(save, "log.csv"));
    const { code, errors } = await run(...tinyText(save));
    expect(code).toBe(1);
    expect(errors).toMatch(/--save: the folder must be writable, got ".*" \(.*\)\. Name another/);
  });

  test("a folder with a run is kept, unless --overwrite says otherwise", async () => {
    const save = path("kept");
    expect((await run(...tinyText(save))).code).toBe(0);
    const refused = await run(...tinyText(save));
    expect(refused.code).toBe(1);
    expect(refused.errors).toMatch(
      /must hold no other, .*--resume .*, replace it with --overwrite/,
    );
    expect((await run(...tinyText(save, "--overwrite", "--steps", "2"))).code).toBe(0);
    expect(await readdir(join(save, "checkpoints"))).toEqual(["last.json", "step-000002"]);
  });
});

describe("a trained model", () => {
  test("is loaded by fromPretrained", async () => {
    const { model, tokenizer, config } = await fromPretrained(trained);
    expect(model).toBeInstanceOf(Transformer);
    expect(tokenizer!.encode("a")).toEqual([97]);
    expect(config.positions).toBe("rotary");
  });

  test("writes on from a prompt", async () => {
    const args = ["generate", "--model", trained, "--prompt", "All hap", "--tokens", "9"];
    const greedy = await run(...args, "--greedy");
    expect(greedy).toMatchObject({ code: 0, errors: "" });
    expect(greedy.output).toMatch(/^All hap[^]{9}\n$/);
    const [one, two] = [await run(...args, "--seed", "3"), await run(...args, "--seed", "3")];
    expect(one.output).toBe(two.output);
    const beams = await run(...args, "--beams", "2", "--stop", "lies");
    expect(beams).toMatchObject({ code: 0, errors: "" });
  });

  test("is judged by a file", async () => {
    const { code, output, errors } = await run("eval", "--model", trained, "--data", text);
    expect([code, errors]).toEqual([0, ""]);
    expect(output).toMatch(/text\.txt: (\d\.\d{3}) bits per byte\.\n/);
    expect(output).toMatch(/\nloss +\d\.\d+\n[^]*bitsPerByte +\d\.\d+\n$/);
  });

  test("is inspected, and so is its file", async () => {
    const { code, output, errors } = await run("inspect", trained);
    expect([code, errors]).toEqual([0, ""]);
    expect(output).toMatch(/^model_type +miniformer\n/);
    expect(output).toMatch(/trained for +language\n/);
    expect(output).toMatch(/\nname +dtype +shape +numbers +size\n/);
    expect(output).toMatch(/\nencoder\.token_embedding\.weight +F32 +\[256, 32\] +8,192 +32 KiB\n/);
    expect(output).toMatch(/\n\d+ tensors +F32 +[\d,]+ +\d+ KiB\n/);
    const file = await run("inspect", join(trained, "model.safetensors"));
    expect(output.endsWith(file.output)).toBe(true);
  });

  test("that has not ended is its last checkpoint, by the number of its steps", async () => {
    const unfinished = path("unfinished");
    const checkpoints = join(unfinished, "checkpoints");
    for (const name of ["step-000004-2", "step-000004-10", "step-000003"]) {
      await cp(trained, join(checkpoints, name), { recursive: true });
    }
    const last = join(checkpoints, "step-000004-10");
    expect((await run("inspect", unfinished)).output).toContain(`this is ${last}.`);
    await truncate(join(last, "config.json"), 5);
    const { code, errors } = await run("generate", "--model", unfinished, "--prompt", "a");
    expect([code, errors.includes("config.json")]).toEqual([1, true]);
  });

  test.each([
    ["model.safetensors", (file: string) => truncate(file, 1000)],
    ["model.safetensors", (file: string) => rm(file)],
    ["config.json", (file: string) => truncate(file, 20)],
    ["config.json", (file: string) => writeFile(file, "[]")],
    ["tokenizer.json", (file: string) => truncate(file, 5)],
    ["tokenizer.json", (file: string) => rm(file)],
    ["training.json", (file: string) => truncate(file, 20)],
    ["training.json", (file: string) => writeFile(file, '{"version": 1}')],
  ])("with a damaged %s is refused in a sentence", async (name, damage) => {
    const damaged = await mkdtemp(path("damaged-"));
    await cp(trained, damaged, { recursive: true });
    await rm(join(damaged, "checkpoints"), { recursive: true });
    await damage(join(damaged, name));
    for (const args of [
      ["generate", "--model", damaged, "--prompt", "a", "--tokens", "1"],
      ["eval", "--model", damaged, "--data", text],
    ]) {
      const { code, errors, output } = await run(...args);
      expect(code).toBe(1);
      expect(errors).toContain(name);
      expect(errors).toMatch(/^\S.*: .*, got .*\. \S.*\.$/);
      expect(output).toBe("");
    }
  });

  test("that is not there is refused", async () => {
    const nowhere = path("nowhere");
    for (const args of [
      ["generate", "--model", nowhere, "--prompt", "a"],
      ["eval", "--model", nowhere, "--data", text],
      ["inspect", nowhere],
      ["inspect", folder],
      ["inspect", text],
      tinyText(path("never"), "--load", nowhere),
      ["train", "--resume", nowhere],
    ]) {
      const { code, errors } = await run(...args);
      expect(code).toBe(1);
      expect(errors).toMatch(/^\S.*: .*, got .*\. \S.*\.$/);
    }
  });

  test("goes on learning, in another folder or in its own", async () => {
    const known = (output: string): number =>
      Number(/Held-out data before training: (\d\.\d+)/.exec(output)![1]);
    const other = await run(...tinyText(path("more"), "--load", trained));
    expect(other).toMatchObject({ code: 0, errors: "" });
    expect(known(other.output)).toBeLessThan(5);
    // Such as one whose run was killed, so that only its checkpoints are there.
    for (const name of ["config.json", "model.safetensors"]) await rm(join(path("more"), name));
    const again = tinyText(path("more"), "--load", path("more"), "--overwrite");
    const own = await run(...again, "--attention", "trim");
    expect(own).toMatchObject({ code: 0, errors: "" });
    expect(own.output).toContain("trim attention");
  });
});

test("on a terminal there is a bar instead of lines", async () => {
  let output = "";
  const sink = {
    isTerminal: true,
    write: (part: string): void => void (output += part),
    complain: (line: string): void => void (output += line),
  };
  const code = await runCommand(tinyText(path("bar")), sink, new AbortController().signal);
  expect(code).toBe(0);
  expect(output).not.toContain("step 1/");
  expect(output).toContain("Held-out data after 4 steps");
});

describe("resuming", () => {
  const weights = (name: string): Promise<Buffer> =>
    readFile(join(path(name), "model.safetensors"));

  test("equals not having stopped, bit for bit", async () => {
    const options = ["--dropout", "0.1", "--attention", "srf", "--evaluate-every", "3"];
    expect((await run(...tinyText(path("whole"), ...options, "--steps", "9"))).code).toBe(0);
    // Stopped after step 5, between two evaluations.
    const interrupt = new AbortController();
    let output = "";
    let steps = 0;
    const write = (part: string): void => {
      output += part;
      if (part.startsWith("Held-out data after 3 steps:")) steps = 3;
      if (steps === 3) interrupt.abort();
    };
    const args = tinyText(path("parts"), ...options, "--steps", "9");
    const sink = { isTerminal: false, write, complain: write };
    expect(await runCommand(args, sink, interrupt.signal)).toBe(130);
    const stopped = Number(/Stopped after step (\d+)\. Saved to .*; --resume/.exec(output)![1]);
    expect(stopped).toBeLessThan(9);
    const next = await run("train", "--resume", path("parts"));
    expect(next).toMatchObject({ code: 0, errors: "" });
    expect(next.output).toContain(`Going on after step ${stopped}.`);
    expect((await weights("parts")).equals(await weights("whole"))).toBe(true);
  });

  test("takes no option that would change the run", async () => {
    const { code, errors } = await run("train", "--resume", trained, "--batch", "3");
    expect(code).toBe(2);
    expect(errors).toContain("option '--batch' cannot be given with '--resume'");
  });

  test("can go further than was planned", async () => {
    expect((await run(...tinyText(path("further")))).code).toBe(0);
    const { code, output } = await run("train", "--resume", path("further"), "--steps", "6");
    expect(code).toBe(0);
    expect(output).toContain("Held-out data after 6 steps");
  });
});

test("Ctrl-C saves and says where, and --resume goes on from there", async () => {
  const save = path("interrupted");
  const root = fileURLToPath(new URL("../../..", import.meta.url));
  const child = spawn(
    process.execPath,
    [
      ...["--conditions=@x/source", "--import", "tsx", "packages/miniformer/src/cli/main.ts"],
      ...tinyText(save, "--steps", "100000"),
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
  const step = Number(/Stopped after step (\d+)\. Saved to .*; --resume/.exec(output)![1]);
  expect(step).toBeGreaterThan(0);
  const next = await run("train", "--resume", save, "--steps", String(step + 2));
  expect(next.code).toBe(0);
  expect(next.output).toContain(`Held-out data after ${step + 2} steps`);
});
