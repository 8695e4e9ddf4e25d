import { describe, expect, test } from "vitest";
import { readLines, readText } from "./plain-text.js";
import { collect } from "./rows.js";
import type { TextInput } from "./text-input.js";

const text = "\uFEFFein Ä\r\n \nzwei 😀\n\ndrei";
const bytes = new TextEncoder().encode(text);
const pieces = function* (): Generator<Uint8Array> {
  for (let i = 0; i < bytes.length; i += 3) yield bytes.subarray(i, i + 3);
};
const forms: readonly (readonly [string, TextInput])[] = [
  ["a string", text],
  ["bytes", bytes],
  ["a Blob", new Blob([bytes])],
  ["pieces", pieces],
];

describe.each(forms)("text from %s", (_, input) => {
  test("is read as a whole", async () => {
    expect(await readText(input)).toBe(text.slice(1));
  });

  test("is read line by line", async () => {
    expect(await collect(readLines(input))).toEqual(["ein Ä", "zwei 😀", "drei"]);
  });
});

test.each([
  [() => readText(""), "readText: the text must hold some text, got none."],
  [() => collect(readLines(" \n\n")), "readLines: the text must hold some text, got none."],
  [
    () => readText(Uint8Array.of(0xff), { name: "book.txt" }),
    "readText: book.txt must be UTF-8 text, got bytes that are not.",
  ],
])("what is no text is refused: %#", async (read, sentence) => {
  await expect(read()).rejects.toThrow(sentence);
  await expect(read()).rejects.toMatchObject({ code: "argument" });
});
