/** What errors must be like. */

import { expect } from "vitest";

/** Fits an error with this code whose sentence is, or contains, `sentence`: for `toThrow`. */
export function fault(code: string, sentence: string): unknown {
  return expect.objectContaining({ code, message: expect.stringContaining(sentence) as unknown });
}
