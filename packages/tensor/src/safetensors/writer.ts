/**
 * Writing safetensors files, byte for byte as the official library writes them: tensors of wide
 * types first, then by name; a compact header padded with spaces, so that data begins at a
 * multiple of 8 and every tensor is aligned to its elements. Equal input gives equal bytes.
 */

import { XError } from "../error.js";
import { formatShape } from "../tensor/shape.js";
import type { Shape } from "../tensor/shape.js";
import {
  byteLengthOf,
  isSafetensorsDType,
  lengthSize,
  longestHeader,
  metadataKey,
  quote,
  rankOf,
} from "./format.js";
import type { SafetensorsDType } from "./format.js";

/** A tensor to write, described in the terms of the format. */
export interface SafetensorsTensor {
  /** The name, unique in its file. */
  readonly name: string;
  /** The element type as the format names it. */
  readonly dtype: SafetensorsDType;
  /** The size along each axis. */
  readonly shape: Shape;
  /** The elements, little-endian and row-major. */
  readonly bytes: Uint8Array;
}

/** A tensor to write whose bytes are made only when its turn comes. */
export interface LazySafetensorsTensor extends Omit<SafetensorsTensor, "bytes"> {
  /** The elements, or a function that gives them when their turn has come. */
  readonly bytes: Uint8Array | (() => Uint8Array | Promise<Uint8Array>);
}

/** The text notes of a file, written in the order given. */
export type SafetensorsMetadata = ReadonlyMap<string, string> | Readonly<Record<string, string>>;

/** A file as a sequence of chunks, of which only one is in memory at a time. */
export interface SafetensorsStream extends AsyncIterable<Uint8Array> {
  /** Size of the whole file in bytes. */
  readonly byteLength: number;
}

const loneSurrogate = /\p{Surrogate}/u;

/**
 * Serialises tensors to the bytes of a safetensors file.
 *
 * @throws XError `argument`, `dtype` or `shape` if a tensor is described wrongly or its bytes do
 * not fit; `memory` if the file is too large for one array
 * @example
 * ```ts
 * import { writeSafetensors } from "@x/tensor/safetensors";
 *
 * const file = writeSafetensors(
 *   [{ name: "steps", dtype: "U8", shape: [2], bytes: Uint8Array.of(1, 2) }],
 *   { format: "pt" },
 * );
 * const header = new TextDecoder().decode(file.subarray(8, -2)).trimEnd();
 * console.log(header.slice(0, 31)); // → {"__metadata__":{"format":"pt"}
 * console.log(header.slice(32)); // → "steps":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}
 * ```
 */
export function writeSafetensors(
  tensors: Iterable<SafetensorsTensor>,
  metadata?: SafetensorsMetadata,
): Uint8Array<ArrayBuffer> {
  const op = "writeSafetensors";
  const { header, items, byteLength } = layOut(op, tensors, metadata);
  const file = allocate(op, byteLength);
  file.set(header);
  let position = header.length;
  for (const { tensor, size } of items) {
    checkBytes(op, tensor, size, tensor.bytes);
    file.set(tensor.bytes, position);
    position += size;
  }
  return file;
}

/**
 * Serialises tensors to chunks: the header, then the bytes of one tensor after the other. Names,
 * types and shapes are checked at once; bytes given as functions are asked for one at a time.
 *
 * @throws XError `argument`, `dtype` or `shape` if a tensor is described wrongly; while streaming,
 * `argument` if its bytes do not fit
 * @example
 * ```ts
 * import { streamSafetensors } from "@x/tensor/safetensors";
 *
 * const stream = streamSafetensors([
 *   { name: "a", dtype: "F32", shape: [1000], bytes: async () => new Uint8Array(4000) },
 * ]);
 * let written = 0;
 * for await (const chunk of stream) written += chunk.length;
 * console.log(written === stream.byteLength); // → true
 * ```
 */
export function streamSafetensors(
  tensors: Iterable<LazySafetensorsTensor>,
  metadata?: SafetensorsMetadata,
): SafetensorsStream {
  return streamLayout("streamSafetensors", tensors, metadata);
}

/** {@link streamSafetensors}; `op` begins the message of an error. */
export function streamLayout(
  op: string,
  tensors: Iterable<LazySafetensorsTensor>,
  metadata: SafetensorsMetadata | undefined,
): SafetensorsStream {
  const { header, items, byteLength } = layOut(op, tensors, metadata);
  return {
    byteLength,
    async *[Symbol.asyncIterator]() {
      yield header;
      for (const { tensor, size } of items) {
        const { bytes } = tensor;
        const given = typeof bytes === "function" ? await bytes() : bytes;
        checkBytes(op, tensor, size, given);
        if (size > 0) yield given;
      }
    },
  };
}

interface Layout<T> {
  /** Length, JSON and padding. */
  readonly header: Uint8Array;
  /** The tensors in the order of their data, with their sizes in bytes. */
  readonly items: readonly { readonly tensor: T; readonly size: number }[];
  /** Size of the whole file. */
  readonly byteLength: number;
}

