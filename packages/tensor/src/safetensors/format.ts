/** The element types of the safetensors format, and how its data is laid out. */

import { XError } from "../error.js";
import type { Shape } from "../tensor/shape.js";

/**
 * An element type as a safetensors file names it. A BOOL takes a byte; F4 and the F6 types are
 * packed; C64 is a pair of F32.
 */
export type SafetensorsDType =
  | "BOOL"
  | "F4"
  | "F6_E2M3"
  | "F6_E3M2"
  | "U8"
  | "I8"
  | "F8_E5M2"
  | "F8_E4M3"
  | "F8_E8M0"
  | "F8_E4M3FNUZ"
  | "F8_E5M2FNUZ"
  | "I16"
  | "U16"
  | "F16"
  | "BF16"
  | "I32"
  | "U32"
  | "F32"
  | "C64"
  | "F64"
  | "I64"
  | "U64";

/** Bits of an element, in the order of the official library, which writes the last types first. */
const bits: Readonly<Record<SafetensorsDType, number>> = {
  BOOL: 8,
  F4: 4,
  F6_E2M3: 6,
  F6_E3M2: 6,
  U8: 8,
  I8: 8,
  F8_E5M2: 8,
  F8_E4M3: 8,
  F8_E8M0: 8,
  F8_E4M3FNUZ: 8,
  F8_E5M2FNUZ: 8,
  I16: 16,
  U16: 16,
  F16: 16,
  BF16: 16,
  I32: 32,
  U32: 32,
  F32: 32,
  C64: 64,
  F64: 64,
  I64: 64,
  U64: 64,
};

/** The key of the header that holds the text notes, and therefore not a name for a tensor. */
export const metadataKey = "__metadata__";

/** The longest header of the format, in bytes. It bounds what a hostile file can make us parse. */
export const longestHeader = 100_000_000;

/** Bytes in front of the header: its length. */
export const lengthSize = 8;

/** Whether the format knows an element type of that name. */
export function isSafetensorsDType(name: unknown): name is SafetensorsDType {
  return typeof name === "string" && Object.hasOwn(bits, name);
}

/** Place of a type in the order of the official library, narrow types first. */
export function rankOf(dtype: SafetensorsDType): number {
  return Object.keys(bits).indexOf(dtype);
}

/** A length in bytes, or why the shape has none. */
export type ByteLength = number | "too large" | "not whole bytes";

/** Bytes that a tensor takes. Sizes must already be whole numbers of at least 0. */
export function byteLengthOf(dtype: SafetensorsDType, shape: Shape): ByteLength {
  if (shape.includes(0)) return 0;
  let total = bits[dtype];
  for (const size of shape) {
    // Beyond 2^53 a product is no longer exact, so that it could fit a byte range by accident.
    if (size > Number.MAX_SAFE_INTEGER / total) return "too large";
    total *= size;
  }
  return total % 8 === 0 ? total / 8 : "not whole bytes";
}

/** A string from a file for a message: in quotes, and short even where the file is hostile. */
export function quote(text: string): string {
  const shown = text.length > 80 ? `${text.slice(0, 80)}…` : text;
  return JSON.stringify(shown);
}

/** The reason in something that was thrown. */
export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** What a file cannot be: an `XError` with code `checkpoint`. */
export function damaged(message: string, options?: ErrorOptions): XError {
  return new XError("checkpoint", message, options);
}
