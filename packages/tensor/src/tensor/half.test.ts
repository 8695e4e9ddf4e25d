import { describe, expect, it } from "vitest";
import {
  bfloat16ToFloat32,
  float16ToFloat32,
  float32ToBfloat16,
  float32ToFloat16,
  bfloatsFromFloats,
  halfsFromFloats,
  floatsFromBfloats,
  floatsFromHalfs,
} from "./half.js";

/** The value of float16 bits, straight from the definition of the format. */
function definition(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >> 10) & 0x1f;
  const fraction = half & 0x3ff;
  if (exponent === 31) return fraction === 0 ? sign * Infinity : NaN;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

const allBits = Uint16Array.from({ length: 65536 }, (_, i) => i);

function float32Bits(values: readonly number[]): Float32Array {
  return new Float32Array(Uint32Array.from(values).buffer);
}

const scratch = new Float32Array(1);
const bits = new Uint32Array(scratch.buffer);

describe("float16", () => {
  it("widens every bit pattern to the number the format defines", () => {
    const widened = floatsFromHalfs(allBits);
    const wrong = [...allBits].filter((half) => {
      const expected = definition(half);
      return !Object.is(widened[half], expected) || !Object.is(float16ToFloat32(half), expected);
    });
    expect(wrong).toEqual([]);
  });

  it("narrows every widened pattern back to itself, quieting NaN only", () => {
    const narrowed = halfsFromFloats(floatsFromHalfs(allBits));
    const expected = allBits.map((half) => ((half & 0x7fff) > 0x7c00 ? half | 0x200 : half));
    expect(narrowed).toEqual(expected);
  });

  it("rounds to nearest, ties to even, around every pair of neighbours", () => {
    const wrong: number[] = [];
    for (let half = 0; half < 0x7bff; half++) {
      const low = definition(half);
      const high = definition(half + 1);
      // Neighbouring float16 numbers and their middle are exact in float32.
      const middle = (low + high) / 2;
      const even = half % 2 === 0 ? half : half + 1;
      scratch[0] = middle;
      bits[0]! -= 1;
      const below = scratch[0];
      bits[0]! += 2;
      const above = scratch[0];
      const right =
        float32ToFloat16(below) === half &&
        float32ToFloat16(middle) === even &&
        float32ToFloat16(above) === half + 1 &&
        float32ToFloat16(-middle) === (even | 0x8000);
      if (!right) wrong.push(half);
    }
    expect(wrong).toEqual([]);
  });

  it("overflows to infinity and underflows to zero with the sign kept", () => {
    expect(float32ToFloat16(65519.99)).toBe(0x7bff);
    expect(float32ToFloat16(65520)).toBe(0x7c00);
    expect(float32ToFloat16(-1e30)).toBe(0xfc00);
    expect(float32ToFloat16(Infinity)).toBe(0x7c00);
    expect(float32ToFloat16(2 ** -25)).toBe(0);
    expect(float32ToFloat16(-(2 ** -25))).toBe(0x8000);
    expect(float32ToFloat16(2 ** -25 * 1.001)).toBe(1);
    expect(float32ToFloat16(1e-40)).toBe(0);
    expect(float32ToFloat16(-0)).toBe(0x8000);
    expect(float32ToFloat16(NaN) & 0x7fff).toBeGreaterThan(0x7c00);
  });

  it("never turns a NaN into infinity, whatever its payload", () => {
    const narrowed = halfsFromFloats(float32Bits([0x7f800001, 0xff800001, 0x7fffffff, 0x7fc00000]));
    expect([...narrowed]).toEqual([0x7e00, 0xfe00, 0x7fff, 0x7e00]);
  });
});

describe("bfloat16", () => {
  it("widens every pattern exactly and narrows it back", () => {
    const widened = floatsFromBfloats(allBits);
    expect(new Uint32Array(widened.buffer)).toEqual(Uint32Array.from(allBits, (b) => b << 16));
    const quiet = allBits.map((b) => ((b & 0x7fff) > 0x7f80 ? b | 0x40 : b));
    expect(bfloatsFromFloats(widened)).toEqual(quiet);
    expect(bfloat16ToFloat32(0x3f80)).toBe(1);
    expect(bfloat16ToFloat32(0xff80)).toBe(-Infinity);
  });

  it("rounds to nearest, ties to even", () => {
    const cases: readonly (readonly [number, number])[] = [
      [0x3f800000, 0x3f80],
      [0x3f807fff, 0x3f80],
      [0x3f808000, 0x3f80],
      [0x3f808001, 0x3f81],
      [0x3f818000, 0x3f82],
      [0x7f7fffff, 0x7f80],
      [0xff7fffff, 0xff80],
      [0x00008000, 0x0000],
      [0x00018000, 0x0002],
      [0x80000001, 0x8000],
      [0x7f800001, 0x7fc0],
      [0xffffffff, 0xffff],
    ];
    const narrowed = bfloatsFromFloats(float32Bits(cases.map(([from]) => from)));
    expect([...narrowed]).toEqual(cases.map(([, to]) => to));
    expect(float32ToBfloat16(1.5)).toBe(0x3fc0);
    expect(float32ToBfloat16(NaN) & 0x7fff).toBeGreaterThan(0x7f80);
  });
});
