/** The arguments a golden file gives as JSON, read with their types checked. */

type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/** The members of a JSON object. Missing members and `null` are the same: not set. */
export class Settings {
  readonly #values: Readonly<Record<string, Json>>;

  constructor(values: Readonly<Record<string, Json>> = {}) {
    this.#values = values;
  }

  /** Parses the text of a JSON object. */
  static parse(text: string): Settings {
    const value = JSON.parse(text) as Json;
    if (!isObject(value)) throw new Error(`a JSON object was expected, got ${text.slice(0, 60)}`);
    return new Settings(value);
  }

  keys(): string[] {
    return Object.keys(this.#values);
  }

  has(key: string): boolean {
    return (this.#values[key] ?? null) !== null;
  }

  number(key: string): number | undefined {
    const value = this.#values[key] ?? null;
    if (typeof value === "string") return numberIn(value);
    return this.#get(key, "a number", (json) => typeof json === "number");
  }

  boolean(key: string): boolean | undefined {
    return this.#get(key, "true or false", (json) => typeof json === "boolean");
  }

  string(key: string): string | undefined {
    return this.#get(key, "text", (json) => typeof json === "string");
  }

  /** The member if it is text, else nothing. */
  text(key: string): string | undefined {
    const value = this.#values[key];
    return typeof value === "string" ? value : undefined;
  }

  numbers(key: string): number[] | undefined {
    return this.#get(key, "a list of numbers", isNumbers);
  }

  strings(key: string): string[] | undefined {
    const isText = (json: Json): boolean => typeof json === "string";
    return this.#get(key, "a list of texts", (json) => Array.isArray(json) && json.every(isText));
  }

  /** One number or a list of them. */
  numberOrNumbers(key: string): number | number[] | undefined {
    return this.#get(key, "a number or a list", (json) => typeof json === "number" || isNumbers(json));
  }

  /** An object; an empty one where it is not set or is something else. */
  object(key: string): Settings {
    const value = this.#values[key] ?? null;
    return new Settings(isObject(value) ? value : {});
  }

  /** These settings with the members of `others` in place of, or added to, their own. */
  with(others: Settings): Settings {
    return new Settings({ ...this.#values, ...others.#values });
  }

  /** A number that must be set. */
  requiredNumber(key: string): number {
    const value = this.number(key);
    if (value === undefined) throw new Error(`the configuration must set "${key}"`);
    return value;
  }

  /** All members that are set, but those of `without`, as options: `weight_decay` is `weightDecay`. */
  toOptions(without: readonly string[] = []): Record<string, unknown> {
    const own = this.keys().filter((key) => this.has(key) && !without.includes(key));
    return Object.fromEntries(own.map((key) => [toCamelCase(key), this.#values[key]]));
  }

  #get<T>(key: string, kind: string, isKind: (json: Json) => boolean): T | undefined {
    const value = this.#values[key] ?? null;
    if (value === null) return undefined;
    if (!isKind(value)) throw new Error(`"${key}" must be ${kind}, got ${JSON.stringify(value)}`);
    return value as T;
  }
}

/** `T_max` is `tMax`. */
function toCamelCase(name: string): string {
  return name.toLowerCase().replace(/_([a-z0-9])/g, (_, next: string) => next.toUpperCase());
}

function isObject(json: Json): json is { readonly [key: string]: Json } {
  return typeof json === "object" && json !== null && !Array.isArray(json);
}

function isNumbers(json: Json): boolean {
  return Array.isArray(json) && json.every((element) => typeof element === "number");
}

/** A number written as text: infinite ones, or with an explanation around it. */
function numberIn(text: string): number | undefined {
  const infinite = /^\s*([-+]|minus )?inf(inity)?\b/i.exec(text);
  if (infinite) return infinite[1] === undefined || infinite[1] === "+" ? Infinity : -Infinity;
  const found = /(?<![\w.])[-+]?\d+(\.\d*)?(e[-+]?\d+)?(?![\w.])/i.exec(text);
  return found ? Number(found[0]) : undefined;
}
