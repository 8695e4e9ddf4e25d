/** The product to compute, as numbers: sizes, strides and batch axes, brought to the simplest form. */

import type { Operand } from "../../../plan/schedule.js";
import { bytesPerElement, type DType } from "../../../tensor/dtype.js";
import { sizeOf } from "../../../tensor/shape.js";

/** One matrix of each batch: strides in elements. */
export interface MatrixView {
  readonly buffer: number;
  /** What its numbers are kept as; the right matrix may be narrower than float32. */
  readonly dtype: DType;
  /** Byte offset of the first element in the buffer. */
  readonly offset: number;
  readonly rowStride: number;
  readonly columnStride: number;
}

/** A leading axis: its size and how far each operand moves along it, in elements. */
export interface BatchAxis {
  readonly size: number;
  readonly left: number;
  readonly right: number;
}

/**
 * `output = left × right`, `m × k` by `k × n`, for each index of the batch axes. The output is dense
 * and row-major, batch first.
 */
export interface Problem {
  readonly m: number;
  readonly n: number;
  readonly k: number;
  /** Product of the sizes of the batch axes. */
  readonly batch: number;
  readonly axes: readonly BatchAxis[];
  readonly left: MatrixView;
  readonly right: MatrixView;
  /** Plan buffer of the output. */
  readonly output: number;
}

function matrix({ buffer, dtype, offset, shape, strides }: Operand): MatrixView {
  const rank = shape.length;
  // The stride of an axis of size 1 means nothing; 1 lets the fast paths take it.
  const stride = (axis: number): number => (shape[axis] === 1 ? 1 : strides[axis]!);
  const [rows, columns] = [rank - 2, rank - 1];
  return {
    buffer,
    dtype,
    offset: offset * bytesPerElement(dtype),
    rowStride: shape[rows] === 1 && shape[columns]! > 1 ? 0 : stride(rows),
    columnStride: shape[columns] === 1 && shape[rows]! > 1 ? 0 : stride(columns),
  };
}

/** The problem of a matrix product of two operands with equal leading axes. */
export function matrixProblem(left: Operand, right: Operand, output: number): Problem {
  const rank = left.shape.length;
  let m = left.shape[rank - 2]!;
  const k = left.shape[rank - 1]!;
  const n = right.shape[rank - 1]!;
  const axes: BatchAxis[] = [];
  for (let axis = rank - 3; axis >= 0; axis--) {
    const size = left.shape[axis]!;
    if (size === 1) continue;
    const next = { size, left: left.strides[axis]!, right: right.strides[axis]! };
    const inner = axes[0];
    // Neighbouring axes that both operands walk evenly are one axis.
    if (inner && next.left === inner.size * inner.left && next.right === inner.size * inner.right) {
      axes[0] = { size: size * inner.size, left: inner.left, right: inner.right };
    } else {
      axes.unshift(next);
    }
  }
  const leftMatrix = matrix(left);
  const rightMatrix = matrix(right);
  // A right matrix shared along the innermost axis: its rows are rows of one larger left matrix.
  let { rowStride } = leftMatrix;
  for (let inner = axes.at(-1); inner?.right === 0; inner = axes.at(-1)) {
    if (m === 1) rowStride = inner.left;
    else if (inner.left !== m * rowStride) break;
    m *= inner.size;
    axes.pop();
  }
  return {
    m,
    n,
    k,
    batch: sizeOf(axes.map(({ size }) => size)),
    axes,
    left: { ...leftMatrix, rowStride },
    right: rightMatrix,
    output,
  };
}

/** The same product transposed: only where the output is a vector is that the same memory. */
export function transposed(problem: Problem): Problem {
  const turn = ({ rowStride, columnStride, ...rest }: MatrixView): MatrixView => ({
    ...rest,
    rowStride: columnStride,
    columnStride: rowStride,
  });
  return {
    ...problem,
    m: problem.n,
    n: problem.m,
    axes: problem.axes.map(({ size, left, right }) => ({ size, left: right, right: left })),
    left: turn(problem.right),
    right: turn(problem.left),
  };
}

/**
 * Whether `count` numbers that are `stride` apart stay in the caches together. Those whose addresses
 * differ by multiples of a large power of two fall onto few sets, and evict each other.
 */
export function spreads(stride: number, count: number): boolean {
  const bytes = 4 * Math.abs(stride);
  const powerOfTwo = bytes & -bytes;
  return powerOfTwo < 4096 && powerOfTwo * count <= 1 << 20;
}
