/** What the texts of all WGSL helper functions are made of. */

/** A WGSL helper: its text, and the helpers that the text calls. */
export interface Helper<Name extends string = string> {
  readonly uses?: readonly Name[];
  readonly text: string;
}

/** A finite normal float32 (or zero) as a WGSL literal. */
export function literal(value: number): string {
  return `${Math.fround(value)}f`;
}

/** `coefficients[0] + coefficients[1] x + …` as a WGSL expression; `x` is an identifier. */
export function polynomial(x: string, coefficients: readonly number[]): string {
  return coefficients
    .map(literal)
    .reduceRight((sum, coefficient) => `(${coefficient} + ${x} * ${sum})`);
}
