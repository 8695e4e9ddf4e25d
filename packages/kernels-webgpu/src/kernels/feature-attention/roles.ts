/** Who are the rows, keys and values of scans; see `scan.ts`. */

import type { Operand } from "@x/tensor/device";
import type { Problem } from "./problem.js";
import type { Scan, States } from "./scan.js";
import type { Vectors } from "./vectors.js";

/** What a scan goes over, in which direction, and which sums it keeps. */
export interface Role extends Pick<Scan, "direction" | "added" | "rowSum" | "columnSum"> {
  readonly rows: Vectors;
  readonly keys: Vectors;
  readonly values: Vectors;
}

/** a: the features of queries. */
export function queryFeatures({ q, map, facts }: Problem): Vectors {
  const offsets = facts.queryOffsets;
  return { x: q, side: "query", size: map.features, map, offsets, factors: null };
}

/** κ: the features of keys. */
export function keyFeatures({ k, map, facts }: Problem): Vectors {
  const offsets = facts.keyOffsets;
  return { x: k, side: "key", size: map.features, map, offsets, factors: null };
}

/** v: values; 0 where a key takes no part. */
export function valueVectors({ v, keyMask, facts }: Problem): Vectors {
  const offsets = keyMask && facts.keyOffsets;
  return { x: v, side: "key", size: v.shape[3]!, map: null, offsets, factors: null };
}

/** dỹ: cotangents of the output divided by the sums of weights. */
export function cotangents({ facts }: Problem, dy: Operand): Vectors {
  const factors = facts.inverses;
  return { x: dy, side: "query", size: dy.shape[3]!, map: null, offsets: null, factors };
}

/** y: what queries read. */
export function outputRole(problem: Problem): Role {
  return {
    direction: "forward",
    rows: queryFeatures(problem),
    keys: keyFeatures(problem),
    values: valueVectors(problem),
    added: { numbers: problem.facts.shares, fades: false },
    rowSum: { coefficients: null, fades: false },
    columnSum: { coefficients: null, fades: true },
  };
}

/** da: the cotangents of the features of queries. */
export function queryCotangentRole(problem: Problem, dy: Operand): Role {
  return {
    direction: "forward",
    rows: cotangents(problem, dy),
    keys: valueVectors(problem),
    values: keyFeatures(problem),
    added: { numbers: problem.facts.corrections, fades: true },
    rowSum: { coefficients: null, fades: true },
    columnSum: { coefficients: null, fades: false },
  };
}

/** dκ: the cotangents of the features of keys. */
export function keyCotangentRole(problem: Problem, dy: Operand): Role {
  return {
    direction: "reverse",
    rows: valueVectors(problem),
    keys: cotangents(problem, dy),
    values: queryFeatures(problem),
    added: { numbers: problem.facts.corrections, fades: true },
    rowSum: { coefficients: problem.facts.corrections, fades: true },
    columnSum: null,
  };
}

/** dv: the cotangents of values; its column is the row of dκ. */
export function valueCotangentRole(problem: Problem, dy: Operand): Role {
  return {
    direction: "reverse",
    rows: keyFeatures(problem),
    keys: queryFeatures(problem),
    values: cotangents(problem, dy),
    added: { numbers: problem.facts.shares, fades: false },
    rowSum: { coefficients: problem.facts.shares, fades: false },
    columnSum: { coefficients: problem.facts.corrections, fades: true },
  };
}

/** The states of a scan whose keys and values are exchanged. */
export function exchanged({ matrix, column, row, corner }: States): States {
  const exchange = (numbers: readonly number[]): number[] => [
    ...numbers.slice(0, -2),
    ...numbers.slice(-2).reverse(),
  ];
  const { shape, strides } = matrix;
  return {
    matrix: { ...matrix, shape: exchange(shape), strides: exchange(strides) },
    column: row,
    row: column,
    corner,
  };
}
