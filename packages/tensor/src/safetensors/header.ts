/**
 * The header of a safetensors file: an 8-byte little-endian length, then that many bytes of JSON
 *
 * ```json
 * {"__metadata__": {"key": "text"}, "name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}
 * ```
 *
 * padded with spaces, then the data, to which the offsets count. Files come from anywhere, so
 * nothing in a header is believed: every entry must agree with itself, and all entries together
 * must cover the data exactly once, before a single byte of it is read.
 */

import type { Shape } from "../tensor/shape.js";
import { describeJson, parseJson } from "./json.js";
import type { JsonValue } from "./json.js";
import {
  byteLengthOf,
  damaged,
  isSafetensorsDType,
  lengthSize,
  longestHeader,
  metadataKey,
  quote,
} from "./format.js";
import type { SafetensorsDType } from "./format.js";

/** What the header of a file says about one tensor. */
export interface SafetensorsEntry {
  /** The name, unique in its file. */
  readonly name: string;
  /** The element type as the format names it. */
  readonly dtype: SafetensorsDType;
  /** The size along each axis. */
  readonly shape: Shape;
  /** Where its bytes begin, counted from the start of the file. */
  readonly byteOffset: number;
  /** How many bytes it has. */
  readonly byteLength: number;
}

/** A header that was read and found right. */
export interface SafetensorsHeader {
  /** The tensors by name, in the order of their data. */
  readonly entries: ReadonlyMap<string, SafetensorsEntry>;
  /** The text notes of the file; empty where it has none. */
  readonly metadata: ReadonlyMap<string, string>;
}

const fetchAgain = "The file is damaged; fetch or save it again.";
const notTheFormat =
  "The file is damaged or not in the safetensors format; fetch or save it again.";

/** The length of the JSON, from the first 8 bytes of a file of `fileSize` bytes. */
export function parseHeaderLength(op: string, prefix: Uint8Array, fileSize: number): number {
  if (prefix.length < lengthSize || fileSize < lengthSize) {
    throw damaged(
      `${op}: a safetensors file begins with the 8-byte length of its header, got a file of ${fileSize} bytes. ${notTheFormat}`,
    );
  }
  const view = new DataView(prefix.buffer, prefix.byteOffset, lengthSize);
  const length = view.getBigUint64(0, true);
  if (length > BigInt(longestHeader)) {
    throw damaged(
      `${op}: the header may have at most ${longestHeader} bytes, got ${length.toString()}. ${notTheFormat}`,
    );
  }
  if (Number(length) > fileSize - lengthSize) {
    throw damaged(
      `${op}: the header must end within the file, got a header of ${length.toString()} bytes in a file of ${fileSize}. ${notTheFormat}`,
    );
  }
  return Number(length);
}

/** Parses and checks the JSON of a header that stands in a file of `fileSize` bytes. */
export function parseHeader(op: string, json: Uint8Array, fileSize: number): SafetensorsHeader {
  if (json[0] !== 0x7b) {
    throw damaged(
      `${op}: the header must begin with "{", got ${json.length === 0 ? "an empty one" : `the byte ${json[0]!}`}. ${notTheFormat}`,
    );
  }
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(json);
  } catch (error) {
    throw damaged(`${op}: the header must be UTF-8, got other bytes. ${notTheFormat}`, {
      cause: error,
    });
  }
  // It begins with "{", so what parses is an object.
  const root = parseJson(op, text) as ReadonlyMap<string, JsonValue>;

  const dataOffset = lengthSize + json.length;
  const entries: SafetensorsEntry[] = [];
  for (const [name, info] of root) {
    if (name !== metadataKey) entries.push(parseEntry(op, name, info, dataOffset, fileSize));
  }
  entries.sort((a, b) => a.byteOffset - b.byteOffset || a.byteLength - b.byteLength);
  checkCoverage(op, entries, dataOffset, fileSize);
  return {
    entries: new Map(entries.map((entry) => [entry.name, entry])),
    metadata: parseMetadata(op, root.get(metadataKey)),
  };
}

