/// <reference lib="esnext.disposable" preserve="true" />
/**
 * The errors of every `@x` package.
 *
 * A message is a sentence of the form `<op>: <what was wrong>, got <actual>. <what to do>.`
 * The `code` is stable and is what programs should test; messages may get better over time.
 */

/**
 * Stable reasons why an `@x` package refused to work.
 *
 * - `shape`: shapes do not fit the operation or each other
 * - `dtype`: an element type the operation does not take
 * - `argument`: any other argument out of its range or of the wrong kind
 * - `device`: a device is missing, lost, or holds the tensor elsewhere
 * - `memory`: the device cannot hold what was asked for
 * - `gradient`: a gradient was asked for where there is none
 * - `disposed`: a tensor was used after its memory was released
 * - `checkpoint`: a file or state dictionary is damaged or does not fit the model
 * - `unsupported`: the runtime lacks something that the call needs
 * - `internal`: a fault in `@x` itself; please report it
 */
export type XErrorCode =
  | "shape"
  | "dtype"
  | "argument"
  | "device"
  | "memory"
  | "gradient"
  | "disposed"
  | "checkpoint"
  | "unsupported"
  | "internal";

const marker = Symbol.for("@x/error");

/**
 * The one error class of the `@x` packages.
 *
 * @example
 * ```ts
 * import { XError, ones } from "@x/tensor";
 *
 * try {
 *   ones([2, 3]).matmul(ones([4, 5]));
 * } catch (error) {
 *   console.log(XError.isInstance(error) && error.code); // → shape
 * }
 * ```
 */
export class XError extends Error {
  /** The stable reason, for programs. */
  readonly code: XErrorCode;

  constructor(code: XErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "XError";
    this.code = code;
    Object.defineProperty(this, marker, { value: true });
  }

  /** Whether `error` is an `XError`, also one thrown by another installed copy of the package. */
  static isInstance(error: unknown): error is XError {
    return error instanceof Error && marker in error;
  }
}

/** Throws an `XError` unless `condition` holds; the message is built only on failure. */
export function check(
  condition: boolean,
  code: XErrorCode,
  message: () => string,
): asserts condition {
  if (!condition) throw new XError(code, message());
}