function layOut<T extends LazySafetensorsTensor>(
  op: string,
  tensors: Iterable<T>,
  metadata: SafetensorsMetadata | undefined,
): Layout<T> {
  const items = Array.from(tensors, (tensor) => ({ tensor, size: checkedSize(op, tensor) }));
  items.sort(
    ({ tensor: a }, { tensor: b }) =>
      rankOf(b.dtype) - rankOf(a.dtype) || compareCodePoints(a.name, b.name),
  );

  // Members are put together by hand: an object would move keys like "0" to the front.
  const members: string[] = [];
  if (metadata !== undefined) {
    members.push(`"${metadataKey}":{${metadataMembers(op, metadata).join(",")}}`);
  }
  const names = new Set<string>();
  let offset = 0;
  for (const { tensor, size } of items) {
    const { name, dtype, shape } = tensor;
    if (names.has(name)) {
      throw new XError(
        "argument",
        `${op}: names must be unique, got ${quote(name)} twice. Rename one of the tensors.`,
      );
    }
    names.add(name);
    const end = offset + size;
    members.push(
      `${JSON.stringify(name)}:{"dtype":"${dtype}","shape":[${shape.join(",")}],"data_offsets":[${offset},${end}]}`,
    );
    offset = end;
  }

  const json = new TextEncoder().encode(`{${members.join(",")}}`);
  const padded = Math.ceil(json.length / 8) * 8;
  if (padded > longestHeader) {
    throw new XError(
      "argument",
      `${op}: the header may have at most ${longestHeader} bytes, got ${padded}. Use fewer tensors or less metadata.`,
    );
  }
  const header = new Uint8Array(lengthSize + padded).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(padded), true);
  header.set(json, lengthSize);
  return { header, items, byteLength: header.length + offset };
}

function metadataMembers(op: string, metadata: SafetensorsMetadata): string[] {
  const pairs: Iterable<readonly [string, unknown]> =
    metadata instanceof Map ? (metadata as ReadonlyMap<string, unknown>) : Object.entries(metadata);
  return Array.from(pairs, ([key, value]) => {
    if (typeof value !== "string") {
      throw new XError(
        "argument",
        `${op}: metadata must map strings to strings, got a value of type ${typeof value} for ${quote(key)}. Turn it into a string.`,
      );
    }
    checkText(op, "metadata", key);
    checkText(op, "metadata", value);
    return `${JSON.stringify(key)}:${JSON.stringify(value)}`;
  });
}

/** Checks all that a tensor says of itself, and gives its size in bytes. */
function checkedSize(op: string, { name, dtype, shape }: LazySafetensorsTensor): number {
  checkText(op, "a name", name);
  if (name === metadataKey) {
    throw new XError(
      "argument",
      `${op}: a tensor cannot have the name of the metadata, got ${quote(name)}. Rename the tensor.`,
    );
  }
  if (!isSafetensorsDType(dtype)) {
    throw new XError(
      "dtype",
      `${op}: tensor ${quote(name)} must have a dtype of the format, got ${quote(String(dtype))}. Use F32, F16, I32, U32, I8, BOOL or another one it knows.`,
    );
  }
  if (!shape.every((size) => Number.isSafeInteger(size) && size >= 0)) {
    throw new XError(
      "shape",
      `${op}: tensor ${quote(name)} must have a shape of whole numbers of at least 0, got ${formatShape(shape)}. Correct the shape.`,
    );
  }
  const size = byteLengthOf(dtype, shape);
  if (typeof size === "string") {
    throw new XError(
      "shape",
      `${op}: tensor ${quote(name)} must have a size in whole bytes below 2^50, got shape ${formatShape(shape)} of ${dtype}. Correct the shape.`,
    );
  }
  return size;
}

/** UTF-8, and so the format, has no form for half a surrogate pair. */
function checkText(op: string, what: string, text: string): void {
  if (loneSurrogate.test(text)) {
    throw new XError(
      "argument",
      `${op}: ${what} must be valid Unicode, got half of a surrogate pair in ${quote(text)}. Correct the text.`,
    );
  }
}

function checkBytes(
  op: string,
  { name, dtype, shape }: LazySafetensorsTensor,
  size: number,
  bytes: Uint8Array,
): void {
  const given: unknown = bytes;
  // Another typed array could have the right length and yet be written as the wrong bytes.
  if (Object.prototype.toString.call(given) !== "[object Uint8Array]") {
    throw new XError(
      "argument",
      `${op}: the bytes of tensor ${quote(name)} must be a Uint8Array, got ${Object.prototype.toString.call(given)}. Pass new Uint8Array(data.buffer, data.byteOffset, data.byteLength).`,
    );
  }
  if (bytes.length !== size) {
    throw new XError(
      "argument",
      `${op}: tensor ${quote(name)} of shape ${formatShape(shape)} and dtype ${dtype} takes ${size} bytes, got ${bytes.length}. Pass bytes that fit the shape.`,
    );
  }
}

function allocate(op: string, length: number): Uint8Array<ArrayBuffer> {
  try {
    return new Uint8Array(length);
  } catch (error) {
    throw new XError(
      "memory",
      `${op}: the file must fit one array, got ${length} bytes. Use streamSafetensors or a function that writes to a file.`,
      { cause: error },
    );
  }
}

/** The order of Unicode code points, which is that of UTF-8 bytes, for valid strings. */
function compareCodePoints(a: string, b: string): number {
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    if (a[i] !== b[i]) return a.codePointAt(i)! - b.codePointAt(i)!;
  }
  return a.length - b.length;
}