function parseMetadata(op: string, value: JsonValue | undefined): ReadonlyMap<string, string> {
  const result = new Map<string, string>();
  if (value === undefined) return result;
  if (!(value instanceof Map)) {
    throw damaged(
      `${op}: ${metadataKey} must be an object, got ${describeJson(value)}. ${fetchAgain}`,
    );
  }
  for (const [key, text] of value as ReadonlyMap<string, JsonValue>) {
    if (typeof text !== "string") {
      throw damaged(
        `${op}: values of ${metadataKey} must be strings, got ${describeJson(text)} for ${quote(key)}. ${fetchAgain}`,
      );
    }
    result.set(key, text);
  }
  return result;
}

function parseEntry(
  op: string,
  name: string,
  value: JsonValue,
  dataOffset: number,
  fileSize: number,
): SafetensorsEntry {
  const subject = `${op}: tensor ${quote(name)}`;
  if (!(value instanceof Map)) {
    throw damaged(
      `${subject} must be described by an object, got ${describeJson(value)}. ${fetchAgain}`,
    );
  }
  // Further keys are left alone, as the official library does.
  const info = value as ReadonlyMap<string, JsonValue>;

  const dtype = info.get("dtype");
  if (!isSafetensorsDType(dtype)) {
    throw damaged(
      `${subject} must have a dtype of the format, such as F32, got ${describeJson(dtype)}. ` +
        "The file is damaged or of a newer version of the format; save it with a known dtype.",
    );
  }
  const shape = info.get("shape");
  if (!isSizes(shape)) {
    throw damaged(
      `${subject} must have a shape of whole numbers from 0 to 2^53 - 1, got ${describeJson(shape)}. ${fetchAgain}`,
    );
  }
  const offsets = info.get("data_offsets");
  if (!isSizes(offsets) || offsets.length !== 2) {
    throw damaged(
      `${subject} must have two data_offsets, whole numbers from 0 to 2^53 - 1, got ${describeJson(offsets)}. ${fetchAgain}`,
    );
  }
  const [begin, end] = offsets as readonly [number, number];
  if (end < begin) {
    throw damaged(
      `${subject} must end where it begins or later, got data_offsets [${begin}, ${end}]. ${fetchAgain}`,
    );
  }

  const byteLength = byteLengthOf(dtype, shape);
  if (byteLength === "too large") {
    throw damaged(
      `${subject} must have fewer than 2^53 bits, got shape ${describeJson(shape)} of ${dtype}. ${fetchAgain}`,
    );
  }
  if (byteLength === "not whole bytes") {
    throw damaged(
      `${subject} must fill whole bytes, got shape ${describeJson(shape)} of ${dtype}. ${fetchAgain}`,
    );
  }
  if (byteLength !== end - begin) {
    throw damaged(
      `${subject} of shape ${describeJson(shape)} and dtype ${dtype} takes ${byteLength} bytes, got data_offsets [${begin}, ${end}], ${end - begin} bytes. ${fetchAgain}`,
    );
  }
  if (end > fileSize - dataOffset) {
    throw damaged(
      `${subject} must end within the data, got its end at byte ${end} of ${fileSize - dataOffset}. ` +
        "The file was cut short; fetch or save it again.",
    );
  }
  return { name, dtype, shape, byteOffset: dataOffset + begin, byteLength };
}

function isSizes(value: JsonValue | undefined): value is readonly number[] {
  return Array.isArray(value) && value.every((size) => typeof size === "number" && size >= 0);
}

/** Checks that entries, sorted by offset, cover the data without overlap, hole or rest. */
function checkCoverage(
  op: string,
  entries: readonly SafetensorsEntry[],
  dataOffset: number,
  fileSize: number,
): void {
  let position = dataOffset;
  let previous = "";
  for (const { name, byteOffset, byteLength } of entries) {
    if (byteOffset < position) {
      throw damaged(
        `${op}: tensors must not share bytes, got ${quote(previous)} and ${quote(name)} overlapping at byte ${byteOffset - dataOffset} of the data. ${fetchAgain}`,
      );
    }
    if (byteOffset > position) {
      throw damaged(
        `${op}: tensors must cover the data without holes, got a hole of ${byteOffset - position} bytes before ${quote(name)}. ${fetchAgain}`,
      );
    }
    position = byteOffset + byteLength;
    previous = name;
  }
  if (position !== fileSize) {
    throw damaged(
      `${op}: tensors must cover the data to its end, got ${fileSize - position} further bytes. ${fetchAgain}`,
    );
  }
}
