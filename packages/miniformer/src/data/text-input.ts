/** Text from wherever it lies: memory, a `Blob`, or something that is read piece by piece. */

import { XError } from "@x/tensor";

/**
 * Text to read: a string, UTF-8 bytes, a `Blob` (also a `File`), or a function that begins to read
 * pieces of either from the start, such as `() => createReadStream("corpus.jsonl")` in Node.
 */
export type TextInput =
  | string
  | Uint8Array
  | Blob
  | (() => AsyncIterable<string | Uint8Array> | Iterable<string | Uint8Array>);

/** A line of text and its number, counted from 1. */
export interface Line {
  /** The line without what ends it. */
  readonly text: string;
  /** Its number, counted from 1. */
  readonly number: number;
}

async function* blobPieces(blob: Blob): AsyncGenerator<Uint8Array, void, undefined> {
  // Not `for await` over the stream: Safari's streams are not iterable.
  const reader = blob.stream().getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    reader.releaseLock();
  }
}

/** The pieces of the text, in order. */
async function* pieces(input: TextInput): AsyncGenerator<string | Uint8Array, void, undefined> {
  if (typeof input === "string" || input instanceof Uint8Array) yield input;
  else if (typeof input === "function") yield* input();
  else yield* blobPieces(input);
}

/** The text, piece by piece, decoded and without a byte order mark. */
async function* decoded(
  op: string,
  input: TextInput,
  name: string,
): AsyncGenerator<string, void, undefined> {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let isFirst = true;
  const decode = (bytes?: Uint8Array): string => {
    try {
      return bytes === undefined ? decoder.decode() : decoder.decode(bytes, { stream: true });
    } catch (error) {
      throw new XError(
        "argument",
        `${op}: ${name} must be UTF-8 text, got bytes that are not. Convert the file.`,
        { cause: error },
      );
    }
  };
  for await (const piece of pieces(input)) {
    const text = typeof piece === "string" ? piece : decode(piece);
    yield isFirst && typeof piece === "string" ? text.replace(/^\uFEFF/, "") : text;
    if (text !== "") isFirst = false;
  }
  yield decode();
}

/** The whole text; `op` begins the message of an error, `name` says in it what was read. */
export async function wholeText(op: string, input: TextInput, name: string): Promise<string> {
  let text = "";
  for await (const piece of decoded(op, input, name)) text += piece;
  return text;
}

/** The lines of the text; both `\n` and `\r\n` end one. */
export async function* linesOf(
  op: string,
  input: TextInput,
  name: string,
): AsyncGenerator<Line, void, undefined> {
  let rest = "";
  let number = 0;
  for await (const piece of decoded(op, input, name)) {
    const parts = (rest + piece).split("\n");
    rest = parts.pop()!;
    for (const part of parts) {
      yield { text: part.endsWith("\r") ? part.slice(0, -1) : part, number: ++number };
    }
  }
  if (rest !== "") yield { text: rest, number: number + 1 };
}
