/** What calls refuse, and in which words. */

import { XError, type XErrorCode } from "../error.js";

function thrownBy(body: () => unknown): XError | null {
  try {
    body();
  } catch (error) {
    if (XError.isInstance(error)) return error;
    throw error;
  }
  return null;
}

/**
 * Calls `body` and gives the code of the `XError` that it throws, or `null` if it throws nothing. Any
 * other error passes through.
 *
 * @example
 * ```ts
 * import { ones } from "@x/tensor";
 * import { codeOf } from "@x/tensor/testing";
 *
 * console.log(codeOf(() => ones([2]).add(ones([3])))); // → shape
 * ```
 */
export function codeOf(body: () => unknown): XErrorCode | null {
  return thrownBy(body)?.code ?? null;
}

/**
 * Calls `body` and gives the code and the sentence of the `XError` that it throws as one text, with
 * ` | ` between them. It is "nothing was thrown" if nothing was; any other error passes through.
 *
 * @example
 * ```ts
 * import { zeros } from "@x/tensor";
 * import { failureOf } from "@x/tensor/testing";
 *
 * const failure = failureOf(() => zeros([2, -1]));
 * console.log(failure.startsWith("shape | zeros: ")); // → true
 * ```
 */
export function failureOf(body: () => unknown): string {
  const error = thrownBy(body);
  return error === null ? "nothing was thrown" : `${error.code} | ${error.message}`;
}
