/** Text to ids and back, and tokenizers from what was saved of them. */

import { readFile } from "node:fs/promises";
import { describe, expect, test, vi } from "vitest";
import type { HuggingFaceTokenizer } from "./index.js";
import { ByteTokenizer, CharacterTokenizer, loadTokenizer, type Tokenizer } from "./index.js";

const texts = ["", "plain", "naïve 🙂 été", "\u0000\t\n", "\uFEFFbegins with a mark"];

describe("bytes", () => {
  const tokenizer = new ByteTokenizer({ specialTokens: ["pad", "end"] });

  test.each(texts)("%j comes back", (text) => {
    const ids = tokenizer.encode(text);
    expect(ids.every((id) => id < 256)).toBe(true);
    expect(tokenizer.decode(ids)).toBe(text);
  });

  test("special tokens have ids after the bytes and no text", () => {
    expect(tokenizer.vocabSize).toBe(258);
    expect([...tokenizer.specialTokens]).toEqual([
      ["pad", 256],
      ["end", 257],
    ]);
    expect(tokenizer.decode([256, 104, 105, 257])).toBe("hi");
  });

  test("half a character becomes a mark", () => {
    expect(tokenizer.decode([104, 0xc3])).toBe("h�");
  });

  test("wrong ids and names are refused", () => {
    expect(() => tokenizer.decode([258])).toThrow(
      "ByteTokenizer: ids must be whole numbers from 0 to 257, got 258.",
    );
    expect(() => new ByteTokenizer({ specialTokens: ["a", "a"] })).toThrow(
      'ByteTokenizer: special tokens must have names of their own, got ["a","a"].',
    );
  });

  test("it is made again of its JSON", async () => {
    const again = await loadTokenizer(JSON.stringify(tokenizer));
    expect(again).toBeInstanceOf(ByteTokenizer);
    expect(again).toEqual(tokenizer);
  });
});

describe("characters", () => {
  test("ids are those of the sorted characters", () => {
    const tokenizer = CharacterTokenizer.fromText("b🙂a", { specialTokens: ["end"] });
    expect(tokenizer.characters).toEqual(["a", "b", "🙂", "�"]);
    expect(tokenizer.encode("🙂ba")).toEqual([2, 1, 0]);
    expect(tokenizer.decode([2, 4, 0])).toBe("🙂a");
    expect(tokenizer.vocabSize).toBe(5);
  });

  test("unknown characters become one, or are refused", () => {
    const text = "abc?";
    expect(CharacterTokenizer.fromText(text, { unknown: "?" }).encode("axb")).toEqual([1, 0, 2]);
    const strict = CharacterTokenizer.fromText(text, { unknown: null });
    expect(strict.vocabSize).toBe(4);
    expect(() => strict.encode("ax")).toThrow(
      'CharacterTokenizer: every character must be in the vocabulary, got "x".',
    );
  });

  test("wrong characters are refused", () => {
    expect(() => new CharacterTokenizer(["a", "a"])).toThrow('got "a" twice');
    expect(() => new CharacterTokenizer(["ab"])).toThrow(
      'must be single and different ones, got "ab".',
    );
  });

  test.each([null, "�", "?"])("it is made again of its JSON, with %j", async (unknown) => {
    const tokenizer = CharacterTokenizer.fromText("to be?", { unknown, specialTokens: ["pad"] });
    const again = await loadTokenizer(JSON.parse(JSON.stringify(tokenizer)));
    expect(again).toEqual(tokenizer);
  });
});

describe("published tokenizers", () => {
  const folder = new URL("../../../../goldens-hf/gpt2-tiny/", import.meta.url);
  const read = async (name: string): Promise<string> => readFile(new URL(name, folder), "utf8");
  const load = async (): Promise<Tokenizer> =>
    loadTokenizer(await read("tokenizer.json"), await read("tokenizer_config.json"));

  test.each(texts)("%j comes back", async (text) => {
    const tokenizer = await load();
    expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
  });

  test("special tokens are known by their text and what they are for", async () => {
    const tokenizer = (await load()) as HuggingFaceTokenizer;
    expect(tokenizer.vocabSize).toBe(384);
    expect(Object.fromEntries(tokenizer.specialTokens)).toEqual({
      "<|endoftext|>": 0,
      bos: 0,
      eos: 0,
      unk: 0,
    });
    const ids = tokenizer.encode("one<|endoftext|>");
    expect(ids.at(-1)).toBe(0);
    expect(tokenizer.decode(ids)).toBe("one<|endoftext|>");
    expect(tokenizer.decode(ids, { skipSpecialTokens: true })).toBe("one");
  });

  test("ids beyond the vocabulary have no text", async () => {
    const tokenizer = await load();
    expect(tokenizer.decode([5000])).toBe("");
    expect(tokenizer.decode([...tokenizer.encode("hi"), 5000])).toBe("hi");
  });

  test("it is made again of its JSON", async () => {
    const tokenizer = (await load()) as HuggingFaceTokenizer;
    const again = await loadTokenizer(tokenizer.toJSON(), tokenizer.configJSON());
    expect(again.encode(texts[2]!)).toEqual(tokenizer.encode(texts[2]!));
  });

  test("what describes none is refused", async () => {
    await expect(loadTokenizer("no JSON")).rejects.toMatchObject({
      code: "checkpoint",
      message:
        "loadTokenizer: tokenizer.json must be an object of JSON, got other text. Fetch the file again.",
    });
    await expect(loadTokenizer({ type: "words" })).rejects.toMatchObject({ code: "checkpoint" });
    await expect(loadTokenizer({ model: { type: "Nothing" } })).rejects.toMatchObject({
      code: "checkpoint",
      message: expect.stringMatching(/must be one that @huggingface\/tokenizers knows/) as string,
    });
  });

  test("without the package, a sentence says what to install", async () => {
    vi.doMock("@huggingface/tokenizers", () => {
      throw new Error("Cannot find package");
    });
    await expect(load()).rejects.toMatchObject({
      code: "unsupported",
      message: expect.stringMatching(
        /^loadTokenizer: the package @huggingface\/tokenizers must be installed .* Install it, or pass tokenizer: false to fromPretrained\.$/,
      ) as string,
    });
    vi.doUnmock("@huggingface/tokenizers");
  });
});
