import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { XError } from "../error.js";
import { describeJson, OtherNumber, parseJson } from "./json.js";
import type { JsonValue } from "./json.js";

/** The form JSON.parse gives, for comparison. */
function plain(value: JsonValue): unknown {
  if (value instanceof Map) {
    const pairs = [...(value as ReadonlyMap<string, JsonValue>)];
    return Object.fromEntries(pairs.map(([key, item]) => [key, plain(item)]));
  }
  if (Array.isArray(value)) return (value as readonly JsonValue[]).map(plain);
  return value instanceof OtherNumber ? Number(value.text) : value;
}

function messageOf(text: string): string {
  try {
    parseJson("op", text);
  } catch (error) {
    expect(XError.isInstance(error) && error.code).toBe("checkpoint");
    return (error as Error).message;
  }
  return "no error";
}

describe("parseJson", () => {
  it("agrees with JSON.parse on what that writes", () => {
    fc.assert(
      fc.property(
        fc.jsonValue({ maxDepth: 5, noUnicodeString: false }),
        fc.constantFrom(undefined, 1, "\t"),
        (value, indent) => {
          const text = JSON.stringify(value, undefined, indent);
          // Half of a surrogate pair and the prototype key are refused or kept on purpose.
          fc.pre(!/\\ud[89a-f]|__proto__/i.test(text));
          expect(plain(parseJson("op", text))).toEqual(JSON.parse(text));
        },
      ),
      { numRuns: 500 },
    );
  });

  it("refuses what JSON.parse refuses, always as an XError", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom(...'{}[]":,\\ntrue0123.eE+- \t\u0001é') }),
        (text) => {
          let valid = true;
          try {
            JSON.parse(text);
          } catch {
            valid = false;
          }
          if (valid) return;
          expect(messageOf(text)).toMatch(/^op: /);
        },
      ),
      { numRuns: 3000 },
    );
  });

  it("keeps prototype keys as ordinary keys", () => {
    const value = parseJson("op", '{"__proto__": 1, "constructor": {"__proto__": []}}');
    const map = value as ReadonlyMap<string, JsonValue>;
    expect([...map.keys()]).toEqual(["__proto__", "constructor"]);
    expect(map.get("__proto__")).toBe(1);
    expect(({} as Record<string, unknown>)["1"]).toBeUndefined();
  });

  it("refuses equal keys at any depth, also where one is written with escapes", () => {
    expect(messageOf('{"a": 1, "a": 2}')).toBe(
      'op: a key may stand once in its object of the header, got "a" twice. The file is damaged or hostile; fetch or save it again.',
    );
    expect(messageOf('{"x": {"a": 1, "\\u0061": 2}}')).toContain('got "a" twice');
    expect(messageOf('{"__proto__": 1, "__proto__": 2}')).toContain('got "__proto__" twice');
  });

  it("keeps the text of numbers that are not safe whole numbers", () => {
    const values = parseJson("op", "[1.5, 1e3, -0, 9007199254740993, 1.0, 9007199254740991]");
    expect(describeJson(values)).toBe("[1.5, 1e3, -0, 9007199254740993, 1.0, 9007199254740991]");
    expect((values as readonly JsonValue[]).map((value) => typeof value)).toEqual([
      ..."object ".repeat(5).trim().split(" "),
      "number",
    ]);
  });

  it("says what it found and where", () => {
    const end = "The file is damaged or not in the safetensors format; fetch or save it again.";
    const cases: readonly (readonly [string, string])[] = [
      ["", "its end where a value should be at character 0"],
      ["{", "its end where a key in quotes should be at character 1"],
      ['{"a"', 'its end where ":" should be at character 4'],
      ['{"a" 1}', '"1" where ":" should be at character 5'],
      ['{"a": 1,}', '"}" where a key in quotes should be at character 8'],
      ['{"a": 1 2}', '"2" where "," or "}" should be at character 8'],
      ["[1 2]", '"2" where "," or "]" should be at character 3'],
      ["[1,]", '"]" where a value should be at character 3'],
      ["{} x", '"x" where the end should be at character 3'],
      ["nul", '"n" where a value should be at character 0'],
      ["NaN", '"N" where a value should be at character 0'],
      ["01", '"1" where the end should be at character 1'],
      ["'a'", '"\'" where a value should be at character 0'],
      ['"a', "its end where the rest of a string should be at character 2"],
      ['"a\nb"', "a string with a control character or an unknown escape at character 0"],
      ['"\\x"', "a string with a control character or an unknown escape at character 0"],
      ['"\\ud800"', "a string with half of a surrogate pair at character 0"],
      ["😀", '"😀" where a value should be at character 0'],
    ];
    const messages = cases.map(([text]) => messageOf(text));
    expect(messages).toEqual(
      cases.map(([, got]) => {
        const at = got.lastIndexOf(" at character");
        return `op: the header must be valid JSON, got ${got.slice(0, at)}${got.slice(at)}. ${end}`;
      }),
    );
  });

  it("refuses deep nesting without overflowing the stack", () => {
    expect(messageOf("[".repeat(1_000_000))).toContain("got more than 64 nested levels");
    expect(messageOf('{"a":'.repeat(1_000_000))).toContain("got more than 64 nested levels");
  });

  it("reads long strings and lists", () => {
    const long = "x".repeat(5_000_000);
    expect(parseJson("op", `"${long}"`)).toBe(long);
    expect(parseJson("op", `[${"1,".repeat(300_000)}1]`)).toHaveLength(300_001);
  });
});

describe("describeJson", () => {
  it("is short whatever the value", () => {
    const values: readonly (readonly [JsonValue | undefined, string])[] = [
      [undefined, "nothing"],
      [null, "null"],
      [true, "true"],
      ["a", '"a"'],
      ["y".repeat(200), `"${"y".repeat(80)}…"`],
      [new OtherNumber("1".repeat(100)), `${"1".repeat(40)}…`],
      [new Map(), "an object"],
      [Array.from({ length: 100 }, (_, i) => i), "[0, 1, 2, 3, 4, 5, 6, 7, …]"],
    ];
    expect(values.map(([value]) => describeJson(value))).toEqual(values.map(([, text]) => text));
  });
});
