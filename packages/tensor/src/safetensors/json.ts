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

const numberPattern = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const wholePattern = /^(?:0|-?[1-9][0-9]*)$/;
const loneSurrogate = /\p{Surrogate}/u;

class Parser {
  readonly #op: string;
  readonly #text: string;
  #position = 0;

  constructor(op: string, text: string) {
    this.#op = op;
    this.#text = text;
  }

  document(): JsonValue {
    const value = this.#value(0);
    this.#skipSpace();
    if (this.#position < this.#text.length) throw this.#unexpected("the end");
    return value;
  }

  #fault(got: string): XError {
    return damaged(
      `${this.#op}: the header must be valid JSON, got ${got} at character ${this.#position}. ` +
        "The file is damaged or not in the safetensors format; fetch or save it again.",
    );
  }

  #unexpected(wanted: string): XError {
    const text = this.#text;
    if (this.#position >= text.length) return this.#fault(`its end where ${wanted} should be`);
    const found = String.fromCodePoint(text.codePointAt(this.#position)!);
    return this.#fault(`${quote(found)} where ${wanted} should be`);
  }

  /** Moves past white space and gives the code of what follows, NaN at the end. */
  #skipSpace(): number {
    for (;;) {
      const code = this.#text.charCodeAt(this.#position);
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return code;
      this.#position++;
    }
  }

  #value(depth: number): JsonValue {
    const code = this.#skipSpace();
    if (depth > deepest) throw this.#fault(`more than ${deepest} nested levels`);
    switch (code) {
      case 0x7b: // {
        return this.#object(depth);
      case 0x5b: // [
        return this.#array(depth);
      case 0x22: // "
        return this.#string();
      case 0x74: // t
        return this.#word("true", true);
      case 0x66: // f
        return this.#word("false", false);
      case 0x6e: // n
        return this.#word("null", null);
      default:
        return this.#number();
    }
  }

  #object(depth: number): ReadonlyMap<string, JsonValue> {
    const result = new Map<string, JsonValue>();
    this.#position++;
    if (this.#skipSpace() === 0x7d) {
      this.#position++;
      return result;
    }
    for (;;) {
      if (this.#skipSpace() !== 0x22) throw this.#unexpected("a key in quotes");
      const key = this.#string();
      if (result.has(key)) {
        throw damaged(
          `${this.#op}: a key may stand once in its object of the header, got ${quote(key)} twice. ` +
            "The file is damaged or hostile; fetch or save it again.",
        );
      }
      if (this.#skipSpace() !== 0x3a) throw this.#unexpected('":"');
      this.#position++;
      result.set(key, this.#value(depth + 1));
      const code = this.#skipSpace();
      if (code !== 0x2c && code !== 0x7d) throw this.#unexpected('"," or "}"');
      this.#position++;
      if (code === 0x7d) return result;
    }
  }

  #array(depth: number): readonly JsonValue[] {
    const result: JsonValue[] = [];
    this.#position++;
    if (this.#skipSpace() === 0x5d) {
      this.#position++;
      return result;
    }
    for (;;) {
      result.push(this.#value(depth + 1));
      const code = this.#skipSpace();
      if (code !== 0x2c && code !== 0x5d) throw this.#unexpected('"," or "]"');
      this.#position++;
      if (code === 0x5d) return result;
    }
  }

  #string(): string {
    const text = this.#text;
    const start = this.#position;
    let end = start + 1;
    let escaped = false;
    for (let code = text.charCodeAt(end); code !== 0x22; code = text.charCodeAt(end)) {
      if (code < 0x20 || Number.isNaN(code)) {
        this.#position = end;
        throw this.#unexpected("the rest of a string");
      }
      if (code === 0x5c) escaped = true;
      // What stands behind a backslash belongs to it, be it a quotation mark.
      end += code === 0x5c ? 2 : 1;
    }
    if (!escaped) {
      this.#position = end + 1;
      return text.slice(start + 1, end);
    }
    let result: string;
    try {
      result = JSON.parse(text.slice(start, end + 1)) as string;
    } catch {
      throw this.#fault("a string with an unknown escape");
    }
    // Only an escape can name half a character: the text itself was decoded from UTF-8.
    if (loneSurrogate.test(result)) throw this.#fault("a string with half of a surrogate pair");
    this.#position = end + 1;
    return result;
  }

  #number(): number | OtherNumber {
    numberPattern.lastIndex = this.#position;
    const match = numberPattern.exec(this.#text);
    if (match === null) throw this.#unexpected("a value");
    this.#position = numberPattern.lastIndex;
    const value = Number(match[0]);
    const whole = wholePattern.test(match[0]) && Number.isSafeInteger(value);
    return whole ? value : new OtherNumber(match[0]);
  }

  #word<T extends boolean | null>(word: string, value: T): T {
    if (!this.#text.startsWith(word, this.#position)) throw this.#unexpected("a value");
    this.#position += word.length;
    return value;
  }
}

/** Parses the text of a header; `op` begins the message of an error. */
export function parseJson(op: string, text: string): JsonValue {
  return new Parser(op, text).document();
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
