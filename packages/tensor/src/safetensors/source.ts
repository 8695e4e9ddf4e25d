/** Where the bytes of a file come from: memory, a `Blob`, or anything that reads at an offset. */

import { XError } from "../error.js";
import { damaged, reasonOf } from "./format.js";

/**
 * Something that reads bytes at any offset: a file handle, a server that honours byte ranges, a
 * database. It is asked only for ranges within `size`, possibly for several at the same time.
 */
export interface RandomAccessSource {
  /** Size of the whole file in bytes. */
  readonly size: number;
  /** Gives exactly `length` bytes that begin at `offset`. */
  read(offset: number, length: number): Promise<Uint8Array>;
  /** Releases what the source holds; called when the file is closed. */
  close?(): Promise<void>;
}

/** What a safetensors file can be read from. */
export type SafetensorsSource = Uint8Array | ArrayBuffer | Blob | RandomAccessSource;

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}

/** A buffer, also one of another realm or a shared one. */
function isBuffer(value: object): value is ArrayBuffer {
  return /^\[object (?:Shared)?ArrayBuffer\]$/.test(Object.prototype.toString.call(value));
}

/** Anything with the two methods of a `Blob` that are needed, also one of another realm. */
function isBlob(value: object): value is Blob {
  return (
    "slice" in value &&
    typeof value.slice === "function" &&
    "arrayBuffer" in value &&
    typeof value.arrayBuffer === "function"
  );
}

function isRandomAccess(value: object): value is RandomAccessSource {
  return (
    "size" in value &&
    Number.isSafeInteger(value.size) &&
    "read" in value &&
    typeof value.read === "function"
  );
}

/** One interface for every kind of source. Bytes in memory are given as views, not copies. */
export function toRandomAccess(op: string, source: SafetensorsSource): RandomAccessSource {
  const given: unknown = source;
  if (ArrayBuffer.isView(given)) {
    const bytes = new Uint8Array(given.buffer, given.byteOffset, given.byteLength);
    return {
      size: bytes.length,
      read: async (offset, length) => bytes.subarray(offset, offset + length),
    };
  }
  if (isObject(given) && isBuffer(given)) return toRandomAccess(op, new Uint8Array(given));
  if (isObject(given) && isBlob(given)) {
    return {
      size: given.size,
      read: async (offset, length) =>
        new Uint8Array(await given.slice(offset, offset + length).arrayBuffer()),
    };
  }
  if (isObject(given) && isRandomAccess(given)) return given;
  throw new XError(
    "argument",
    `${op}: the source must be a Uint8Array, an ArrayBuffer, a Blob or { size, read }, got ${
      isObject(given) ? "another object" : typeof given
    }. Pass the bytes of the file; for a path use openSafetensorsFile.`,
  );
}

/** Reads a range that lies within the source; a source that gives less is an error. */
export async function readRange(
  op: string,
  source: RandomAccessSource,
  offset: number,
  length: number,
): Promise<Uint8Array> {
  let bytes: Uint8Array;
  try {
    bytes = await source.read(offset, length);
  } catch (error) {
    if (XError.isInstance(error)) throw error;
    throw damaged(
      `${op}: bytes ${offset} to ${offset + length} could not be read, got ${JSON.stringify(reasonOf(error))}. Check that the file is still there.`,
      { cause: error },
    );
  }
  if (bytes.length !== length) {
    throw damaged(
      `${op}: the source must give ${length} bytes at offset ${offset}, got ${bytes.length}. ` +
        "Read the file again; it may have changed meanwhile.",
    );
  }
  return bytes;
}
