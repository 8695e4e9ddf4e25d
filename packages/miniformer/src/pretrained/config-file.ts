/** What JSON files of a checkpoint say. */

import { unloadable } from "./files/failure.js";

/** An object of JSON. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** Parses a file that holds an object. */
export function parseObject(file: string, text: string): JsonObject {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    parsed = undefined;
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) {
    throw unloadable(
      `${file} must hold an object of JSON, got ${text.length === 0 ? "an empty file" : `text that begins with ${JSON.stringify(text.slice(0, 30))}`}. Fetch it again.`,
    );
  }
  return parsed as JsonObject;
}

/** `config.json` of a published checkpoint, read field by field. */
export class ConfigFile {
  private readonly json: JsonObject;
  private readonly file: string;

  constructor(json: JsonObject, file: string = "config.json") {
    this.json = json;
    this.file = file;
  }

  /** A field as it is; `undefined` where it is missing. */
  value(name: string): unknown {
    return this.json[name];
  }

  /** An object within; an empty one where it is missing or `null`. */
  object(name: string): ConfigFile {
    const value = this.json[name] ?? {};
    if (typeof value !== "object" || Array.isArray(value)) throw this.wrong(name, "an object");
    return new ConfigFile(value as JsonObject, `${this.file}, "${name}",`);
  }

  /** The names of the fields. */
  names(): string[] {
    return Object.keys(this.json);
  }

  /** A whole number above 0, under the first of the names that is there. */
  count(...names: readonly string[]): number {
    const count = this.countOr(undefined, ...names);
    if (count === undefined) throw this.wrong(names[0]!, "a whole number above 0");
    return count;
  }

  /** A whole number above 0, or another value where none of the names is there. */
  countOr<T>(otherwise: T, ...names: readonly string[]): number | T {
    const name = this.present(names);
    if (name === undefined) return otherwise;
    const value = this.json[name];
    if (!Number.isSafeInteger(value) || (value as number) < 1) {
      throw this.wrong(name, "a whole number above 0");
    }
    return value as number;
  }

  /** A number, or another value where none of the names is there. */
  numberOr<T>(otherwise: T, ...names: readonly string[]): number | T {
    const name = this.present(names);
    if (name === undefined) return otherwise;
    const value = this.json[name];
    if (typeof value !== "number" || !Number.isFinite(value)) throw this.wrong(name, "a number");
    return value;
  }

  /** Yes or no, or another value where it is missing. */
  flag(name: string, otherwise: boolean): boolean {
    const value = this.json[name] ?? otherwise;
    if (typeof value !== "boolean") throw this.wrong(name, "true or false");
    return value;
  }

  /** Text, or another value where it is missing. */
  text<T>(name: string, otherwise: T): string | T {
    const value = this.json[name] ?? otherwise;
    if (typeof value !== "string" && value !== otherwise) throw this.wrong(name, "text");
    return value as string | T;
  }

  /** A list of texts, or `null` where it is missing. */
  texts(name: string): readonly string[] | null {
    const value = this.json[name] ?? null;
    if (value === null) return null;
    if (!Array.isArray(value) || !value.every((item) => typeof item === "string")) {
      throw this.wrong(name, "a list of texts");
    }
    return value;
  }

  /** The id of a token, a list of them, or `null`. */
  ids(name: string): number | readonly number[] | null {
    const value = this.json[name] ?? null;
    const isId = (id: unknown): boolean => Number.isSafeInteger(id) && (id as number) >= 0;
    if (value === null || isId(value)) return value as number | null;
    // -1 says in some files that there is none.
    if (value === -1) return null;
    if (!Array.isArray(value) || !value.every(isId))
      throw this.wrong(name, "an id or a list of ids");
    return value as number[];
  }

  /** The id of a token, or `null`. */
  id(name: string): number | null {
    const ids = this.ids(name);
    return typeof ids === "number" || ids === null ? ids : (ids[0] ?? null);
  }

  /** Refuses a field that must have a certain value, where it has another. */
  require(name: string, value: unknown, what: string): void {
    const given = this.json[name] ?? value;
    if (given === value) return;
    throw unloadable(
      `${this.file} must not ask for ${what}, got ${JSON.stringify(given)} for "${name}". Choose another checkpoint.`,
    );
  }

  private present(names: readonly string[]): string | undefined {
    return names.find((name) => this.json[name] !== undefined && this.json[name] !== null);
  }

  private wrong(name: string, wanted: string): Error {
    return unloadable(
      `${this.file} must give "${name}" as ${wanted}, got ${JSON.stringify(this.json[name] ?? null)}. Check the file.`,
    );
  }
}
