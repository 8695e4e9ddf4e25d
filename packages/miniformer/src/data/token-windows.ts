/** Windows of tokens as examples for language models: of one long text, or of documents packed together. */

import { check, checkNumbers, count, whole } from "@x/tensor/checks";
import { indexed, type Order, type Source } from "./source.js";

/** Token numbers in order. */
export type Tokens = ArrayLike<number>;

/** Options of {@link tokenWindows}. */
export interface WindowOptions {
  /** How many tokens a window predicts. */
  readonly length: number;
  /**
   * How far the next window begins from a window's beginning, at most `length`. Default: `length`,
   * where each token but the first is predicted exactly once. What learns from a short text should see
   * it cut in more ways than one, or it learns where the cuts are: `1` makes windows of all places.
   */
  readonly stride?: number;
}

/**
 * Cuts one long sequence of tokens into windows: window `i` holds the tokens from `i · stride` to
 * `i · stride + length`, that one included. The last window may be shorter.
 *
 * @param tokens for bytes, a `Uint8Array` as it is
 * @throws XError `argument` if there are less than two tokens, or the stride is longer than the windows
 * @example
 * ```ts
 * const windows = tokenWindows(Uint8Array.of(1, 2, 3, 4, 5, 6), { length: 3 });
 * console.log(windows.at!(0), windows.at!(1)); // → Uint8Array(4) [ 1, 2, 3, 4 ] Uint8Array(3) [ 4, 5, 6 ]
 * ```
 */
export function tokenWindows<T extends Uint8Array | Uint16Array | Uint32Array | Int32Array>(
  tokens: T,
  options: WindowOptions,
): Source<T> {
  const { length, stride = length } = options;
  checkNumbers("tokenWindows", count, { length, stride });
  check(
    stride <= length,
    "argument",
    () =>
      `tokenWindows: the stride must be at most the length of ${length}, got ${stride}. Tokens between windows would be left out.`,
  );
  checkTokens("tokenWindows", tokens.length);
  const beyondFirst = Math.max(0, tokens.length - 1 - length);
  return indexed(
    1 + Math.ceil(beyondFirst / stride),
    // A part of an array is one of the same kind.
    (index) => tokens.subarray(index * stride, index * stride + length + 1) as T,
  );
}

function checkTokens(op: string, found: number): void {
  check(
    found >= 2,
    "argument",
    () => `${op}: there must be at least two tokens, got ${found}. Take a longer text.`,
  );
}

/** Options of {@link packed}. */
export interface PackingOptions {
  /** How many tokens a window predicts. */
  readonly length: number;
  /** Stands after every document. */
  readonly endToken: number;
}

/**
 * Puts documents one after the other, with an end token after each, and cuts them into windows that
 * share a token, as {@link tokenWindows} does: no place is wasted on padding. Documents are shuffled
 * where windows would be. Every token but the first of an epoch is predicted once; the last window
 * of an epoch may be shorter. Tokens of a window see the documents before them in it, as in GPT-2.
 *
 * To go back to a place in an epoch, the windows before are packed again and dropped.
 *
 * @param documents token sequences, such as `mapped(rows, (row) => tokenizer.encode(row.text))`
 * @example
 * ```ts
 * const windows = packed(fromArray([[1, 2], [3], [4, 5]]), { length: 4, endToken: 0 });
 * for await (const window of windows.read({ epoch: 0, seed: null }, 0)) console.log(window);
 * // → Int32Array(5) [ 1, 2, 0, 3, 0 ]
 * // → Int32Array(4) [ 0, 4, 5, 0 ]
 * ```
 */
export function packed(documents: Source<Tokens>, options: PackingOptions): Source<Int32Array> {
  const { length, endToken } = options;
  checkNumbers("packed", count, { length });
  checkNumbers("packed", whole, { endToken });
  return {
    length: null,
    async *read(order: Order, from: number) {
      let number = 0;
      let window = new Int32Array(length + 1);
      let filled = 0;
      let tokens = 0;
      for await (const document of documents.read(order, 0)) {
        for (let i = 0; i <= document.length; i++) {
          window[filled++] = i < document.length ? document[i]! : endToken;
          tokens++;
          if (filled <= length) continue;
          if (number++ >= from) yield window;
          // The last token of a window is the first of the next.
          const last = window[length]!;
          window = new Int32Array(length + 1);
          window[0] = last;
          filled = 1;
        }
      }
      checkTokens("packed", tokens);
      if (filled > 1 && number >= from) yield window.slice(0, filled);
    },
  };
}
