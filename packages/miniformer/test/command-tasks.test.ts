/** The command with rows of data: every task, from training to what a trained model gives. */

import { cp, mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Seq2SeqTransformer } from "../src/index.js";
import { fromPretrained } from "../src/pretrained/index.js";
import { runTheCommand as run } from "./run-command.js";

let folder: string;
const path = (name: string): string => join(folder, name);

/** Trains a small model on a file that is written first. */
async function train(name: string, content: string, ...more: string[]): Promise<string> {
  const [data, save] = [path(name), path(`of-${name}`)];
  await writeFile(data, content);
  const { code, output, errors } = await run(
    ...["train", "--data", data, "--save", save, "--width", "32", "--layers", "1", "--heads", "2"],
    ...["--length", "16", "--steps", "60", "--rate", "0.01", "--threads", "1", ...more],
  );
  expect(errors).toBe("");
  expect(code).toBe(0);
  expect(output).toMatch(/Held-out data after 60 steps/);
  const judged = await run("eval", "--model", save, "--data", data);
  expect(judged).toMatchObject({ code: 0, errors: "" });
  return judged.output;
}

const numbers = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "miniformer-tasks-"));
});
afterAll(async () => rm(folder, { recursive: true }));

test("rows with a label are classified", async () => {
  const rows = numbers(120).map(
    (i) => `"the ${["cat", "sea", "sun"][i % 3]!}, ${i % 2 ? "a" : "b"}",${i % 2 ? "yes" : "no"}`,
  );
  const output = await train("classes.csv", `text,label\n${rows.join("\n")}\n`);
  expect(output).toMatch(/100\.0 % right, F1 1\.000\.\nloss +0\.0\d+\naccuracy +1\.000\n/);
  await writeFile(path("other.csv"), "text,label\nthe cat,maybe\n");
  const other = await run("eval", "--model", path("of-classes.csv"), "--data", path("other.csv"));
  expect(other.code).toBe(1);
  expect(other.errors).toMatch(/"label" must hold one of the classes no, yes, got "maybe"/);
  const refused = await run("generate", "--model", path("of-classes.csv"), "--prompt", "a");
  expect(refused.code).toBe(1);
  expect(refused.errors).toMatch(/--model: generation needs .*, got a model for classification/);
});

test("vectors are classified", async () => {
  const rows = numbers(80).map((i) => {
    const features = numbers(3 + (i % 4)).map((j) => [Math.sin(i + j), i % 2 ? 1 : -1]);
    return JSON.stringify({ features, label: i % 2 });
  });
  expect(await train("vectors.jsonl", rows.join("\n"))).toMatch(/100\.0 % right/);
});

test("numbers are predicted, and told in their own unit", async () => {
  const rows = numbers(90).map((i) =>
    JSON.stringify({ text: "ab"[i % 2], target: 100 + 50 * (i % 2) }),
  );
  const output = await train("numbers.jsonl", rows.join("\n"));
  expect(Number(/off by (\S+) in the mean/.exec(output)![1])).toBeLessThan(10);
});

test("series are forecast", async () => {
  const rows = numbers(200).map((i) => `day ${i},${Math.sin(i / 4)},${5 + 9 * Math.cos(i / 4)}`);
  const more = ["--horizon", "2", "--target", "b", "--attention", "linear"];
  const output = await train("series.csv", `day,a,b\n${rows.join("\n")}\n`, ...more);
  // What swings by 9 is off by little.
  expect(Number(/off by (\S+) in the mean/.exec(output)![1])).toBeLessThan(1.5);
  const wrong = ["--data", path("series.csv"), "--save", path("never"), "--target", "day"];
  const { code, errors } = await run("train", ...wrong);
  expect(code).toBe(1);
  expect(errors).toMatch(/--target: it must be columns of numbers, got "day" where there are a, b/);
});

test("sequences become others", async () => {
  const rows = numbers(300).map((i) => {
    const source = numbers(3).map((j) => "abcd"[(i * 7 + j * (i >> 2)) % 4]!);
    return JSON.stringify({ source: source.join(""), target: source.join("").toUpperCase() });
  });
  const output = await train("pairs.jsonl", rows.join("\n"), "--steps", "60");
  expect(output).toMatch(/% of tokens right/);
  const saved = path("of-pairs.jsonl");
  const { code, output: text } = await run("generate", "--model", saved, "--prompt", "abc");
  expect(code).toBe(0);
  expect(text).toMatch(/^[A-D]+\n$/);
  const make = { make: (config: Seq2SeqTransformer["config"]) => new Seq2SeqTransformer(config) };
  expect((await fromPretrained(saved, make)).model).toBeInstanceOf(Seq2SeqTransformer);
});

test("texts of rows are learned one after the other, by characters", async () => {
  const rows = numbers(60).map((i) => JSON.stringify({ text: "ab".repeat(2 + (i % 5)) }));
  const more = ["--tokenizer", "character", "--attention", "trim"];
  const output = await train("texts.jsonl", rows.join("\n"), ...more);
  expect(output).toMatch(/bits per byte/);
  const args = ["generate", "--model", path("of-texts.jsonl"), "--prompt", "ab", "--greedy"];
  // A text ends by itself.
  expect((await run(...args)).output).toMatch(/^(ab){2,}\n$/);
});

test("a damaged checkpoint is not gone on with", async () => {
  const damaged = path("damaged");
  await cp(path("of-texts.jsonl"), damaged, { recursive: true });
  await truncate(join(damaged, "checkpoints/step-000060/optimizer.safetensors"), 100);
  const { code, errors } = await run("train", "--resume", damaged, "--steps", "61");
  expect(code).toBe(1);
  expect(errors).toMatch(
    /miniformer: a file in the safetensors format must be whole, got a checkpoint in ".*" that/,
  );
});
