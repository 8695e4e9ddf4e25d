import { XError } from "@x/tensor";
import { describe, expect, test } from "vitest";
import { collect, numberField, readCsv, readJsonl } from "./rows.js";
import type { TextInput } from "./text-input.js";

async function errorOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (error) {
    return XError.isInstance(error) ? `${error.code}: ${error.message}` : String(error);
  }
  return "nothing was thrown";
}

/** The same text in every form that can be read, cut at awkward places. */
function forms(text: string): [string, TextInput][] {
  const bytes = new TextEncoder().encode(text);
  const pieces = function* (): Generator<Uint8Array> {
    for (let i = 0; i < bytes.length; i += 3) yield bytes.subarray(i, i + 3);
  };
  return [
    ["a string", text],
    ["bytes", bytes],
    ["a Blob", new Blob([bytes])],
    ["pieces", pieces],
  ];
}

describe("JSONL", () => {
  test.each(forms('\uFEFF{"a": "ä€😀"}\r\n\n{"a": 2}'))("is read from %s", async (_, input) => {
    expect(await collect(readJsonl(input))).toEqual([{ a: "ä€😀" }, { a: 2 }]);
  });

  test("names the line that is not JSON", async () => {
    const reading = collect(readJsonl('{"a":1}\n\n{"a":\n', { name: "rows.jsonl" }));
    expect(await errorOf(reading)).toMatch(
      /^argument: readJsonl: every line must be a JSON value, got line 3 of rows\.jsonl \(.+\)\. Correct the line\.$/,
    );
  });

  test("names the line that makes no example", async () => {
    const parse = (row: unknown): string => {
      const { text } = row as { readonly text?: string };
      if (text === undefined) throw new Error("no text");
      return text;
    };
    const reading = collect(readJsonl('{"text":"a"}\n{"txt":"b"}\n', { parse }));
    expect(await errorOf(reading)).toBe(
      "argument: readJsonl: every row must make an example, got line 2 of the text (no text). Correct the line.",
    );
  });

  test("refuses an empty file and bytes that are not UTF-8", async () => {
    expect(await errorOf(collect(readJsonl("\n \n", { name: "a.jsonl" })))).toBe(
      "argument: readJsonl: a.jsonl must hold at least one row, got none. Check that it is the right file.",
    );
    expect(await errorOf(collect(readJsonl(Uint8Array.of(0x22, 0xff, 0x22))))).toBe(
      "argument: readJsonl: the text must be UTF-8 text, got bytes that are not. Convert the file.",
    );
  });
});

describe("CSV", () => {
  test.each(forms('a,"b ""x"""\r\n1,"two\nlines"\r\n\r\n3,4\r\n'))(
    "is read from %s",
    async (_, input) => {
      expect(await collect(readCsv(input))).toEqual([
        { a: "1", 'b "x"': "two\nlines" },
        { a: "3", 'b "x"': "4" },
      ]);
    },
  );

  test("takes names of columns and another delimiter", async () => {
    const rows = await collect(readCsv("1;2\n3;4\n", { columns: ["x", "y"], delimiter: ";" }));
    expect(rows).toEqual([
      { x: "1", y: "2" },
      { x: "3", y: "4" },
    ]);
  });

  test.each([
    ["too few fields", "a,b\n1,2\n3\n", 3],
    ["too many fields", "a,b\n1,2,3\n", 2],
    ["a quote that is not closed", 'a,b\n1,2\n"3,4\n', 3],
  ])("names the line of %s", async (_, text, line) => {
    const message = await errorOf(collect(readCsv(text, { name: "t.csv" })));
    expect(message).toContain(
      `argument: readCsv: rows must have a field for each column, got line ${line} of t.csv (`,
    );
  });

  test("names the line of a field that is no number", async () => {
    const reading = collect(readCsv("a\n1\nx\n", { parse: (row) => numberField(row, "a") }));
    expect(await errorOf(reading)).toBe(
      'argument: readCsv: every row must make an example, got line 3 of the text (numberField: column "a" must hold numbers, got "x". Correct it or leave the row out.). Correct the line.',
    );
    expect(() => numberField({ a: "" }, "a")).toThrow('must hold numbers, got ""');
    expect(() => numberField({ a: "1" }, "b")).toThrow('must be one of a, got "b"');
  });

  test("refuses a file without rows", async () => {
    for (const text of ["", "a,b\n"]) {
      expect(await errorOf(collect(readCsv(text)))).toContain(
        "must hold at least one row, got none",
      );
    }
  });
});
