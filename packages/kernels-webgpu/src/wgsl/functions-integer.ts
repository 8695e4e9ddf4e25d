/** Helpers of integer arithmetic: division, wide products, random numbers. */

import type { Helper } from "./functions-text.js";

type Name =
  | "intDivide"
  | "intRemainder"
  | "uintDivide"
  | "uintRemainder"
  | "wideProduct"
  | "floatRemainder"
  | "threefry";

const rotations = [13, 15, 26, 6, 17, 29, 16, 24];

/** The 20 rounds of Threefry 2x32 (Salmon et al., 2011), as in Random123. */
function threefryRounds(): string {
  const lines: string[] = [];
  for (let round = 0; round < 20; round++) {
    const bits = rotations[round % 8]!;
    lines.push(`x += y; y = ((y << ${bits}u) | (y >> ${32 - bits}u)) ^ x;`);
    if (round % 4 === 3) {
      const injection = (round + 1) / 4;
      lines.push(`x += key${injection % 3}; y += key${(injection + 1) % 3} + ${injection}u;`);
    }
  }
  return lines.join("\n  ");
}

/** Helpers of integer arithmetic. */
export const integerHelpers: Record<Name, Helper<Name>> = {
  // 0 for a zero divisor; -2^31 / -1 wraps.
  intDivide: {
    text: `fn intDivide(a: i32, b: i32) -> i32 {
  if (b == 0) { return 0; }
  if (b == -1) { return 0 - a; }
  return a / b;
}`,
  },
  // With the sign of the divisor; 0 for a zero divisor.
  intRemainder: {
    text: `fn intRemainder(a: i32, b: i32) -> i32 {
  if (b == 0 || b == -1) { return 0; }
  let rest = a - (a / b) * b;
  return select(rest, rest + b, rest != 0 && (rest ^ b) < 0);
}`,
  },
  uintDivide: {
    text: `fn uintDivide(a: u32, b: u32) -> u32 {
  if (b == 0u) { return 0u; }
  return a / b;
}`,
  },
  uintRemainder: {
    text: `fn uintRemainder(a: u32, b: u32) -> u32 {
  if (b == 0u) { return 0u; }
  return a % b;
}`,
  },
  // The low and the high word of a product.
  wideProduct: {
    text: `fn wideProduct(a: u32, b: u32) -> vec2u {
  let first = (a >> 16u) * (b & 0xffffu) + (((a & 0xffffu) * (b & 0xffffu)) >> 16u);
  let second = (a & 0xffffu) * (b >> 16u) + (first & 0xffffu);
  return vec2u(a * b, (a >> 16u) * (b >> 16u) + (first >> 16u) + (second >> 16u));
}`,
  },
  // Exact, as C's fmod is, then moved by one divisor where it has the other sign. The mantissas
  // are divided in steps of 8 bits of the quotient.
  floatRemainder: {
    text: `fn floatRemainder(a: f32, b: f32) -> f32 {
  let magnitude = bitcast<u32>(a) & 0x7fffffffu;
  let divisor = bitcast<u32>(b) & 0x7fffffffu;
  let sign = bitcast<u32>(a) & 0x80000000u;
  if (divisor - 1u >= 0x7f800000u || magnitude >= 0x7f800000u) {
    return bitcast<f32>(magnitude | 0x7fc00000u);
  }
  var bits = magnitude;
  if (magnitude >= divisor) {
    let exponent = max(divisor >> 23u, 1u);
    var distance = max(magnitude >> 23u, 1u) - exponent;
    let unit = (divisor & 0x7fffffu) | select(0u, 0x800000u, divisor >= 0x800000u);
    var rest = ((magnitude & 0x7fffffu) | select(0u, 0x800000u, magnitude >= 0x800000u)) % unit;
    while (distance > 0u) {
      let step = min(distance, 8u);
      rest = (rest << step) % unit;
      distance -= step;
    }
    // rest is below 2^24 and counts units of 2^(exponent - 150).
    let lead = countLeadingZeros(rest);
    if (rest == 0u) {
      bits = 0u;
    } else if (exponent + 8u > lead) {
      bits = ((exponent + 8u - lead) << 23u) + ((rest << (lead - 8u)) & 0x7fffffu);
    } else {
      bits = rest << (exponent - 1u);
    }
  }
  let result = bitcast<f32>(bits | sign);
  let differs = ((bitcast<u32>(b) ^ sign) >> 31u) != 0u;
  return select(result, result + b, differs && bits != 0u);
}`,
  },
  threefry: {
    text: `fn threefry(key0: u32, key1: u32, counter0: u32, counter1: u32) -> vec2u {
  let key2 = key0 ^ key1 ^ 0x1bd11bdau;
  var x = counter0 + key0;
  var y = counter1 + key1;
  ${threefryRounds()}
  return vec2u(x, y);
}`,
  },
};
