/** Division and remainder of integers, and the remainder of floats. */

import {
  f32,
  f32x4,
  f64,
  f64x2,
  type FunctionReference,
  type F32,
  i32x4,
  i64,
  type ModuleBuilder,
  v128,
  type V128,
} from "../assembler/index.js";
import { callHelper, float, integer, type MathContext } from "./context.js";

// A float64 quotient of 32-bit integers truncates to the exact integer quotient: it is never
// closer to the next integer than 2^-32 of its size.
function quotient(a: V128, b: V128, widen: (v: V128) => V128, narrow: (v: V128) => V128): V128 {
  const high = (v: V128): V128 => widen(i32x4.shuffle(v, v, [2, 3, 2, 3]));
  return i32x4.shuffle(
    narrow(f64x2.divide(widen(a), widen(b))),
    narrow(f64x2.divide(high(a), high(b))),
    [0, 1, 4, 5],
  );
}

/** `a / b` of int32 truncated toward zero; 0 where b is 0; wraps for -2^31 / -1. */
export function divideInt32(c: MathContext, first: V128, second: V128): V128 {
  const { f } = c;
  const [a, b] = [f.keep(first), f.keep(second)];
  const q = quotient(
    a,
    b,
    (v) => f64x2.convertLowI32x4(v),
    (v) => i32x4.truncateF64x2Zero(v),
  );
  const byMinusOne = i32x4.equal(b, integer(c, -1));
  const exact = v128.bitselect(i32x4.negate(a), q, byMinusOne);
  return exact.and(i32x4.notEqual(b, integer(c, 0)));
}

/** `a / b` of uint32; 0 where b is 0. */
export function divideUint32(c: MathContext, first: V128, second: V128): V128 {
  const { f } = c;
  const [a, b] = [f.keep(first), f.keep(second)];
  const q = quotient(
    a,
    b,
    (v) => f64x2.convertLowI32x4Unsigned(v),
    (v) => i32x4.truncateF64x2ZeroUnsigned(v),
  );
  return q.and(i32x4.notEqual(b, integer(c, 0)));
}

/** The remainder of int32 with the sign of the divisor; 0 where b is 0. */
export function remainderInt32(c: MathContext, first: V128, second: V128): V128 {
  const { f } = c;
  const [a, b] = [f.keep(first), f.keep(second)];
  const q = divideInt32(c, a, b);
  const zero = integer(c, 0);
  const rest = f.let(i32x4.subtract(a, i32x4.multiply(q, b)));
  const differs = i32x4.less(rest.xor(b), zero).and(i32x4.notEqual(rest, zero));
  return i32x4.add(rest, b.and(differs)).and(i32x4.notEqual(b, zero));
}

/** The remainder of uint32; 0 where b is 0. */
export function remainderUint32(c: MathContext, first: V128, second: V128): V128 {
  const { f } = c;
  const [a, b] = [f.keep(first), f.keep(second)];
  const rest = i32x4.subtract(a, i32x4.multiply(divideUint32(c, a, b), b));
  return rest.and(i32x4.notEqual(b, integer(c, 0)));
}

/**
 * The remainder of float32 with the sign of the divisor, exact as C's `fmod` is; NaN where the
 * divisor is 0 or the dividend infinite.
 */
export function remainderFloat32(c: MathContext, first: V128, second: V128): V128 {
  const { f, module } = c;
  const [a, b] = [f.keep(first), f.keep(second)];
  // Quotients of at most 24 bits: the exact rest is found in float64 at once.
  const half = (x: V128, y: V128): V128 => {
    const [wideX, wideY] = [f.let(f64x2.promoteLowF32x4(x)), f.let(f64x2.promoteLowF32x4(y))];
    const n = f64x2.floor(f64x2.divide(wideX, wideY));
    const rest = f.let(f64x2.subtract(wideX, f64x2.multiply(n, wideY)));
    return f32x4.demoteF64x2Zero(rest);
  };
  const high = (v: V128): V128 => i32x4.shuffle(v, v, [2, 3, 2, 3]);
  const result = f.let(i32x4.shuffle(half(a, b), half(high(a), high(b)), [0, 1, 4, 5]));
  const ratio = f32x4.abs(f32x4.divide(a, b));
  const finite = f32x4.less(f32x4.abs(b), float(c, Infinity));
  const simple = f.let(f32x4.less(ratio, float(c, 2 ** 24)).and(finite));
  f.if(i32x4.allTrue(simple).isZero(), () => {
    const exact = callHelper(c, "remainder", [a, b], (inner, x, y) => {
      const lanes = inner.f.let(x);
      for (let lane = 0; lane < 4; lane++) {
        const value = scalarRemainder(module).call(
          f32x4.extractLane(x, lane),
          f32x4.extractLane(y, lane),
        );
        inner.f.set(lanes, f32x4.replaceLane(lanes, lane, value));
      }
      return lanes;
    });
    f.set(result, exact);
  });
  // A rest of 0 has the sign of the dividend.
  const zero = f32x4.equal(result, float(c, 0));
  return result.or(a.and(integer(c, -0x80000000)).and(zero));
}

// One lane of any size: multiples of scaled divisors are taken off until the quotient is short.
function scalarRemainder(
  module: ModuleBuilder,
): FunctionReference<readonly [typeof f32, typeof f32], F32> {
  const key = "math/remainderLane";
  const found = module.get(key);
  if (found) return found as unknown as ReturnType<typeof scalarRemainder>;
  return module.function(
    key,
    { parameters: [f32, f32], result: f32 },
    (f, a, b) => {
      f.if(b.equal(f32.const(0)).or(a.abs().less(f32.const(Infinity)).isZero()), () => {
        f.return(f32.const(NaN));
      });
      const divisor = f.let(f64.promote(b.abs()));
      const rest = f.let(f64.promote(a.abs()));
      const quotient = f.local(f64);
      f.while(quotient.tee(rest.divide(divisor)).greaterEqual(f64.const(2 ** 24)), () => {
        // The power of two at or below the quotient, less 24 bits.
        const exponent = i64.reinterpret(quotient).and(i64.const(0x7ffn << 52n));
        const scale = f64.reinterpret(exponent.subtract(i64.const(24n << 52n)));
        const step = f.let(divisor.multiply(scale));
        f.set(rest, rest.subtract(rest.divide(step).floor().multiply(step)));
      });
      f.set(rest, rest.subtract(quotient.floor().multiply(divisor)));
      // An infinite divisor leaves the dividend: ∞ · 0 was NaN.
      f.if(b.abs().equal(f32.const(Infinity)), () => {
        f.set(rest, f64.promote(a.abs()));
      });
      const signed = f.let(a.less(f32.const(0)).select(rest.negate(), rest));
      const wrong = a.less(f32.const(0)).notEqual(b.less(f32.const(0)));
      f.if(wrong.and(rest.notEqual(f64.const(0))), () => {
        f.set(signed, signed.add(f64.promote(b)));
      });
      return f32.demote(signed);
    },
    { export: false },
  );
}
