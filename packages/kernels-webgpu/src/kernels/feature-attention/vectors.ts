/**
 * Rows of matrices in blocks of four rows and four numbers: plain ones, or their features, which
 * are computed while rows are loaded.
 */

import type { Operand } from "@x/tensor/device";
import { constantCode } from "../../wgsl/functions.js";
import type { ShaderBuilder } from "../../wgsl/shader.js";
import type { RowAccess } from "../linear-attention/rows.js";
import { type FeatureMap, hugeOffset } from "./problem.js";

/** The rows of [batch, heads, length, size], or their features. */
export interface Vectors {
  readonly x: Operand;
  /** Whether rows are numbered in the order of queries. */
  readonly side: "query" | "key";
  /** How many numbers a vector has. */
  readonly size: number;
  /** `null`: plain numbers. */
  readonly map: FeatureMap | null;
  /** Of features: what is taken from the products of a row; [batch, heads, length]. */
  readonly offsets: Operand | null;
  /** What rows are multiplied by, [batch, heads, length]. */
  readonly factors: Operand | null;
}

/** The four numbers, or rows, of a block. */
export const four = [0, 1, 2, 3] as const;

/** Rows of all matrices before those of `matrix`, an expression, and row `row` of it. */
export function loadFact(
  shader: ShaderBuilder,
  fact: Operand,
  matrix: string,
  row: string,
): string {
  const slot = shader.slot(fact.buffer, "float32");
  return shader.load(slot, `${fact.offset} + (${matrix}) * ${fact.shape.at(-1)} + ${row}`);
}

/** Declares `decay(x)`, e^−|x|, and `power(x)`, e^x for x that are at most about 0. */
export function declarePowers(shader: ShaderBuilder): void {
  // Neither overflow nor infinities: what is that small is 0.
  shader.declare(`fn power(x: vec4f) -> vec4f { return exp(max(x, vec4f(-104.0))); }
fn decay(x: vec4f) -> vec4f { return power(-abs(x)); }`);
}

/**
 * Declares `nameLogits(base, row, end, column)`: of four rows the products with four rows of the
 * projection, times the scale; without a projection their own numbers.
 */
export function declareLogits(
  shader: ShaderBuilder,
  access: RowAccess,
  name: string,
  x: Operand,
  { projection, scale, features }: FeatureMap,
  place: string,
): void {
  access.declareLoad(`${name}Row`, x, 1, place);
  const row = (i: number, column: string): string => `${name}Row(base, row + ${i}, end, ${column})`;
  if (projection === null) {
    shader.declare(`fn ${name}Logits(base: i32, row: i32, end: i32, column: i32) -> mat4x4f {
return mat4x4f(${four.map((i) => row(i, "column")).join(", ")});
}`);
    return;
  }
  const factor = constantCode(scale, "float32", shader.helpers);
  const direction = (i: number): string =>
    `projection(${projection.offset}, column + ${i}, ${features}, at)`;
  shader.declare(`fn ${name}Logits(base: i32, row: i32, end: i32, column: i32) -> mat4x4f {
${four.map((i) => `var logits${i} = vec4f();`).join("\n")}
for (var at = 0; at < ${x.shape[3]}; at += 4) {
let directions = mat4x4f(${four.map(direction).join(", ")});
${four.map((i) => `logits${i} += ${row(i, "at")} * directions;`).join("\n")}
}
return mat4x4f(${four.map((i) => `logits${i}`).join(", ")}) * ${factor};
}`);
}

/**
 * Declares `name(base, matrix, row, end, column)`: four rows from `row` on, of each four numbers from
 * `column` on, as columns of a matrix; 0 beyond rows and in rows from `end` on. `base` is where the
 * matrix begins, `matrix` its number.
 */
export function declareVectors(
  shader: ShaderBuilder,
  access: RowAccess,
  name: string,
  { x, map, offsets, factors, size, side }: Vectors,
  place: string,
): void {
  const placed = place === "" ? "row" : `${place}(row)`;
  const huge = constantCode(hugeOffset / 2, "float32", shader.helpers);
  if (map === null) access.declareLoad(`${name}Row`, x, 1, place);
  else declareLogits(shader, access, name, x, map, place);
  const finish: string[] = [];
  if (map !== null) {
    const epsilon =
      side === "query" && map.projection !== null
        ? ` + ${constantCode(map.epsilon, "float32", shader.helpers)}`
        : "";
    finish.push(
      `let offset = ${loadFact(shader, offsets!, "matrix", placed)};
if (offset > ${huge}) { return vec4f(); }
y = select(power(y - offset)${epsilon}, vec4f(), vec4i(0, 1, 2, 3) + column >= vec4i(${size}));`,
    );
  } else if (offsets !== null) {
    finish.push(
      `if (${loadFact(shader, offsets, "matrix", placed)} > ${huge}) { return vec4f(); }`,
    );
  }
  if (factors) finish.push(`y *= ${loadFact(shader, factors, "matrix", placed)};`);
  const rows = four.map((i) => {
    const numbers = map === null ? `${name}Row(base, row + ${i}, end, column)` : `logits[${i}]`;
    return finish.length === 0
      ? numbers
      : `${name}Finish(${numbers}, matrix, row + ${i}, end, column)`;
  });
  if (finish.length > 0) {
    shader.declare(`fn ${name}Finish(x: vec4f, matrix: i32, row: i32, end: i32, column: i32) -> vec4f {
if (row >= end) { return vec4f(); }
var y = x;
${finish.join("\n")}
return y;
}`);
  }
  shader.declare(`fn ${name}(base: i32, matrix: i32, row: i32, end: i32, column: i32) -> mat4x4f {
${map === null ? "" : `let logits = ${name}Logits(base, row, end, column);`}
return mat4x4f(${rows.join(", ")});
}`);
}

/** Declares `projection`, where features have one. */
export function declareProjection(access: RowAccess, { projection }: FeatureMap): void {
  if (projection !== null) access.declareLoad("projection", projection);
}
