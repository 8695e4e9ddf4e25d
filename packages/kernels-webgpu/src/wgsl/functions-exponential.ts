/**
 * exp, expm1, sigmoid, tanh, log, log1p and erf as WGSL helpers, after those of the CPU device.
 *
 * The usual reductions of arguments subtract a product in two parts and count on the compiler to
 * keep their order. Shader compilers may not, so that here integers do it.
 */

import { type Helper, literal, polynomial } from "./functions-text.js";

type Name =
  | "exponentialRest"
  | "floatExp"
  | "floatExpm1"
  | "floatSigmoid"
  | "floatTanh"
  | "logarithm"
  | "floatLog"
  | "floatLog1p"
  | "floatErf";

// exp(r) = 1 + r + r² (…) for |r| ≤ ln 2 / 2, relative error 3.1e-9.
const expCoefficients = [
  0.4999999403953552, 0.1666652113199234, 0.04166827350854874, 0.00836868304759264,
  0.001382005400955677,
];

// expm1(r) = r + r² (…) on the same range, relative error 1.4e-8.
const expm1Coefficients = [
  0.4999999701976776, 0.1666654646396637, 0.04166743531823158, 0.00836627185344696,
  0.001387069234624505,
];

// erf(x) = x P(x²) / Q(x²) for |x| ≤ 3.925, beyond which it is ±1 to rounding. Relative error of
// the coefficients 5.4e-8, of the whole 4e-7.
const erfLimit = 3.925;
const erfNumerator = [
  1.1283791065216064, 0.19059520959854126, 0.0527694933116436, 0.003772613126784563,
  0.0002848450094461441, 2.0460172436287394e-6,
];
const erfDenominator = [
  1, 0.5022433400154114, 0.11418332904577255, 0.014983324334025383, 0.0011638731230050325,
  3.8047746784286574e-5,
];

