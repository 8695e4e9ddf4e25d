/** Between float32 and the 16-bit types of files. */

/** 2 to the power of the exponent of a float16, for a fraction counted in units of 1 / 1024. */
function float16Scales(): Float32Array {
  return Float32Array.from({ length: 32 }, (_, exponent) => 2 ** (Math.max(exponent, 1) - 25));
}

/** The numbers that float16 bits stand for; exact. */
export function fromFloat16(bits: Uint16Array): Float32Array {
  const scales = float16Scales();
  const result = new Float32Array(bits.length);
  for (let i = 0; i < bits.length; i++) {
    const half = bits[i]!;
    const exponent = (half >> 10) & 31;
    const fraction = half & 1023;
    let magnitude = (exponent === 0 ? fraction : fraction + 1024) * scales[exponent]!;
    if (exponent === 31) magnitude = fraction === 0 ? Infinity : NaN;
    result[i] = half & 0x8000 ? -magnitude : magnitude;
  }
  return result;
}

/** The bfloat16 bits nearest to each number, ties to even; NaN stays NaN. */
export function toBfloat16(values: Float32Array): Uint16Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const result = new Uint16Array(values.length);
  for (let i = 0; i < bits.length; i++) {
    const word = bits[i]!;
    const isNaN = (word & 0x7fffffff) > 0x7f800000;
    // The sum passes 2^32 for NaN only.
    result[i] = isNaN ? (word >>> 16) | 0x40 : (word + 0x7fff + ((word >>> 16) & 1)) >>> 16;
  }
  return result;
}
