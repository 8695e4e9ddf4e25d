/**
 * From the element types of the format to those of the engine, and back.
 *
 * | in the file | in the engine | rule |
 * |---|---|---|
 * | F32, I32, U32, I8 | float32, int32, uint32, int8 | unchanged |
 * | F16 | float16 | unchanged |
 * | BOOL | bool | unchanged; bytes other than 0 and 1 are an error |
 * | BF16 | float32 | exact |
 * | F64 | float32 | rounded to nearest; beyond the range of float32 it becomes infinity |
 * | I16, U16, U8 | int32 | exact |
 * | I64 | int32 | exact; a value that int32 does not hold is an error |
 * | U64 | uint32 | exact; a value that uint32 does not hold is an error |
 * | F8 types, F6 types, F4, C64 | none | an error |
 */

import type { DataOf, DType } from "../tensor/dtype.js";
import { floatsFromBfloats } from "../tensor/half.js";
import { damaged, quote } from "./format.js";
import type { SafetensorsDType } from "./format.js";
import { XError } from "../error.js";

/** Elements in a type of the engine. */
export interface ConvertedData {
  /** The element type. */
  readonly dtype: DType;
  /** The elements; float16 as bits, bool as 0 and 1. */
  readonly data: DataOf;
}

interface ArrayConstructor<T> {
  new (buffer: ArrayBufferLike, byteOffset: number, length: number): T;
  readonly BYTES_PER_ELEMENT: number;
}

/**
 * The bytes as elements: the same memory where it is aligned, a copy otherwise. Files are
 * little-endian, and so is every platform that WebAssembly, and with it the engine, runs on.
 */
function elements<T>(constructor: ArrayConstructor<T>, bytes: Uint8Array): T {
  const size = constructor.BYTES_PER_ELEMENT;
  const aligned = bytes.byteOffset % size === 0 ? bytes : bytes.slice();
  return new constructor(aligned.buffer, aligned.byteOffset, Math.floor(aligned.length / size));
}

/**
 * Converts the bytes of a tensor to the nearest type of the engine, by the rules of this table:
 * F32, F16, I32, U32, I8 and BOOL stay what they are; BF16 and F64 become float32 (the first
 * exactly, the second rounded); I16, U16 and U8 become int32; I64 becomes int32 and U64 uint32
 * where every value fits. Other types are refused. The result may share memory with `bytes`.
 *
 * @param name of the tensor, for messages
 * @throws XError `dtype` if the engine cannot hold the type or a value; `checkpoint` if a BOOL is
 * neither 0 nor 1
 */
export function convertToEngine(
  name: string,
  dtype: SafetensorsDType,
  bytes: Uint8Array,
): ConvertedData {
  switch (dtype) {
    case "F32":
      return { dtype: "float32", data: elements(Float32Array, bytes) };
    case "F16":
      return { dtype: "float16", data: elements(Uint16Array, bytes) };
    case "I32":
      return { dtype: "int32", data: elements(Int32Array, bytes) };
    case "U32":
      return { dtype: "uint32", data: elements(Uint32Array, bytes) };
    case "I8":
      return { dtype: "int8", data: elements(Int8Array, bytes) };
    case "BOOL":
      return { dtype: "bool", data: checkedBool(name, bytes) };
    case "BF16":
      return { dtype: "float32", data: floatsFromBfloats(elements(Uint16Array, bytes)) };
    case "F64":
      return { dtype: "float32", data: new Float32Array(elements(Float64Array, bytes)) };
    case "I16":
      return { dtype: "int32", data: new Int32Array(elements(Int16Array, bytes)) };
    case "U16":
      return { dtype: "int32", data: new Int32Array(elements(Uint16Array, bytes)) };
    case "U8":
      return { dtype: "int32", data: new Int32Array(bytes) };
    case "I64":
      return { dtype: "int32", data: narrowSigned(name, elements(Int32Array, bytes)) };
    case "U64":
      return { dtype: "uint32", data: narrowUnsigned(name, elements(Uint32Array, bytes)) };
    default:
      throw new XError(
        "dtype",
        `safetensors: tensor ${quote(name)} must have a dtype that the engine can hold, got ${dtype}. ` +
          "Save it as F32, F16 or BF16, or read its raw bytes.",
      );
  }
}

/** The element type in which the format holds a type of the engine. */
export function toSafetensorsDType(dtype: DType): SafetensorsDType {
  return formatTypes[dtype];
}

const formatTypes: Readonly<Record<DType, SafetensorsDType>> = {
  float32: "F32",
  float16: "F16",
  int32: "I32",
  uint32: "U32",
  int8: "I8",
  bool: "BOOL",
};

function checkedBool(name: string, bytes: Uint8Array): Uint8Array {
  for (let i = 0; i < bytes.length; i++) {
    if (bytes[i]! > 1) {
      throw damaged(
        `safetensors: elements of BOOL must be 0 or 1, got ${bytes[i]!} at index ${i} of tensor ${quote(name)}. ` +
          "The file is damaged; fetch or save it again.",
      );
    }
  }
  return bytes;
}

function narrowSigned(name: string, words: Int32Array): Int32Array {
  const result = new Int32Array(words.length / 2);
  for (let i = 0; i < result.length; i++) {
    const low = words[2 * i]!;
    const high = words[2 * i + 1]!;
    // A value fits where its upper word is nothing but the sign of the lower.
    if (high !== low >> 31) {
      throw outOfRange(name, "I64", "int32", i, (BigInt(high) << 32n) | BigInt(low >>> 0));
    }
    result[i] = low;
  }
  return result;
}

function narrowUnsigned(name: string, words: Uint32Array): Uint32Array {
  const result = new Uint32Array(words.length / 2);
  for (let i = 0; i < result.length; i++) {
    const low = words[2 * i]!;
    const high = words[2 * i + 1]!;
    if (high !== 0) {
      throw outOfRange(name, "U64", "uint32", i, (BigInt(high) << 32n) | BigInt(low));
    }
    result[i] = low;
  }
  return result;
}

function outOfRange(
  name: string,
  from: SafetensorsDType,
  to: DType,
  index: number,
  value: bigint,
): XError {
  return new XError(
    "dtype",
    `safetensors: elements of ${from} must fit ${to}, got ${value.toString()} at index ${index} of tensor ${quote(name)}. ` +
      "Save the tensor with a narrower dtype, or read its raw bytes.",
  );
}
