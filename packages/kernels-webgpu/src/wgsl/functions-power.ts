/** x^y as WGSL helpers. */

import { type Helper, literal, polynomial } from "./functions-text.js";

type Name = "normalizedProduct" | "fixedPoint" | "powerOfPositive" | "floatPower" | "halfPower";

// log2(m) = s P(s²) with s = (m - 1) / (m + 1), m in sqrt(1/2) … sqrt(2); relative error 3e-14.
const log2Coefficients = [
  2.885390081777848, 0.9617966941175542, 0.577077940985341, 0.4122094058466899, 0.3198988788311698,
  0.2830044311712459,
];

// 2^r = 1 + r (…) for |r| ≤ 1/2; relative error 3e-9.
const exp2Coefficients = [
  0.6931471824645996, 0.24022647738456726, 0.05550359562039375, 0.009618502110242844,
  0.0013390992535278201, 0.00015328149311244488,
];

/** A constant as an unsigned fixed-point number of so many fraction bits. */
const fixed = (value: number, bits: number): string => `${Math.round(value * 2 ** bits)}u`;

/**
 * Powers. A float32 result needs log2(x) to about 32 bits, which the CPU device has from float64;
 * here integers give them.
 */
export const powerHelpers: Record<Name, Helper<Name | "wideProduct" | "fromBits" | "isNan">> = {
  // The top 32 bits of a product of two numbers from 2^29 on, the next 32 bits, and how many
  // places they were moved up.
  normalizedProduct: {
    uses: ["wideProduct"],
    text: `fn normalizedProduct(a: u32, b: u32) -> vec3u {
  let product = wideProduct(a, b);
  let places = countLeadingZeros(product.y);
  return vec3u((product.y << places) | ((product.x >> 1u) >> (31u - places)), product.x << places, places);
}`,
  },
  // The low word of (high, low) · 2^(exponent - 32).
  fixedPoint: {
    text: `fn fixedPoint(high: u32, low: u32, exponent: i32) -> u32 {
  if (exponent <= -32 || exponent >= 32) { return 0u; }
  if (exponent <= 0) { return high >> u32(-exponent); }
  return (high << u32(exponent)) | (low >> u32(32 - exponent));
}`,
  },
  // x^y for positive finite x other than 1 and finite y.
  powerOfPositive: {
    uses: ["normalizedProduct", "fixedPoint", "wideProduct", "fromBits"],
    text: `fn powerOfPositive(x: f32, y: f32) -> f32 {
  // x = 2^k m with m in sqrt(1/2) … sqrt(2).
  let bits = bitcast<u32>(x);
  let isSubnormal = bits < 0x00800000u;
  let normal = select(bits, bitcast<u32>(f32(bits)), isSubnormal);
  let shift = bitcast<i32>(normal - 0x3f3504f3u) >> 23u;
  let m = bitcast<f32>(normal - (bitcast<u32>(shift) << 23u));
  let k = shift - select(0, 149, isSubnormal);

  // |log2(m)| = logarithm · 2^-places.
  var logarithm = 0u;
  var places = 0;
  let fraction = m - 1f;
  if (fraction != 0f) {
    let fractionBits = bitcast<u32>(abs(fraction));
    let gap = 127u - (fractionBits >> 23u);
    let mantissa = ((fractionBits & 0x7fffffu) | 0x800000u) << 8u;
    // 1 / (m + 1) in units of 2^-32: a float, then a step of Newton's.
    let denominator = u32(m * 1073741824f) + 0x40000000u;
    let first = u32(4294967296f / (m + 1f));
    let unit = wideProduct(denominator, first);
    let surplus = bitcast<i32>((unit.y << 10u) | (unit.x >> 22u));
    let inverse = first - bitcast<u32>(i32(round(f32(surplus) * f32(first) * ${literal(2 ** -40)})));
    // s = |m - 1| / (m + 1), z = s².
    let s = normalizedProduct(mantissa, inverse);
    let sPlaces = gap + 31u + s.z;
    let sFixed = s.x >> min(sPlaces - 34u, 31u);
    let z = wideProduct(sFixed, sFixed).y;
    let zFloat = f32(z) * ${literal(2 ** -36)};
    let rest = zFloat * ${polynomial("zFloat", log2Coefficients.slice(2))};
    let second = ${fixed(log2Coefficients[1]!, 32)} + u32(rest * 4294967296f);
    let series = ${fixed(log2Coefficients[0]!, 30)} + (wideProduct(z, second).y >> 6u);
    let product = normalizedProduct(s.x, series);
    logarithm = product.x;
    places = i32(sPlaces + product.z) - 2;
  }

  // y log2(x) = n + r: n from floats, r from what is left of the terms y k and y log2(m) in units
  // of 2^-31, where multiples of 2 drop out.
  let isBelow = fraction < 0f;
  let size = f32(logarithm) * bitcast<f32>(u32(127 - places) << 23u);
  let estimate = y * (f32(k) + select(size, -size, isBelow));
  if (estimate > 129f) { return fromBits(0x7f800000u); }
  if (estimate < -151f) { return 0f; }
  let n = i32(round(estimate));
  let yBits = bitcast<u32>(y);
  let yMantissa = (yBits & 0x7fffffu) | 0x800000u;
  let yExponent = i32((yBits >> 23u) & 0xffu);
  let whole = fixedPoint(yMantissa * u32(abs(k)), 0u, yExponent - 119);
  let product = wideProduct(yMantissa << 8u, logarithm);
  let part = fixedPoint(product.y, product.x, yExponent - places - 95);
  let sum = select(whole, 0u - whole, k < 0) + select(part, 0u - part, isBelow);
  let signed = select(sum, 0u - sum, yBits >= 0x80000000u);
  let r = f32(bitcast<i32>(signed - (bitcast<u32>(n) << 31u))) * ${literal(2 ** -31)};

  // 2^n is applied as two factors, because it may lie outside the range of a float itself.
  let p = 1f + r * ${polynomial("r", exp2Coefficients)};
  let half = n >> 1u;
  return p * bitcast<f32>((half + 127) << 23u) * bitcast<f32>((n - half + 127) << 23u);
}`,
  },
  // The rules of C's pow: 1 to any power is 1, as is -1 to an infinite power.
  floatPower: {
    uses: ["powerOfPositive", "fromBits", "isNan"],
    text: `fn floatPower(x: f32, y: f32) -> f32 {
  let bits = bitcast<u32>(x);
  let yBits = bitcast<u32>(y);
  let magnitude = bits & 0x7fffffffu;
  if (bits == 0x3f800000u || (yBits & 0x7fffffffu) == 0u) { return 1f; }
  if (isNan(x) || isNan(y)) { return fromBits(0x7fc00000u); }
  let isNegativePower = yBits >= 0x80000000u;
  if ((yBits & 0x7fffffffu) == 0x7f800000u) {
    if (magnitude == 0x3f800000u) { return 1f; }
    return fromBits(select(0u, 0x7f800000u, (magnitude > 0x3f800000u) != isNegativePower));
  }
  let isInteger = trunc(y) == y;
  let isOdd = isInteger && trunc(y * 0.5f) != y * 0.5f;
  let sign = select(0u, bits & 0x80000000u, isOdd);
  if (magnitude == 0u || magnitude == 0x7f800000u) {
    return fromBits(sign | select(0u, 0x7f800000u, (magnitude == 0u) == isNegativePower));
  }
  if (bits >= 0x80000000u && !isInteger) { return fromBits(0x7fc00000u); }
  if (magnitude == 0x3f800000u) { return bitcast<f32>(sign | magnitude); }
  return bitcast<f32>(bitcast<u32>(powerOfPositive(bitcast<f32>(magnitude), y)) | sign);
}`,
  },
  // x^½: +∞ for -∞ and +0 for -0, unlike the square root.
  halfPower: {
    uses: ["fromBits"],
    text: `fn halfPower(x: f32) -> f32 {
  let bits = bitcast<u32>(x);
  if (bits == 0xff800000u) { return fromBits(0x7f800000u); }
  return select(sqrt(x), 0f, bits == 0x80000000u);
}`,
  },
};
