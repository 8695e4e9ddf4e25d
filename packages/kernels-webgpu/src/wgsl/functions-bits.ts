/**
 * Helpers on the bits of numbers: special floats, float16, casts, comparisons.
 *
 * Compilers of shaders may assume that floats are finite, and fold `x != x` to false. So NaN is
 * told by its bits, everywhere.
 */

import type { Helper } from "./functions-text.js";

type Name =
  | "fromBits"
  | "isNan"
  | "halfToFloat"
  | "floatToHalf"
  | "uintToFloat"
  | "floatToInt"
  | "floatToUint"
  | "floatToInt8"
  | "floatSign"
  | "floatMaximum"
  | "floatMinimum"
  | "floatEqual"
  | "floatLessEqual";

/** Helpers on the bits of numbers. */
export const bitHelpers: Record<Name, Helper<Name>> = {
  // A function, because WGSL rejects constants that are infinite or NaN.
  fromBits: { text: "fn fromBits(bits: u32) -> f32 { return bitcast<f32>(bits); }" },
  isNan: {
    text: "fn isNan(x: f32) -> bool { return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u; }",
  },
  // By integers alone, because subnormal floats may be taken for zero.
  halfToFloat: {
    text: `fn halfToFloat(half: u32) -> f32 {
  let sign = (half & 0x8000u) << 16u;
  let magnitude = half & 0x7fffu;
  var bits = (magnitude << 13u) + 0x38000000u;
  if (magnitude >= 0x7c00u) { bits += 0x38000000u; }
  if (magnitude < 0x0400u) { bits = bitcast<u32>(f32(magnitude) * ${2 ** -24}f); }
  return bitcast<f32>(sign | bits);
}`,
  },
  // To nearest, half to even. The builtin pack2x16float may round in another way.
  floatToHalf: {
    text: `fn floatToHalf(x: f32) -> u32 {
  let bits = bitcast<u32>(x);
  let sign = (bits >> 16u) & 0x8000u;
  let magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) { return sign | 0x7e00u | ((magnitude >> 13u) & 0x3ffu); }
  if (magnitude >= 0x477ff000u) { return sign | 0x7c00u; }
  if (magnitude >= 0x38800000u) {
    return sign | ((magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13u) & 1u)) >> 13u);
  }
  let fraction = (magnitude & 0x7fffffu) | 0x800000u;
  let shift = min(126u - (magnitude >> 23u), 25u);
  let low = fraction >> shift;
  return sign | (low + (((fraction & ((1u << shift) - 1u)) + (low & 1u) + (1u << (shift - 1u)) - 1u) >> shift));
}`,
  },
  // To nearest, also where the builtin conversion takes the other neighbour, as it may.
  uintToFloat: {
    text: `fn uintToFloat(x: u32) -> f32 {
  return select(f32(x), 2f * f32((x >> 1u) | (x & 1u)), x >= 0x80000000u);
}`,
  },
  floatToInt: {
    uses: ["isNan"],
    text: `fn floatToInt(x: f32) -> i32 {
  if (isNan(x)) { return 0; }
  return select(i32(clamp(x, -2147483648f, 2147483520f)), 2147483647, x >= 2147483648f);
}`,
  },
  floatToUint: {
    uses: ["isNan"],
    text: `fn floatToUint(x: f32) -> u32 {
  if (isNan(x)) { return 0u; }
  return select(u32(clamp(x, 0f, 4294967040f)), 0xffffffffu, x >= 4294967296f);
}`,
  },
  floatToInt8: {
    uses: ["isNan"],
    text: `fn floatToInt8(x: f32) -> i32 {
  return select(i32(clamp(x, -128f, 127f)), 0, isNan(x));
}`,
  },
  // Zeros and NaN stay what they are.
  floatSign: {
    text: `fn floatSign(x: f32) -> f32 {
  let bits = bitcast<u32>(x);
  let one = bitcast<f32>((bits & 0x80000000u) | 0x3f800000u);
  return select(x, one, (bits & 0x7fffffffu) - 1u < 0x7f800000u);
}`,
  },
  // NaN wins. The larger of 0 and -0 is 0, the smaller is -0.
  floatMaximum: {
    uses: ["isNan"],
    text: `fn floatMaximum(a: f32, b: f32) -> f32 {
  let zero = bitcast<f32>(bitcast<u32>(a) & bitcast<u32>(b));
  return select(select(select(max(a, b), zero, a == b), b, isNan(b)), a, isNan(a));
}`,
  },
  floatMinimum: {
    uses: ["isNan"],
    text: `fn floatMinimum(a: f32, b: f32) -> f32 {
  let zero = bitcast<f32>(bitcast<u32>(a) | bitcast<u32>(b));
  return select(select(select(min(a, b), zero, a == b), b, isNan(b)), a, isNan(a));
}`,
  },
  // `a == a` may be folded to true.
  floatEqual: {
    uses: ["isNan"],
    text: "fn floatEqual(a: f32, b: f32) -> bool { return a == b && !isNan(a); }",
  },
  floatLessEqual: {
    uses: ["isNan"],
    text: "fn floatLessEqual(a: f32, b: f32) -> bool { return a <= b && !isNan(a); }",
  },
};
