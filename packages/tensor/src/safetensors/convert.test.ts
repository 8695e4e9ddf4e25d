import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { dtypes } from "../tensor/dtype.js";
import { failureOf } from "../testing/index.js";
import { convertToEngine, toSafetensorsDType } from "./convert.js";
import type { SafetensorsDType } from "./format.js";

function bytesOf(array: ArrayBufferView): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}

const refusalOf = (dtype: SafetensorsDType, bytes: Uint8Array): string =>
  failureOf(() => convertToEngine("w", dtype, bytes));

describe("convertToEngine", () => {
  it.each([
    ["F32", "float32", Float32Array.of(1.5, -0, NaN, Infinity)],
    ["F16", "float16", Uint16Array.of(0x3c00, 0x8000, 0x7e01)],
    ["I32", "int32", Int32Array.of(-(2 ** 31), 2 ** 31 - 1)],
    ["U32", "uint32", Uint32Array.of(0, 2 ** 32 - 1)],
    ["I8", "int8", Int8Array.of(-128, 127)],
    ["BOOL", "bool", Uint8Array.of(0, 1, 1)],
  ] as const)("keeps %s as %s", (from, to, array) => {
    expect(convertToEngine("w", from, bytesOf(array))).toEqual({ dtype: to, data: array });
    expect(toSafetensorsDType(to)).toBe(from);
  });

  it("names a format type for every type of the engine", () => {
    expect(dtypes.map(toSafetensorsDType)).toEqual(["F32", "F16", "I32", "U32", "I8", "BOOL"]);
  });

  it("reads elements that are not aligned in their buffer", () => {
    const bytes = new Uint8Array(9);
    bytes.set(bytesOf(Float32Array.of(1, 2)), 1);
    const { data } = convertToEngine("w", "F32", bytes.subarray(1));
    expect(data).toEqual(Float32Array.of(1, 2));
  });

  it("widens BF16 exactly", () => {
    const converted = convertToEngine("w", "BF16", bytesOf(Uint16Array.of(0x3f80, 0xc049, 0xff80)));
    expect(converted).toEqual({ dtype: "float32", data: Float32Array.of(1, -3.140625, -Infinity) });
  });

  it("rounds F64 to float32", () => {
    const numbers = Float64Array.of(0.1, 1e300, -1e-300, 2 ** 24 + 1, NaN);
    const converted = convertToEngine("w", "F64", bytesOf(numbers));
    expect(converted.data).toEqual(Float32Array.of(Math.fround(0.1), Infinity, -0, 2 ** 24, NaN));
  });

  it.each([
    ["U8", Uint8Array.of(0, 255)],
    ["I16", Int16Array.of(-32768, 32767)],
    ["U16", Uint16Array.of(0, 65535)],
  ] as const)("widens %s to int32", (from, array) => {
    const converted = convertToEngine("w", from, bytesOf(array));
    expect(converted).toEqual({ dtype: "int32", data: Int32Array.from(array) });
  });

  it("narrows I64 and U64 exactly where they fit, and never otherwise", () => {
    const some = fc.oneof(
      fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
      fc.bigInt({ min: -(2n ** 31n) - 2n, max: 2n ** 32n + 2n }),
      fc.constantFrom(-(2n ** 31n), 2n ** 31n - 1n, 2n ** 31n, -(2n ** 31n) - 1n, 2n ** 32n - 1n),
    );
    fc.assert(
      fc.property(some, (value) => {
        const signed = bytesOf(BigInt64Array.of(7n, value));
        if (value >= -(2n ** 31n) && value < 2n ** 31n) {
          const { data } = convertToEngine("w", "I64", signed);
          expect(data).toEqual(Int32Array.of(7, Number(value)));
        } else {
          expect(refusalOf("I64", signed)).toBe(
            `dtype | safetensors: elements of I64 must fit int32, got ${value} at index 1 of tensor "w". Save the tensor with a narrower dtype, or read its raw bytes.`,
          );
        }
        const natural = BigInt.asUintN(64, value);
        const unsigned = bytesOf(BigUint64Array.of(7n, natural));
        if (natural < 2n ** 32n) {
          const { data } = convertToEngine("w", "U64", unsigned);
          expect(data).toEqual(Uint32Array.of(7, Number(natural)));
        } else {
          expect(refusalOf("U64", unsigned)).toBe(
            `dtype | safetensors: elements of U64 must fit uint32, got ${natural} at index 1 of tensor "w". Save the tensor with a narrower dtype, or read its raw bytes.`,
          );
        }
      }),
      { numRuns: 500 },
    );
  });

  it("refuses BOOL bytes that are neither 0 nor 1", () => {
    expect(refusalOf("BOOL", Uint8Array.of(0, 1, 2))).toBe(
      'checkpoint | safetensors: elements of BOOL must be 0 or 1, got 2 at index 2 of tensor "w". The file is damaged; fetch or save it again.',
    );
  });

  it.each(["F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "F4", "C64"] as const)(
    "refuses %s",
    (from) => {
      expect(refusalOf(from, new Uint8Array(8))).toBe(
        `dtype | safetensors: tensor "w" must have a dtype that the engine can hold, got ${from}. Save it as F32, F16 or BF16, or read its raw bytes.`,
      );
    },
  );
});
