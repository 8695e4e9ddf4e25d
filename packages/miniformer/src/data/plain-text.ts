/** Plain text, as a whole or line by line. */

import { check } from "@x/tensor/checks";
import { linesOf, wholeText, type TextInput } from "./text-input.js";

/** Options of {@link readText} and {@link readLines}. */
export interface PlainTextOptions {
  /** What the text is called in errors. Default `"the text"`. */
  readonly name?: string;
}

/**
 * The whole text, without a byte order mark.
 *
 * @throws XError `argument` if bytes are not UTF-8, or there is no text
 * @example
 * ```ts
 * const text = await readText(new Blob(["a rose is ", "a rose"]));
 * const windows = tokenWindows(new TextEncoder().encode(text), { length: 8 });
 * console.log(text, windows.length); // → a rose is a rose 2
 * ```
 */
export async function readText(input: TextInput, options: PlainTextOptions = {}): Promise<string> {
  const { name = "the text" } = options;
  const text = await wholeText("readText", input, name);
  checkFound("readText", name, text !== "");
  return text;
}

/**
 * The lines of the text, without what ends them, as they are read: a document each. Lines of nothing but
 * blanks are skipped.
 *
 * @throws XError `argument` if bytes are not UTF-8, or there are no lines
 * @example
 * ```ts
 * for await (const line of readLines("a rose\n\nis a rose\n")) console.log(line);
 * // → a rose
 * // → is a rose
 * ```
 */
export async function* readLines(
  input: TextInput,
  options: PlainTextOptions = {},
): AsyncGenerator<string, void, undefined> {
  const { name = "the text" } = options;
  let count = 0;
  for await (const { text } of linesOf("readLines", input, name)) {
    if (text.trim() === "") continue;
    count++;
    yield text;
  }
  checkFound("readLines", name, count > 0);
}

function checkFound(op: string, name: string, isFound: boolean): void {
  check(
    isFound,
    "argument",
    () => `${op}: ${name} must hold some text, got none. Check that it is the right file.`,
  );
}
