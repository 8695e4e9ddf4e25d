/** The stable code of the error that a function throws. */

import { XError } from "@x/tensor";

/** Calls `body`; gives the code of what it throws, or `null`. */
export function codeOf(body: () => unknown): string | null {
  try {
    body();
  } catch (error) {
    return XError.isInstance(error) ? error.code : "not an XError";
  }
  return null;
}
