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

import { viewAs } from "../tensor/data.js";
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

type Elements = DataOf | Float64Array | Int16Array;

interface ArrayConstructor {
  new (buffer: ArrayBufferLike, byteOffset: number, length: number): Elements;
  readonly BYTES_PER_ELEMENT: number;
}

type Conversion = (name: string, elements: Elements) => DataOf;

const same: Conversion = (_, elements) => elements as DataOf;
const toInt32: Conversion = (_, elements) => new Int32Array(elements);

/** The type of the engine, the elements in the file, and how they are converted. */
const conversions: Readonly<
  Partial<Record<SafetensorsDType, readonly [DType, ArrayConstructor, Conversion]>>
> = {
  F32: ["float32", Float32Array, same],
  F16: ["float16", Uint16Array, same],
  I32: ["int32", Int32Array, same],
  U32: ["uint32", Uint32Array, same],
  I8: ["int8", Int8Array, same],
  BOOL: ["bool", Uint8Array, checkedBool],
  BF16: ["float32", Uint16Array, (_, bits) => floatsFromBfloats(bits as Uint16Array)],
  F64: ["float32", Float64Array, (_, elements) => new Float32Array(elements)],
  I16: ["int32", Int16Array, toInt32],
  U16: ["int32", Uint16Array, toInt32],
  U8: ["int32", Uint8Array, toInt32],
  // A value fits where its upper word is nothing but the sign of the lower.
  I64: [
    "int32",
    Int32Array,
    (name, words) => narrow(name, "I64", "int32", words, (low) => low >> 31),
  ],
  U64: ["uint32", Uint32Array, (name, words) => narrow(name, "U64", "uint32", words, () => 0)],
};

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
  const conversion = conversions[dtype];
  if (conversion === undefined) {
    throw new XError(
      "dtype",
      `safetensors: tensor ${quote(name)} must have a dtype that the engine can hold, got ${dtype}. Save it as F32, F16 or BF16, or read its raw bytes.`,
    );
  }
  const [converted, View, convert] = conversion;
  // The same memory where it is aligned, a copy otherwise. Files are little-endian, and so is every
  // platform that WebAssembly, and with it the engine, runs on.
  const size = View.BYTES_PER_ELEMENT;
  const { buffer, byteOffset, length } = bytes.byteOffset % size === 0 ? bytes : bytes.slice();
  const elements = new View(buffer, byteOffset, Math.floor(length / size));
  return { dtype: converted, data: convert(name, elements) };
}

/** The element type in which the format holds a type of the engine. */
export function toSafetensorsDType(dtype: DType): SafetensorsDType {
  // The types that stay what they are come first.
  const names = Object.keys(conversions) as SafetensorsDType[];
  return names.find((name) => conversions[name]![0] === dtype)!;
}

function checkedBool(name: string, elements: Elements): Uint8Array {
  const bytes = elements as Uint8Array;
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

/** The lower words of 64-bit integers whose upper words are what `upper` gives for the lower. */
function narrow(
  name: string,
  from: SafetensorsDType,
  to: "int32" | "uint32",
  words: Elements,
  upper: (low: number) => number,
): DataOf {
  const result = viewAs(to, new ArrayBuffer(words.byteLength / 2));
  for (let i = 0; i < result.length; i++) {
    const low = words[2 * i]!;
    const high = words[2 * i + 1]!;
    if (high !== upper(low)) {
      const value = (BigInt(high) << 32n) | BigInt(low >>> 0);
      throw new XError(
        "dtype",
        `safetensors: elements of ${from} must fit ${to}, got ${value.toString()} at index ${i} of tensor ${quote(name)}. Save the tensor with a narrower dtype, or read its raw bytes.`,
      );
    }
    result[i] = low;
  }
  return result;
}
