/** Matrices as lists of rows, computed in float64 by the plainest code: what models are compared with. */

/** Rows of equal length. */
export type Matrix = number[][];

/** A stored tensor. */
export interface PlainTensor {
  readonly shape: readonly number[];
  readonly data: ArrayLike<number>;
}

/** Stored tensors by their names. */
export type PlainTensors = Readonly<Record<string, PlainTensor>>;

/** A tensor as a list of numbers. */
export function vector({ data }: PlainTensor): number[] {
  return Array.from(data);
}

/** A tensor as rows. */
export function matrix({ shape, data }: PlainTensor): Matrix {
  const [rows, columns] = shape as [number, number];
  return Array.from({ length: rows }, (_, i) =>
    Array.from({ length: columns }, (_, j) => data[i * columns + j]!),
  );
}

export function dot(a: readonly number[], b: readonly number[]): number {
  return a.reduce((sum, x, i) => sum + x * b[i]!, 0);
}

export function transpose(a: Matrix): Matrix {
  return a[0]!.map((_, j) => a.map((row) => row[j]!));
}

export function sum(a: Matrix, b: Matrix): Matrix {
  return a.map((row, i) => row.map((x, j) => x + b[i]![j]!));
}

/** `x Wᵀ + b`, with the tensors `name.weight` and, where it is there, `name.bias`. */
export function linear(tensors: PlainTensors, name: string, x: Matrix): Matrix {
  const weight = matrix(tensors[`${name}.weight`]!);
  const bias = tensors[`${name}.bias`];
  const b = bias === undefined ? weight.map(() => 0) : vector(bias);
  return x.map((row) => weight.map((out, i) => dot(row, out) + b[i]!));
}

export function layerNorm(tensors: PlainTensors, name: string, eps: number, x: Matrix): Matrix {
  const weight = vector(tensors[`${name}.weight`]!);
  const bias = vector(tensors[`${name}.bias`]!);
  return x.map((row) => {
    const mean = row.reduce((total, value) => total + value, 0) / row.length;
    const variance = row.reduce((total, value) => total + (value - mean) ** 2, 0) / row.length;
    return row.map(
      (value, i) => ((value - mean) / Math.sqrt(variance + eps)) * weight[i]! + bias[i]!,
    );
  });
}

export function rmsNorm(weight: readonly number[], eps: number, x: Matrix): Matrix {
  return x.map((row) => {
    const size = Math.sqrt(dot(row, row) / row.length + eps);
    return row.map((value, i) => (value / size) * weight[i]!);
  });
}

/** The series, which loses digits for large numbers; there it is 1 to 8 digits. */
function erf(x: number): number {
  if (Math.abs(x) > 4) return Math.sign(x);
  let term = x;
  let total = x;
  for (let n = 1; n < 120; n++) {
    term *= (-x * x) / n;
    total += term / (2 * n + 1);
  }
  return (2 / Math.sqrt(Math.PI)) * total;
}

/** Functions by the names of published configurations. */
export const activations: Readonly<Record<string, (x: number) => number>> = {
  gelu: (x) => 0.5 * x * (1 + erf(x / Math.SQRT2)),
  gelu_new: (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
  gelu_pytorch_tanh: (x) =>
    0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
  relu: (x) => Math.max(x, 0),
  quick_gelu: (x) => x / (1 + Math.exp(-1.702 * x)),
  silu: (x) => x / (1 + Math.exp(-x)),
};

/** Attention of one head: `seen(i, j)` says whether position i sees position j. */
export function attend(
  query: Matrix,
  key: Matrix,
  value: Matrix,
  scale: number,
  seen: (i: number, j: number) => boolean,
): Matrix {
  return query.map((q, i) => {
    const scores = key.map((k, j) => (seen(i, j) ? scale * dot(q, k) : -Infinity));
    const largest = Math.max(...scores);
    const weights = scores.map((score) => (largest === -Infinity ? 0 : Math.exp(score - largest)));
    const total = weights.reduce((a, b) => a + b, 0);
    return value[0]!.map(
      (_, d) => weights.reduce((acc, weight, j) => acc + weight * value[j]![d]!, 0) / total,
    );
  });
}

/** Attention with several heads, each of `size` columns of queries, keys and values. */
export function attendHeads(
  [query, key, value]: readonly [Matrix, Matrix, Matrix],
  size: number,
  scale: number,
  seen: (i: number, j: number) => boolean,
): Matrix {
  const heads = Array.from({ length: query[0]!.length / size }, (_, h) =>
    attend(head(query, h, size), head(key, h, size), head(value, h, size), scale, seen),
  );
  return sideBySide(heads);
}

/** The columns of head `h` of `size`. */
export function head(x: Matrix, h: number, size: number): Matrix {
  return x.map((row) => row.slice(h * size, (h + 1) * size));
}

/** Heads side by side. */
export function sideBySide(heads: readonly Matrix[]): Matrix {
  return heads[0]!.map((_, i) => heads.flatMap((one) => one[i]!));
}
