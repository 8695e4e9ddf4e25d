/** Against `DataView`-free definitions, over all bit patterns. */

import { expect, test } from "vitest";
import { fromFloat16, toBfloat16 } from "./half.js";

test("every float16 is widened as its definition says", () => {
  const bits = Uint16Array.from({ length: 65536 }, (_, i) => i);
  const numbers = fromFloat16(bits);
  const wrong = [...bits].filter((half) => {
    const exponent = (half >> 10) & 31;
    const fraction = (half & 1023) / 1024;
    const sign = half >> 15 === 1 ? -1 : 1;
    let expected =
      sign * (exponent === 0 ? fraction * 2 ** -14 : (1 + fraction) * 2 ** (exponent - 15));
    if (exponent === 31) expected = fraction === 0 ? sign * Infinity : NaN;
    return !Object.is(numbers[half], expected);
  });
  expect(wrong).toEqual([]);
});

test("bfloat16 rounds to nearest, ties to even", () => {
  const float = (bits: number): number => new Float32Array(Uint32Array.of(bits).buffer)[0]!;
  const cases: [number, number][] = [
    [0x3f800000, 0x3f80],
    [0x3f808000, 0x3f80],
    [0x3f808001, 0x3f81],
    [0x3f818000, 0x3f82],
    [0xbf818000, 0xbf82],
    [0x7f7fffff, 0x7f80],
    [0xff800000, 0xff80],
    [0x00008001, 0x0001],
  ];
  const result = toBfloat16(Float32Array.from(cases, ([bits]) => float(bits)));
  expect([...result]).toEqual(cases.map(([, bits]) => bits));
  expect(toBfloat16(Float32Array.of(NaN))[0]! & 0x7fff).toBeGreaterThan(0x7f80);
});
