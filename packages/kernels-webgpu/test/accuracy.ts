/** For tests: float32 numbers of all kinds, and how far results are from exact ones. */

const smallestNormal = 2 ** -126;

/** Floats spread evenly over all bit patterns (so over all magnitudes), and the special ones. */
export function allMagnitudes(count: number): Float32Array<ArrayBuffer> {
  const special = [0, -0, 1, -1, Infinity, -Infinity, NaN, 2 ** -149, -(2 ** -149), 2 ** -126];
  const values = new Float32Array(count);
  const bits = new Uint32Array(values.buffer);
  const stride = Math.floor(2 ** 32 / count);
  for (let i = 0; i < count; i++) bits[i] = i * stride;
  values.set(special, 1);
  return values;
}

/** Floats at even distances. */
export function interval(from: number, to: number, count: number): Float32Array<ArrayBuffer> {
  return Float32Array.from({ length: count }, (_, i) => from + ((to - from) * i) / (count - 1));
}

/** The largest error that was found. */
export interface Worst {
  readonly ulps: number;
  readonly at: readonly number[];
  readonly got: number;
  readonly expected: number;
}

/**
 * The largest error in units of the last place; infinite where one is NaN or infinite and the
 * other is not, or a zero or infinity has the wrong sign.
 *
 * A GPU may take subnormal numbers for zeros, as operands and as results: then the result may also
 * be what is exact for zeros.
 */
export async function largestUlps(
  inputs: readonly Float32Array[],
  results: Float32Array,
  exact: (...inputs: readonly Float32Array[]) => ArrayLike<number> | Promise<ArrayLike<number>>,
): Promise<Worst> {
  const isSubnormal = (x: number): boolean => x !== 0 && Math.abs(x) < smallestNormal;
  const flushed = inputs.map((input) => input.map((x) => (isSubnormal(x) ? 0 * x : x)));
  const [expected, expectedFlushed] = [await exact(...inputs), await exact(...flushed)];
  let worst: Worst = { ulps: 0, at: [NaN], got: NaN, expected: NaN };
  for (let i = 0; i < results.length; i++) {
    const got = results[i]!;
    const at = inputs.map((input) => input[i]!);
    let ulps = distance(got, expected[i]!);
    if (at.some(isSubnormal)) ulps = Math.min(ulps, distance(got, expectedFlushed[i]!));
    if (got === 0 && isSubnormal(Math.fround(expected[i]!))) ulps = 0;
    if (!(ulps <= worst.ulps)) worst = { ulps, at, got, expected: expected[i]! };
  }
  return worst;
}

function distance(got: number, expected: number): number {
  const rounded = Math.fround(expected);
  if (Object.is(got, rounded)) return 0;
  if (Number.isFinite(got) && Number.isFinite(rounded)) {
    // Two zeros of different signs.
    return got === rounded ? Infinity : Math.abs(got - expected) / ulp(expected);
  }
  // The largest float instead of infinity, or the reverse, is one step.
  return Math.min(got, expected) > 3.4e38 || Math.max(got, expected) < -3.4e38 ? 1 : Infinity;
}

/** The distance of neighbouring float32 numbers at x. */
function ulp(x: number): number {
  return 2 ** (Math.floor(Math.log2(Math.max(Math.abs(x), smallestNormal))) - 23);
}
