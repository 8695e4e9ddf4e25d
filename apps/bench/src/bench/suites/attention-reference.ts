/** The error of causal attention against float64, on some of its rows, so that any length can be judged. */

import type { AttentionTask } from "../peers/peer.js";

/** Rows of each head that are computed again, spread over the whole length. */
const judgedRows = 16;

/** Row `i` of head `head` in float64: of the output, or of the gradient of q when all outputs are summed. */
function exactRow(
  { kind, length, dim, backward }: AttentionTask,
  [q, k, v]: readonly Float32Array[],
  head: number,
  row: number,
): Float64Array {
  const scale = 1 / Math.sqrt(dim);
  const start = (head * length + row) * dim;
  const scores = new Float64Array(row + 1);
  const sums = new Float64Array(row + 1);
  for (let j = 0; j <= row; j++) {
    const place = (head * length + j) * dim;
    for (let d = 0; d < dim; d++) {
      scores[j]! += scale * q![start + d]! * k![place + d]!;
      sums[j]! += v![place + d]!;
    }
  }
  // The output is Σⱼ weightⱼ vⱼ, the gradient Σⱼ weightⱼ kⱼ.
  let weights: Float64Array;
  if (kind === "exact" || kind === "softmax") {
    const largest = scores.reduce((a, b) => Math.max(a, b), -Infinity);
    const powers = scores.map((score) => Math.exp(score - largest));
    const total = powers.reduce((a, b) => a + b, 0);
    const shares = powers.map((power) => power / total);
    const mean = shares.reduce((sum, share, j) => sum + share * sums[j]!, 0);
    weights = backward ? shares.map((share, j) => scale * share * (sums[j]! - mean)) : shares;
  } else {
    weights = backward ? sums.map((sum) => scale * sum) : scores;
  }
  const mixed = backward ? k! : v!;
  const result = new Float64Array(dim);
  for (let j = 0; j <= row; j++) {
    const place = (head * length + j) * dim;
    for (let d = 0; d < dim; d++) result[d]! += weights[j]! * mixed[place + d]!;
  }
  return result;
}

/** Kinds whose rows are known: the others approximate one of them, or are another function. */
const judgedKinds = ["exact", "softmax", "trim", "trim original"];

/** The largest error in the judged rows, relative to their largest element; `null` for other kinds. */
export function attentionError(
  task: AttentionTask,
  inputs: readonly Float32Array[],
  actual: Float32Array,
): number | null {
  if (!judgedKinds.includes(task.kind) || task.isFull === true) return null;
  const { heads, length, dim } = task;
  let largest = 0;
  let error = 0;
  for (let head = 0; head < heads; head++) {
    for (let i = 1; i <= judgedRows; i++) {
      const row = Math.floor((i * length) / judgedRows) - 1;
      exactRow(task, inputs, head, row).forEach((value, d) => {
        largest = Math.max(largest, Math.abs(value));
        const difference = Math.abs(value - actual[(head * length + row) * dim + d]!);
        // Unlike >, it keeps a NaN.
        error = Math.max(error, difference);
      });
    }
  }
  return error / largest;
}
