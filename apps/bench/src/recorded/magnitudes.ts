/** How large numbers are, and how far from others. */

/** The largest magnitude; infinite where one is NaN. */
export function largestMagnitude(numbers: ArrayLike<number>): number {
  let largest = 0;
  for (let i = 0; i < numbers.length; i++) {
    const magnitude = Math.abs(numbers[i]!);
    if (Number.isNaN(magnitude)) return Infinity;
    if (magnitude > largest) largest = magnitude;
  }
  return largest;
}

/** The largest magnitude of those that are finite. */
export function largestFinite(numbers: ArrayLike<number>): number {
  let largest = 0;
  for (let i = 0; i < numbers.length; i++) {
    const magnitude = Math.abs(numbers[i]!);
    if (Number.isFinite(magnitude) && magnitude > largest) largest = magnitude;
  }
  return largest;
}

/** The largest difference; infinite where one is NaN and the other is not. */
export function largestDifference(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  let largest = 0;
  for (let i = 0; i < expected.length; i++) {
    if (Object.is(actual[i], expected[i]) || actual[i] === expected[i]) continue;
    const difference = Math.abs(actual[i]! - expected[i]!);
    if (Number.isNaN(difference)) return Infinity;
    if (difference > largest) largest = difference;
  }
  return largest;
}
