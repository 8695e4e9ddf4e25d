/**
 * Rows of tensors: those of the queries, or of the keys, that belong to one key head.
 *
 * The queries of all heads of a group use the same keys, and so they are rows of the same tiles: all
 * heads of the first query, all of the second, and so on.
 */

import type { Operand } from "@x/tensor/device";
import type { ShaderBuilder } from "../../wgsl/shader.js";
import { indexIn } from "../view.js";
import type { Problem } from "./problem.js";

/** Rows of a key head; expressions may use `batch` and `head`, the number of the key head. */
export interface Rows {
  /** How many there are. */
  readonly count: number;
  /** Rows that are the same query of different heads; 1 for keys. */
  readonly group: number;
}

/** The rows of queries. */
export function queryRows({ queries, group }: Problem): Rows {
  return { count: queries * group, group };
}

/** The rows of keys. */
export function keyRows({ keys }: Problem): Rows {
  return { count: keys, group: 1 };
}

/** Batch, head and place of a row, as expressions. */
export function placeOf({ group }: Rows, row: string): readonly [string, string, string] {
  if (group === 1) return ["batch", "head", row];
  return ["batch", `head * ${group} + (${row}) % ${group}`, `(${row}) / ${group}`];
}

/** Rows that products read. */
export interface Factor {
  /** Numbers of a row. */
  readonly size: number;
  /**
   * Four numbers of row `row` from `column` on: a `vec4f`, with zeros beyond the row and beyond the
   * rows.
   */
  readonly read: (row: string, column: string) => string;
}

/** Whether four neighbours of a row lie side by side and begin where a vector does. */
function holdsVectors({ shape, strides, offset }: Operand): boolean {
  const isWhole = (elements: number, axis: number): boolean =>
    shape[axis] === 1 || elements % 4 === 0;
  const last = shape.length - 1;
  return (
    shape[last]! % 4 === 0 &&
    strides[last] === 1 &&
    offset % 4 === 0 &&
    strides.slice(0, last).every(isWhole)
  );
}

/** Reads and writes rows in fours: as vectors where all uses of a buffer in the shader allow it. */
export class RowAccess {
  readonly #shader: ShaderBuilder;
  readonly #single: ReadonlySet<number>;

  /** All `operands` of the shader whose rows are used, and `others` that are used in another way. */
  constructor(
    shader: ShaderBuilder,
    operands: readonly Operand[],
    others: readonly (Operand | null)[],
  ) {
    this.#shader = shader;
    const single = [...operands.filter((operand) => !holdsVectors(operand)), ...others];
    this.#single = new Set(single.flatMap((operand) => operand?.buffer ?? []));
  }

  /** Makes rows readable, under the name of a function. */
  factor(name: string, operand: Operand, rows: Rows): Factor {
    const width = this.#single.has(operand.buffer) ? 1 : 4;
    const slot = this.#shader.slot(operand.buffer, operand.dtype, width);
    const size = operand.shape[3]!;
    const four = `return ${this.#shader.load(slot, "at >> 2u")};`;
    const ones = ["x", "y", "z", "w"].map((part, i) => {
      const load = `value.${part} = ${this.#shader.load(slot, `at + ${i}`)};`;
      return i === 0 ? load : `if (column + ${i} < ${size}) { ${load} }`;
    });
    this.#shader.declare(`fn ${name}(batch: i32, head: i32, row: i32, column: i32) -> vec4f {
var value = vec4f();
if (row >= ${rows.count} || column >= ${size}) { return value; }
let at = ${indexIn(operand, [...placeOf(rows, "row"), "column"])};
${width === 4 ? four : `${ones.join("\n")}\nreturn value;`}
}`);
    return { size, read: (row, column) => `${name}(batch, head, ${row}, ${column})` };
  }

  /** Makes callable, and gives, a statement that stores what there is of a `vec4f` in a row. */
  writer(
    name: string,
    operand: Operand,
    rows: Rows,
  ): (row: string, column: string, value: string) => string {
    const width = this.#single.has(operand.buffer) ? 1 : 4;
    const slot = this.#shader.slot(operand.buffer, operand.dtype, width);
    const size = operand.shape[3]!;
    const four = this.#shader.store(slot, "at >> 2u", "value");
    const ones = ["x", "y", "z", "w"].map((part, i) => {
      const store = this.#shader.store(slot, `at + ${i}`, `value.${part}`);
      return i === 0 ? store : `if (column + ${i} < ${size}) { ${store} }`;
    });
    this.#shader.declare(`fn ${name}(batch: i32, head: i32, row: i32, column: i32, value: vec4f) {
if (row >= ${rows.count} || column >= ${size}) { return; }
let at = ${indexIn(operand, [...placeOf(rows, "row"), "column"])};
${width === 4 ? four : ones.join("\n")}
}`);
    return (row, column, value) => `${name}(batch, head, ${row}, ${column}, ${value});`;
  }
}
