/**
 * A strict JSON parser for headers of unknown origin. `JSON.parse` would silently keep the last of
 * two equal keys, give objects a prototype that the key `__proto__` can replace, and round large
 * numbers; here keys are unique, objects are maps, and a number that is not a safe whole number
 * keeps its text for the message that refuses it.
 */

import { damaged, quote } from "./format.js";
import type { XError } from "../error.js";

/** A number that is not a whole number within ±(2^53 − 1), as it is written. */
export class OtherNumber {
  /** The digits in the file. */
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** A parsed JSON value. */
export type JsonValue =
  | ReadonlyMap<string, JsonValue>
  | readonly JsonValue[]
  | string
  | number
  | OtherNumber
  | boolean
  | null;

// A header nests three levels. The limit keeps a hostile one from overflowing the stack.
const deepest = 64;

// What is neither an object, a list nor a string.
const literal = /true|false|null|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const wholePattern = /^(?:0|-?[1-9][0-9]*)$/;
const loneSurrogate = /\p{Surrogate}/u;

/** Parses the text of a header; `op` begins the message of an error. */
export function parseJson(op: string, text: string): JsonValue {
  let position = 0;

  const fault = (got: string): XError =>
    damaged(
      `${op}: the header must be valid JSON, got ${got} at character ${position}. The file is damaged or not in the safetensors format; fetch or save it again.`,
    );

  const unexpected = (wanted: string): XError => {
    const found = text.codePointAt(position);
    const shown = found === undefined ? "its end" : quote(String.fromCodePoint(found));
    return fault(`${shown} where ${wanted} should be`);
  };

  /** Moves past white space and gives the character there: none at the end. */
  const next = (): string => {
    while (/[ \n\r\t]/.test(text.charAt(position))) position++;
    return text.charAt(position);
  };

  /** The parts between brackets, and the brackets themselves. */
  const parts = (close: string, part: () => void): void => {
    position++;
    let found = next();
    while (found !== close) {
      part();
      found = next();
      if (found !== "," && found !== close) throw unexpected(`"," or "${close}"`);
      if (found === ",") position++;
    }
    position++;
  };

  const string = (wanted: string): string => {
    if (next() !== '"') throw unexpected(wanted);
    let end = position + 1;
    for (; text[end] !== '"'; end += text[end] === "\\" ? 2 : 1) {
      if (end < text.length) continue;
      position = text.length;
      throw unexpected("the rest of a string");
    }
    let result: string;
    try {
      result = JSON.parse(text.slice(position, end + 1)) as string;
    } catch {
      throw fault("a string with a control character or an unknown escape");
    }
    if (loneSurrogate.test(result)) throw fault("a string with half of a surrogate pair");
    position = end + 1;
    return result;
  };

  const value = (depth: number): JsonValue => {
    const first = next();
    if (depth > deepest) throw fault(`more than ${deepest} nested levels`);
    if (first === "{") {
      const members = new Map<string, JsonValue>();
      parts("}", () => {
        const key = string("a key in quotes");
        if (members.has(key)) {
          throw damaged(
            `${op}: a key may stand once in its object of the header, got ${quote(key)} twice. The file is damaged or hostile; fetch or save it again.`,
          );
        }
        if (next() !== ":") throw unexpected('":"');
        position++;
        members.set(key, value(depth + 1));
      });
      return members;
    }
    if (first === "[") {
      const items: JsonValue[] = [];
      parts("]", () => items.push(value(depth + 1)));
      return items;
    }
    if (first === '"') return string("a value");
    literal.lastIndex = position;
    const [found] = literal.exec(text) ?? [];
    if (found === undefined) throw unexpected("a value");
    position += found.length;
    const plain = JSON.parse(found) as number | boolean | null;
    const isOther =
      typeof plain === "number" && !(wholePattern.test(found) && Number.isSafeInteger(plain));
    return isOther ? new OtherNumber(found) : plain;
  };

  const document = value(0);
  if (next() !== "") throw unexpected("the end");
  return document;
}

/** A parsed value for a message: short, however long the value is. */
export function describeJson(value: JsonValue | undefined): string {
  if (value === undefined) return "nothing";
  if (value === null) return "null";
  if (typeof value === "string") return quote(value);
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  if (value instanceof OtherNumber) {
    return value.text.length > 40 ? `${value.text.slice(0, 40)}…` : value.text;
  }
  if (value instanceof Map) return "an object";
  const list = value as readonly JsonValue[];
  const shown = list.slice(0, 8).map(describeJson);
  if (list.length > 8) shown.push("…");
  return `[${shown.join(", ")}]`;
}
