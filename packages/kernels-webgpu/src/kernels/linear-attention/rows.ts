/** Access to operands of [batch, heads, length, size] in vectors of four neighbours of a row. */

import type { Operand } from "@x/tensor/device";
import { constantCode } from "../../wgsl/functions.js";
import type { ShaderBuilder, Slot, Width } from "../../wgsl/shader.js";
import { indexIn, product } from "../view.js";

/** Whether all rows of a view are made of vectors that a shader can load at once. */
function hasVectors({ shape, strides, offset }: Operand): boolean {
  const last = shape.length - 1;
  const steps = strides.filter((_, axis) => axis < last && shape[axis] !== 1);
  return (
    product(shape) > 0 &&
    strides[last] === 1 &&
    [shape[last]!, offset, ...steps].every((number) => number % 4 === 0)
  );
}

/** The operands of a shader. A buffer is used in one width, whatever it is read as. */
export class RowAccess {
  readonly #shader: ShaderBuilder;
  readonly #single = new Set<number>();

  /** All operands; those `alone` are read number by number. */
  constructor(
    shader: ShaderBuilder,
    operands: readonly (Operand | null)[],
    alone: readonly Operand[] = [],
  ) {
    this.#shader = shader;
    for (const operand of operands) {
      if (operand !== null && !hasVectors(operand)) this.#single.add(operand.buffer);
    }
    for (const { buffer } of alone) this.#single.add(buffer);
  }

  #slot({ buffer }: Operand): [Slot, Width] {
    const width = this.#single.has(buffer) ? 1 : 4;
    return [this.#shader.slot(buffer, "float32", width), width];
  }

  /** Where the rows of a matrix begin; `coordinates` say which matrix. */
  base(operand: Operand, coordinates: readonly string[]): string {
    return indexIn(operand, [...coordinates, "0", "0"]);
  }

  /** Number `column` of a row as an expression; of operands that are read number by number. */
  number(operand: Operand, base: string, row: string, column: string): string {
    const [rowStride, columnStride] = operand.strides.slice(-2);
    const at = `${base} + (${row}) * ${rowStride} + (${column}) * ${columnStride}`;
    return this.#shader.load(this.#slot(operand)[0], at);
  }

  /**
   * Declares `name(base, row, end, column)`: the four numbers of a row from `column` on times `scale`,
   * with 0 beyond the row, and in rows from `end` on. With `place` row number `row` is at
   * `place(row)`.
   */
  declareLoad(name: string, operand: Operand, scale: number = 1, place: string = ""): void {
    const [slot, width] = this.#slot(operand);
    const size = operand.shape.at(-1)!;
    const [rowStride, columnStride] = operand.strides.slice(-2);
    const load = (at: string): string => this.#shader.load(slot, at);
    const numbers = `for (var i = 0; i < min(4, ${size} - column); i++) { x[i] = ${load(`at + i * ${columnStride}`)}; }`;
    const factor = scale === 1 ? "" : ` * ${constantCode(scale, "float32", this.#shader.helpers)}`;
    this.#shader.declare(`fn ${name}(base: i32, row: i32, end: i32, column: i32) -> vec4f {
var x = vec4f(0.0);
if (row < end && column < ${size}) {
let at = base + ${place}(row) * ${rowStride} + column * ${columnStride};
${width === 4 ? `x = ${load("at >> 2")};` : numbers}
}
return x${factor};
}`);
  }

  /** Declares `name(base, row, column, value)`, which stores what of four numbers is in the row. */
  declareStore(name: string, operand: Operand, place: string = ""): void {
    const [slot, width] = this.#slot(operand);
    const size = operand.shape.at(-1)!;
    const store = (at: string, value: string): string => this.#shader.store(slot, at, value);
    const numbers = `for (var i = 0; i < min(4, ${size} - column); i++) { ${store("at + i", "value[i]")} }`;
    this.#shader.declare(`fn ${name}(base: i32, row: i32, column: i32, value: vec4f) {
if (column < ${size}) {
let at = base + ${place}(row) * ${operand.strides.at(-2)} + column;
${width === 4 ? store("at >> 2", "value") : numbers}
}
}`);
  }
}
