import { randomNumbers } from "@x/tensor/testing";
import { expect, test } from "vitest";
import type { Tokenizer } from "../tokenizers/tokenizer.js";
import { StreamingDecoder } from "./streaming-decoder.js";
import { TextStream } from "./text-stream.js";

const text = "Größe: 日本語 👩‍👧 naïve €5 – end";
const encoder = new TextEncoder();

/** Tokens that are pieces of bytes. */
function pieces(parts: readonly Uint8Array[]): Tokenizer {
  return {
    vocabSize: parts.length,
    encode: () => parts.map((_, i) => i),
    decode: (ids) =>
      new TextDecoder().decode(Uint8Array.from(ids.flatMap((id) => [...parts[id]!]))),
  };
}

/** The bytes of a text, cut at random places. */
function cut(source: string, seed: number, longest: number): Uint8Array[] {
  const bytes = encoder.encode(source);
  const random = randomNumbers(seed);
  const parts: Uint8Array[] = [];
  for (let start = 0; start < bytes.length;) {
    const length = 1 + Math.floor(longest * random());
    parts.push(bytes.slice(start, start + length));
    start += length;
  }
  return parts;
}

/** What is handed over for each token, and at the end. */
function stream(tokenizer: Tokenizer, ids: readonly number[], before: number[] = []): string[] {
  const decoder = new StreamingDecoder(tokenizer, before);
  return [...ids.map((id) => decoder.push(id)), decoder.end()];
}

test("only complete characters are handed over, and all text once", () => {
  for (let seed = 1; seed <= 30; seed++) {
    const long = text.repeat(4);
    const tokenizer = pieces(cut(long, seed, 1 + (seed % 5)));
    const streamed = stream(tokenizer, tokenizer.encode(""));
    expect(streamed.join("")).toBe(long);
    expect(streamed.join("|")).not.toContain("\ufffd");
    expect(streamed.at(-1)).toBe("");
  }
});

test("no character waits longer than its last byte", () => {
  const tokenizer = pieces(cut("aé日👧", 1, 1));
  const ids = tokenizer.encode("");
  expect(stream(tokenizer, ids)).toEqual(["a", "", "é", "", "", "日", "", "", "", "👧", ""]);
});

test("bytes that are no text come once, as the tokenizer shows them", () => {
  for (const length of [1, 2, 5, 9]) {
    const bytes = [0x61, ...new Array<number>(length).fill(0x80), 0xe2, 0x82, 0xac, 0x62];
    const tokenizer = pieces(bytes.map((byte) => Uint8Array.of(byte)));
    const streamed = stream(tokenizer, tokenizer.encode(""));
    expect(streamed.join("")).toBe(tokenizer.decode(tokenizer.encode("")));
    expect(streamed.slice(-2)).toEqual(["b", ""]);
  }
  const half = pieces([Uint8Array.of(0x61), Uint8Array.of(0xe2, 0x82)]);
  expect(stream(half, [0, 1])).toEqual(["a", "", "\ufffd"]);
});

test("tokenizers that show all bytes while the last are missing", () => {
  const bytes = [...encoder.encode("日本語 naïve")];
  const fallback: Tokenizer = {
    vocabSize: 256,
    encode: () => bytes,
    decode: (ids) => {
      try {
        return new TextDecoder("utf-8", { fatal: true }).decode(Uint8Array.from(ids));
      } catch {
        return "\ufffd".repeat(ids.length);
      }
    },
  };
  expect(stream(fallback, bytes).join("")).toBe("日本語 naïve");
});

test("tokenizers whose first token has no space", () => {
  const words = ["▁Once", "▁upon", "▁a", "▁time", ",", "▁there"];
  const tokenizer: Tokenizer = {
    vocabSize: words.length,
    encode: () => [],
    decode: (ids) =>
      ids
        .map((id) => words[id])
        .join("")
        .replaceAll("▁", " ")
        .replace(/^ /, ""),
  };
  const ids = Array.from({ length: 60 }, (_, i) => i % 6);
  expect(stream(tokenizer, ids).join("")).toBe(tokenizer.decode(ids));
  // After a prompt the space belongs to the text.
  expect(stream(tokenizer, [1, 2, 3], [0]).join("")).toBe(" upon a time");
  expect(stream(tokenizer, [1], ids.slice(0, 25)).join("")).toBe(" upon");
});

test("a character that the prompt began is handed over whole", () => {
  const tokenizer = pieces(cut("aé", 1, 1));
  expect(stream(tokenizer, [2], [0, 1])).toEqual(["é", ""]);
});

test("text ends before the first stop string, wherever tokens end", () => {
  const parts = (list: readonly string[]): Tokenizer =>
    pieces(list.map((part) => encoder.encode(part)));
  const run = (list: readonly string[], stops: readonly string[]): [string[], boolean] => {
    const tokenizer = parts(list);
    const stream = new TextStream(tokenizer, [], stops);
    const texts = list.map((_, id) => stream.push(id));
    const all = [...texts, stream.end()];
    expect(stream.text).toBe(all.join(""));
    return [all, stream.hasStopped];
  };
  expect(run(["ab", "c\n", "\nUs", "er"], ["\n\n"])).toEqual([["ab", "c", "", "", ""], true]);
  expect(run(["ab", "c\n", "x", "\n"], ["\n\n"])).toEqual([["ab", "c", "\nx", "", "\n"], false]);
  expect(run(["aab", "aaab"], ["aaaa", "aaab"])).toEqual([["aab", "", ""], true]);
  expect(run(["one END two", "END"], ["END", "two"])).toEqual([["one ", "", ""], true]);
  expect(run(["x", "€", "y"], ["€"])).toEqual([["x", "", "", ""], true]);
  expect(run(["ab"], [])).toEqual([["ab", ""], false]);
});
