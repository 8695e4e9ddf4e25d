/** Lowers products of few rows or few columns to the vector kernel. */

import { bytesPerElement } from "../../../tensor/dtype.js";
import type { Launch } from "../../launch.js";
import { addressOfBuffer, argumentWords } from "../arguments.js";
import { loopWords } from "../strided.js";
import { type Problem, spreads, transposed } from "./problem.js";
import { mostVectorRows, vectorArguments, vectorCode, type VectorSpec } from "./vector.js";

interface Choice {
  readonly problem: Problem;
  readonly form: VectorSpec["form"];
  /** Strides of the output in elements. */
  readonly outputRow: number;
  readonly outputColumn: number;
}

// Up to this number of rows or columns the vector kernel is faster than any other.
const alwaysRows = 4;

function choose(problem: Problem): Choice | null {
  const { m, n, k, right, left } = problem;
  if (m <= mostVectorRows && m <= n) {
    const strides = { problem, outputRow: n, outputColumn: 1 };
    // A few rows more are for tiles, if these can read the large matrix as it is.
    if (right.columnStride === 1 && (m <= alwaysRows || !spreads(right.rowStride, k))) {
      return { ...strides, form: "scale" };
    }
    if (right.columnStride !== 1 && right.rowStride === 1) return { ...strides, form: "dot" };
  }
  if (n <= alwaysRows && n < m && right.dtype === "float32") {
    const strides = { problem: transposed(problem), outputRow: 1, outputColumn: n };
    if (left.columnStride === 1) return { ...strides, form: "dot" };
    if (left.rowStride === 1 && n === 1) return { ...strides, form: "scale" };
  }
  return null;
}

// Bytes of the large matrix in one item: some microseconds from memory.
const itemBytes = 128 * 1024;
// Fewest columns of an item that scales rows: long enough for the machine to read ahead.
const fewestColumns = 256;

/** The launches of a product of few rows or columns, or `null` where the vector kernel cannot do it. */
export function lowerVector(original: Problem): Launch[] | null {
  const choice = choose(original);
  if (!choice) return null;
  const { problem, form, outputRow, outputColumn } = choice;
  const { m, n, k, batch, axes, left, right, output } = problem;
  const rightBytes = bytesPerElement(right.dtype);
  const gather = form === "dot" && left.columnStride !== 1;
  let blockColumns = Math.ceil(itemBytes / (4 * k));
  if (form === "scale") blockColumns = Math.max(blockColumns, fewestColumns);
  blockColumns = Math.ceil(blockColumns / 16) * 16;
  blockColumns = Math.min(n, blockColumns);
  const columnBlocks = Math.ceil(n / blockColumns);
  return [
    {
      name: `gemm ${batch > 1 ? `${batch}x` : ""}${original.m}x${original.n}x${k}`,
      code: vectorCode({ form, rows: m, gather, rightType: right.dtype }),
      arguments: [
        ...argumentWords(vectorArguments, {
          left: addressOfBuffer(left.buffer, left.offset),
          right: addressOfBuffer(right.buffer, right.offset),
          output: addressOfBuffer(output),
          leftRowStride: left.rowStride * 4,
          leftColumnStride: left.columnStride * 4,
          rightStride: (form === "scale" ? right.rowStride : right.columnStride) * rightBytes,
          outputRowStride: outputRow * 4,
          outputColumnStride: outputColumn * 4,
          outputMatrixBytes: m * n * 4,
          n,
          k,
          blockColumns,
          columnBlocks,
        }),
        ...loopWords({
          sizes: axes.map(({ size }) => size),
          strides: [axes.map((axis) => axis.left * 4), axes.map((axis) => axis.right * rightBytes)],
        }),
      ],
      items: batch * columnBlocks,
      grain: Math.max(1, Math.floor(itemBytes / (4 * k * blockColumns))),
      scratchBytes: gather ? m * k * 4 : 0,
      reads: [left.buffer, right.buffer],
      writes: [output],
      work: 2 * batch * m * n * k,
    },
  ];
}
