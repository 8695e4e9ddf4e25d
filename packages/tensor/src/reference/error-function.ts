/** The error function in float64. */

/** Where the series hands over to the continued fraction. */
const seriesLimit = 3;

/** erf x, to about 1e-16. */
export function errorFunction(x: number): number {
  if (Number.isNaN(x)) return x;
  const magnitude = Math.abs(x);
  const value = magnitude < seriesLimit ? series(magnitude) : 1 - complement(magnitude);
  return x < 0 ? -value : x === 0 ? x : value;
}

/** erf x = 2/√π · e^(−x²) · Σ 2ⁿ x^(2n+1) / (1 · 3 · … · (2n+1)). All terms are positive: nothing cancels. */
function series(x: number): number {
  let term = x;
  let sum = 0;
  for (let n = 0; sum + term !== sum; n++) {
    sum += term;
    term *= (2 * x * x) / (2 * n + 3);
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
}

/** erfc x = e^(−x²)/√π · 1/(x + ½/(x + 1/(x + 3⁄2/(x + …)))), evaluated from far inside outward. */
function complement(x: number): number {
  let fraction = x;
  for (let n = 100; n >= 1; n--) fraction = x + n / 2 / fraction;
  return Math.exp(-x * x) / Math.sqrt(Math.PI) / fraction;
}
