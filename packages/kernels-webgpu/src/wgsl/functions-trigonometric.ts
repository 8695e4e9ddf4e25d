/** sin and cos as WGSL helpers. */

import { type Helper, polynomial } from "./functions-text.js";

type Name = "sine";

// sin(r) = r (1 + r² (…)), cos(r) = 1 - r²/2 + r⁴ (…) for |r| ≤ π/4, relative errors 4e-9, 1e-10.
const sinCoefficients = [-0.16666655242443085, 0.008332188241183758, -0.0001951809535967186];
const cosCoefficients = [0.04166664555668831, -0.0013887309469282627, 2.4432327336398885e-5];

/**
 * The sine of `x + phase · π/2`, for every finite x: from π/4 on, the quotient by π/2 is found from
 * those bits of 2/π that do not come out as multiples of 4 (Payne and Hanek, as in Arm's optimized
 * routines), so that nothing is lost near multiples of π/2 or for large x.
 */
export const trigonometricHelpers: Record<Name, Helper<Name | "wideProduct" | "fromBits">> = {
  sine: {
    uses: ["wideProduct", "fromBits"],
    text: `const twoOverPi = array<u32, 8>(0u, 0xa2f9836eu, 0x4e441529u, 0xfc2757d1u, 0xf534ddc0u, 0xdb629599u, 0x3c439041u, 0xfe5163abu);
fn twoOverPiFrom(byte: u32) -> u32 {
  let shift = (byte & 3u) * 8u;
  return (twoOverPi[byte >> 2u] << shift) | ((twoOverPi[(byte >> 2u) + 1u] >> 1u) >> (31u - shift));
}
fn sine(x: f32, phase: u32) -> f32 {
  let bits = bitcast<u32>(x) & 0x7fffffffu;
  if (bits >= 0x7f800000u) { return bitcast<f32>(bits | 0x7fc00000u); }
  var r = bitcast<f32>(bits);
  var quadrant = phase;
  if (bits > 0x3f490fdau) {
    let exponent = bits >> 23u;
    let mantissa = ((bits & 0x7fffffu) | 0x800000u) << (exponent & 7u);
    let at = (exponent - 120u) >> 3u;
    let middle = wideProduct(mantissa, twoOverPiFrom(at + 4u));
    let low = middle.x + wideProduct(mantissa, twoOverPiFrom(at + 8u)).y;
    let high = mantissa * twoOverPiFrom(at) + middle.y + select(0u, 1u, low < middle.x);
    // The quotient modulo 4, in units of 2^-62.
    let n = (high + 0x20000000u) >> 30u;
    quadrant += n;
    let signed = high - (n << 30u);
    let isNegative = signed >= 0x80000000u;
    let top = select(signed, ~signed + select(0u, 1u, low == 0u), isNegative);
    let bottom = select(low, 0u - low, isNegative);
    let magnitude = (f32(top) * ${2 ** -30}f + f32(bottom) * ${2 ** -62}f) * ${Math.fround(Math.PI / 2)}f;
    r = select(magnitude, -magnitude, isNegative);
  }
  let z = r * r;
  let sin = r + r * z * ${polynomial("z", sinCoefficients)};
  let cos = 1f - 0.5f * z + z * z * ${polynomial("z", cosCoefficients)};
  let result = select(sin, cos, (quadrant & 1u) != 0u);
  // |x| was used: sin is odd, cos is even.
  let sign = select(bitcast<u32>(x) & 0x80000000u, 0u, phase == 1u);
  return bitcast<f32>(bitcast<u32>(result) ^ ((quadrant & 2u) << 30u) ^ sign);
}`,
  },
};
