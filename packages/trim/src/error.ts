/** Raising the errors of this package. */

import { XError, type Shape, type XErrorCode } from "@x/tensor";

/** Throws an `XError` unless `condition` holds; the message is built only on failure. */
export function check(
  condition: boolean,
  code: XErrorCode,
  message: () => string,
): asserts condition {
  if (!condition) throw new XError(code, message());
}

/** A shape for people: `[2, 3]`. */
export function formatShape(shape: Shape): string {
  return `[${shape.join(", ")}]`;
}

/** Whether two shapes are the same. */
export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((n, i) => n === b[i]);
}