/** Exponentials, logarithms and the error function. */
export const exponentialHelpers: Record<Name, Helper<Name | "isNan" | "fromBits">> = {
  // x - n ln 2 in units of 2^-32, where all but the lowest 32 bits of both terms drop out.
  exponentialRest: {
    text: `fn exponentialRest(x: f32, n: i32) -> f32 {
  let fraction = bitcast<u32>(i32((x - trunc(x)) * 2147483648f)) << 1u;
  return f32(bitcast<i32>(fraction - bitcast<u32>(n) * 0xb17217f8u)) * ${literal(2 ** -32)};
}`,
  },
  // 2^n is applied as two factors, because it may lie outside the range of a float itself.
  floatExp: {
    uses: ["exponentialRest", "isNan"],
    text: `fn floatExp(x: f32) -> f32 {
  let limited = clamp(x, -104f, 89f);
  let n = i32(round(limited * ${literal(Math.LOG2E)}));
  let r = exponentialRest(limited, n);
  let p = r * r * ${polynomial("r", expCoefficients)} + r + 1f;
  let half = n >> 1u;
  let result = p * bitcast<f32>((half + 127) << 23u) * bitcast<f32>((n - half + 127) << 23u);
  return select(result, x, isNan(x));
}`,
  },
  // With h = 2^(n-1), which fits a float up to the largest n: 2 (h expm1(r) + (h - 1/2)).
  floatExpm1: {
    uses: ["exponentialRest", "isNan"],
    text: `fn floatExpm1(x: f32) -> f32 {
  let limited = clamp(x, -18f, 89f);
  let n = i32(round(limited * ${literal(Math.LOG2E)}));
  let r = select(exponentialRest(limited, n), limited, n == 0);
  let grown = r * r * ${polynomial("r", expm1Coefficients)} + r;
  let h = bitcast<f32>((n + 126) << 23u);
  let half = h * grown + (h - 0.5f);
  let result = select(half + half, grown, n == 0);
  return select(result, x, abs(x) < ${literal(2 ** -25)} || isNan(x));
}`,
  },
  floatSigmoid: {
    uses: ["floatExp"],
    text: `fn floatSigmoid(x: f32) -> f32 {
  let e = floatExp(-abs(x));
  return select(1f, e, x < 0f) / (1f + e);
}`,
  },
  // With e = expm1(-2 |x|): tanh |x| = -e / (e + 2). Beyond 10 it is 1.
  floatTanh: {
    uses: ["floatExpm1", "isNan"],
    text: `fn floatTanh(x: f32) -> f32 {
  let e = floatExpm1(-2f * min(abs(x), 10f));
  let magnitude = -e / (e + 2f);
  let result = select(magnitude, -magnitude, x < 0f);
  return select(result, x, abs(x) < ${literal(2 ** -12)} || isNan(x));
}`,
  },
  // log(2^k (1 + f)) after FreeBSD's msun: with s = f / (2 + f),
  // log(1 + f) = f - f²/2 + s (f²/2 + R(s²)).
  logarithm: {
    text: `fn logarithm(k: f32, f: f32) -> f32 {
  let s = f / (2f + f);
  let z = s * s;
  let rest = z * ${polynomial("z", [0.66666662693, 0.40000972152, 0.28498786688, 0.24279078841])};
  let halfSquare = 0.5f * f * f;
  let low = k * ${literal(9.0580006145e-6)};
  return ((s * (halfSquare + rest) + low) - halfSquare + f) + k * ${literal(6.9313812256e-1)};
}`,
  },
  // x = 2^k m with m in sqrt(1/2) … sqrt(2). Subnormal bits are an integer that counts 2^-149.
  floatLog: {
    uses: ["logarithm", "fromBits", "isNan"],
    text: `fn floatLog(x: f32) -> f32 {
  let bits = bitcast<u32>(x);
  if (isNan(x) || bits == 0x7f800000u) { return x; }
  if ((bits & 0x7fffffffu) == 0u) { return fromBits(0xff800000u); }
  if (bits >= 0x80000000u) { return fromBits(0x7fc00000u); }
  let isSubnormal = bits < 0x00800000u;
  let normal = select(bits, bitcast<u32>(f32(bits)), isSubnormal);
  let k = bitcast<i32>(normal - 0x3f3504f3u) >> 23u;
  let m = bitcast<f32>(normal - (bitcast<u32>(k) << 23u));
  return logarithm(f32(k - select(0, 149, isSubnormal)), m - 1f);
}`,
  },
  // With k of 1 + x: (1 + x) / 2^k - 1 = x / 2^k + (1 / 2^k - 1), rounded only once. For large x
  // the 1 is too small to matter.
  floatLog1p: {
    uses: ["logarithm", "fromBits", "isNan"],
    text: `fn floatLog1p(x: f32) -> f32 {
  let bits = bitcast<u32>(x);
  if (isNan(x) || bits == 0x7f800000u || (bits & 0x7fffffffu) < 0x33000000u) { return x; }
  if (bits == 0xbf800000u) { return fromBits(0xff800000u); }
  if (bits > 0xbf800000u) { return fromBits(0x7fc00000u); }
  let sum = bitcast<u32>(1f + x);
  let k = bitcast<i32>(sum - 0x3f3504f3u) >> 23u;
  let m = bitcast<f32>(sum - (bitcast<u32>(k) << 23u));
  let scale = bitcast<f32>((127 - min(k, 25)) << 23u);
  return logarithm(f32(k), select(x * scale + (scale - 1f), m - 1f, k > 24));
}`,
  },
  floatErf: {
    uses: ["isNan"],
    text: `fn floatErf(x: f32) -> f32 {
  let y = clamp(x, ${literal(-erfLimit)}, ${literal(erfLimit)});
  let z = y * y;
  let quotient = y * ${polynomial("z", erfNumerator)} / ${polynomial("z", erfDenominator)};
  return select(clamp(quotient, -1f, 1f), x, isNan(x));
}`,
  },
};
