/**
 * Conversion between float32 and the two 16-bit floating-point formats: IEEE float16
 * (1 sign, 5 exponent, 10 fraction bits) and bfloat16 (the upper half of a float32).
 *
 * Widening is exact. Narrowing rounds to nearest, ties to even; what is too large becomes
 * infinity, what is too small becomes a subnormal or a zero of the same sign, NaN stays NaN.
 * JavaScript has no portable 16-bit float array, so these numbers live as bits in a `Uint16Array`.
 */

const scratch = new Float32Array(1);
const scratchBits = new Uint32Array(scratch.buffer);

// Shifting the bits of a float16 into a float32 leaves an exponent that is too small by the
// difference of the two biases, 127 - 15. Multiplying by this power of two is exact and puts it
// right for normal numbers and subnormals alike.
const biasCorrection = 2 ** 112;

/** Float32 bits of one float16, given the bits of its magnitude times `biasCorrection`. */
function finishWidening(scaledBits: number, half: number): number {
  // Infinity and NaN arrive as large finite numbers: setting the whole exponent restores them.
  const magnitude = (half & 0x7c00) === 0x7c00 ? scaledBits | 0x7f800000 : scaledBits;
  return magnitude | ((half & 0x8000) << 16);
}

/** Float16 bits nearest to the float32 with the given bits. */
function narrowToFloat16(bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) {
    // NaN: keep the upper payload bits, and set the quiet bit so that it cannot become infinity.
    return sign | 0x7e00 | ((magnitude >>> 13) & 0x3ff);
  }
  // 65520 and above lie nearer to 2^16 than to 65504, the largest float16.
  if (magnitude >= 0x477ff000) return sign | 0x7c00;
  if (magnitude >= 0x38800000) {
    // Normal (2^-14 and above): rebias, then round by adding just under half a unit, plus one
    // where the result would be odd. A carry out of the fraction raises the exponent, as it should.
    const odd = (magnitude >>> 13) & 1;
    return sign | ((magnitude - 0x38000000 + 0xfff + odd) >>> 13);
  }
  // 2^-25 is half of the smallest subnormal and ties to zero, which is even.
  if (magnitude <= 0x33000000) return sign;
  // Subnormal: the fraction with its implied bit, in units of 2^-24.
  const fraction = (magnitude & 0x7fffff) | 0x800000;
  const shift = 126 - (magnitude >>> 23);
  const result = fraction >>> shift;
  const remainder = fraction & ((1 << shift) - 1);
  const half = 1 << (shift - 1);
  const up = remainder > half || (remainder === half && (result & 1) === 1);
  return sign | (up ? result + 1 : result);
}

/** Bfloat16 bits nearest to the float32 with the given bits. */
function narrowToBfloat16(bits: number): number {
  if ((bits & 0x7fffffff) > 0x7f800000) return ((bits >>> 16) | 0x40) & 0xffff;
  // The sum may pass 2^32 only for NaN, which has left above.
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}

/** The number that float16 bits stand for. */
export function float16ToFloat32(half: number): number {
  scratchBits[0] = (half & 0x7fff) << 13;
  scratch[0]! *= biasCorrection;
  scratchBits[0] = finishWidening(scratchBits[0], half);
  return scratch[0]!;
}

/**
 * The float16 bits nearest to a number. The number is taken as a float32, so one that is not is
 * rounded to float32 first.
 */
export function float32ToFloat16(value: number): number {
  scratch[0] = value;
  return narrowToFloat16(scratchBits[0]!);
}

/** The number that bfloat16 bits stand for. */
export function bfloat16ToFloat32(bits: number): number {
  scratchBits[0] = (bits & 0xffff) << 16;
  return scratch[0]!;
}

/** The bfloat16 bits nearest to a number, taken as a float32 as in {@link float32ToFloat16}. */
export function float32ToBfloat16(value: number): number {
  scratch[0] = value;
  return narrowToBfloat16(scratchBits[0]!);
}

/** The float32 numbers of an array of float16 bits. NaN payloads are kept. */
export function floatsFromHalfs(halfs: Uint16Array): Float32Array {
  const result = new Float32Array(halfs.length);
  const bits = new Uint32Array(result.buffer);
  for (let i = 0; i < halfs.length; i++) {
    const half = halfs[i]!;
    bits[i] = (half & 0x7fff) << 13;
    result[i]! *= biasCorrection;
    bits[i] = finishWidening(bits[i]!, half);
  }
  return result;
}

/** The float16 bits nearest to each float32 of an array. */
export function halfsFromFloats(values: Float32Array): Uint16Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const result = new Uint16Array(values.length);
  for (let i = 0; i < bits.length; i++) result[i] = narrowToFloat16(bits[i]!);
  return result;
}

/** The float32 numbers of an array of bfloat16 bits. NaN payloads are kept. */
export function floatsFromBfloats(values: Uint16Array): Float32Array {
  const result = new Float32Array(values.length);
  const bits = new Uint32Array(result.buffer);
  for (let i = 0; i < values.length; i++) bits[i] = values[i]! << 16;
  return result;
}

/** The bfloat16 bits nearest to each float32 of an array. */
export function bfloatsFromFloats(values: Float32Array): Uint16Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const result = new Uint16Array(values.length);
  for (let i = 0; i < bits.length; i++) result[i] = narrowToBfloat16(bits[i]!);
  return result;
}
