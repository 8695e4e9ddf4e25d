import { describe, expect, it } from "vitest";
import type { V128 } from "../assembler/index.js";
import {
  divideInt32,
  divideUint32,
  type MathContext,
  narrowToFloat16,
  remainderFloat32,
  remainderInt32,
  remainderUint32,
  saturateToInt8,
  signFloat32,
  signInt32,
  threefry,
  widenFloat16,
  wrapToInt8,
} from "./index.js";
import { allMagnitudes, runFloats, runVector } from "../../../test/wasm/run-vector.js";

const numbers = [0, 1, -1, 2, -2, 3, 7, -7, 100, 65535, 65536, 2 ** 31 - 1, -(2 ** 31), 123456789];
const pairs = numbers.flatMap((a) => numbers.map((b) => [a, b] as const));
const first = Int32Array.from(pairs, ([a]) => a);
const second = Int32Array.from(pairs, ([, b]) => b);

type Binary = (c: MathContext, a: V128, b: V128) => V128;

function signedCheck(code: Binary, exact: (a: number, b: number) => number): void {
  const result = new Int32Array(runVector(code, [first, second]).buffer);
  pairs.forEach(([a, b], i) => expect(result[i], `${a}, ${b}`).toBe(exact(a, b) | 0));
}

function unsignedCheck(code: Binary, exact: (a: number, b: number) => number): void {
  const result = runVector(code, [first, second]);
  pairs.forEach(([a, b], i) => expect(result[i], `${a}, ${b}`).toBe(exact(a >>> 0, b >>> 0) >>> 0));
}

describe("integer division", () => {
  it("truncates, gives 0 for zero divisors, wraps at the end of the range", () => {
    signedCheck(divideInt32, (a, b) => (b === 0 ? 0 : Math.trunc(a / b)));
    unsignedCheck(divideUint32, (a, b) => (b === 0 ? 0 : Math.floor(a / b)));
  });

  it("gives remainders with the sign of the divisor", () => {
    signedCheck(remainderInt32, (a, b) => (b === 0 ? 0 : a - b * Math.floor(a / b)));
    unsignedCheck(remainderUint32, (a, b) => (b === 0 ? 0 : a % b));
  });
});

describe("float remainder", () => {
  it("is exact, with the sign of the divisor", () => {
    const a = allMagnitudes(100_003);
    const count = a.length;
    const close = a.map((x, i) => x * ((i % 1000) / 100 - 5));
    const far = a.map((_, i) => a[(i * 7919) % count]!);
    for (const b of [close, far, a.map(() => 3), a.map(() => -0.1)]) {
      const result = runFloats(remainderFloat32, [a, b]);
      for (let i = 0; i < count; i++) {
        const rest = a[i]! % b[i]!;
        const expected = Math.fround(rest !== 0 && rest < 0 !== b[i]! < 0 ? rest + b[i]! : rest);
        if (!Object.is(result[i], expected)) {
          expect.fail(`${a[i]} rem ${b[i]}: got ${result[i]}, expected ${expected}`);
        }
      }
    }
  });
});

describe("sign and int8", () => {
  it("gives the sign", () => {
    const x = allMagnitudes(1003);
    expect(runFloats(signFloat32, [x])).toEqual(x.map(Math.sign));
    const integers = new Int32Array(runVector(signInt32, [first]).buffer);
    expect(integers).toEqual(first.map(Math.sign));
  });

  it("saturates and wraps", () => {
    const saturated = new Int32Array(runVector(saturateToInt8, [first]).buffer);
    expect(saturated).toEqual(first.map((x) => Math.max(-128, Math.min(127, x))));
    const wrapped = new Int32Array(runVector((_, x) => wrapToInt8(x), [first]).buffer);
    expect(wrapped).toEqual(Int32Array.from(Int8Array.from(first)));
  });
});

/** The float16 nearest to x, half to even, by search among all of them. */
function float16Value(bits: number): number {
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  const sign = bits & 0x8000 ? -1 : 1;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25));
}

describe("float16", () => {
  const all = Uint32Array.from({ length: 65536 }, (_, i) => i);

  it("widens every number exactly", () => {
    expect(runFloats(widenFloat16, [all])).toEqual(Float32Array.from(all, float16Value));
  });

  it("narrows what it widened to the same bits", () => {
    const back = runVector((c, x) => narrowToFloat16(c, widenFloat16(c, x)), [all]);
    for (const bits of all) {
      if (Number.isNaN(float16Value(bits))) expect(float16Value(back[bits]!)).toBeNaN();
      else expect(back[bits]).toBe(bits);
    }
  });

  it("rounds halves to even, small numbers to subnormals, large ones to infinity", () => {
    const x: number[] = [];
    const expected: number[] = [];
    for (let bits = 0; bits < 0x7c00; bits++) {
      const low = float16Value(bits);
      const high = bits === 0x7bff ? 65536 : float16Value(bits + 1);
      const middle = (low + high) / 2;
      const even = bits & 1 ? bits + 1 : bits;
      const step = middle * 2 ** -23;
      x.push(middle, middle - step, middle + step, -middle);
      expected.push(even, bits, bits + 1, even | 0x8000);
    }
    x.push(2 ** -149, 1e30, Infinity, -Infinity);
    expected.push(0, 0x7c00, 0x7c00, 0xfc00);
    const result = runVector(narrowToFloat16, [Float32Array.from(x)]);
    expect(result).toEqual(Uint32Array.from(expected));
  });
});

describe("threefry", () => {
  it("gives the known answers of Random123", () => {
    const key0 = Uint32Array.of(0, 0xffffffff, 0x13198a2e, 0);
    const key1 = Uint32Array.of(0, 0xffffffff, 0x03707344, 0);
    const counter0 = Uint32Array.of(0, 0xffffffff, 0x243f6a88, 0);
    const counter1 = Uint32Array.of(0, 0xffffffff, 0x85a308d3, 0);
    const operands = [key0, key1, counter0, counter1];
    const word = (position: 0 | 1): number[] => [
      ...runVector((c, a, b, d, e) => threefry(c, a, b, d, e)[position], operands),
    ];
    expect(word(0).slice(0, 3)).toEqual([0x6b200159, 0x1cb996fc, 0xc4923a9c]);
    expect(word(1).slice(0, 3)).toEqual([0x99ba4efe, 0xbb002be7, 0x483df7a0]);
  });
});
