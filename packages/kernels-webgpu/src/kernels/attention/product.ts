/**
 * Products of tiles, in text. Factors go through workgroup memory (`stage`), and every invocation has
 * four rows of sums in registers. `x` and `y` are its place in the tile.
 */

import type { ShaderBuilder } from "../../wgsl/shader.js";
import type { Factor } from "./rows.js";
import { chunkOf, strideOf, type ResultLayout, type Tile } from "./tile.js";

/** The parts of a vector: columns, or rows, of an invocation. */
export const parts = ["x", "y", "z", "w"] as const;

/** Declares workgroup memory, and the flag that says that some number was not finite. */
export function declareMemory(shader: ShaderBuilder, tile: Tile): void {
  shader.declare(`var<workgroup> stage: array<vec4f, ${tile.stage}>;
var<workgroup> weights: array<vec4f, ${tile.rows * tile.across}>;
var<workgroup> unusual: atomic<u32>;
fn isUnusual(value: vec4f) -> bool {
return any((bitcast<vec4u>(value) & vec4u(0x7f800000u)) == vec4u(0x7f800000u));
}
fn addProduct(a: vec4f, b: vec4f, sum: f32) -> f32 {
return a.x * b.x + (a.y * b.y + (a.z * b.z + (a.w * b.w + sum)));
}`);
}

/** Statements that all bodies begin with. */
export function beginning({ across }: Tile): string {
  return `let x = lane % ${across};
let y = lane / ${across};
if (lane == 0) { atomicStore(&unusual, 0u); }`;
}

/** The place, in its block, of column `part` of an invocation: neighbours have neighbouring columns. */
export function columnAt({ across }: Tile, x: string, part: string | number): string {
  return `${x} + ${part} * ${across}`;
}

/**
 * Statements that declare `name0` … `name3`: the products of the rows of `left` from `first` on with
 * those of `right` from `column` on.
 */
export function scores(tile: Tile, name: string, left: Factor, right: Factor): string {
  const { rows, columns, across, invocations } = tile;
  const depth = chunkOf(left.size);
  const begin = rows * depth;
  const stride = strideOf(depth);
  const number = "start + at % " + depth + " * 4";
  return `${parts.map((_, r) => `var ${name}${r} = vec4f();`).join("\n")}
for (var start = 0; start < ${left.size}; start += ${4 * depth}) {
workgroupBarrier();
for (var at = lane; at < ${rows * depth}; at += ${invocations}) {
stage[at] = ${left.read(`first + at / ${depth}`, number)};
}
for (var at = lane; at < ${columns * depth}; at += ${invocations}) {
stage[${begin} + at / ${depth} * ${stride} + at % ${depth}] = ${right.read(`column + at / ${depth}`, number)};
}
workgroupBarrier();
for (var p = 0; p < ${depth}; p++) {
let ownRow = y * ${4 * depth} + p;
let ownColumn = ${begin} + x * ${stride} + p;
${parts.map((_, r) => `let left${r} = stage[ownRow + ${r * depth}];`).join("\n")}
${parts
  .map(
    (part, i) => `let right${i} = stage[ownColumn + ${i * across * stride}];
${parts.map((_, r) => `${name}${r}.${part} = addProduct(left${r}, right${i}, ${name}${r}.${part});`).join("\n")}`,
  )
  .join("\n")}
}
}`;
}

/** Sums of `weights` times rows, which stay in registers from block to block. */
export class Sums {
  readonly #tile: Tile;
  readonly #name: string;
  readonly #layout: ResultLayout;

  constructor(tile: Tile, name: string, layout: ResultLayout) {
    this.#tile = tile;
    this.#name = name;
    this.#layout = layout;
  }

  #each(statement: (sum: string, row: number, vector: number) => string): string {
    const vectors = Array.from({ length: this.#layout.each }, (_, j) => j);
    return vectors
      .flatMap((j) => parts.map((_, r) => statement(`${this.#name}${r}_${j}`, r, j)))
      .join("\n");
  }

  /** Statements that declare them. */
  declare(): string {
    return this.#each((sum) => `var ${sum} = vec4f();`);
  }

  /** Statements that multiply each row by its own factor. */
  multiply(factor: (row: number) => string): string {
    return this.#each((sum, r) => `${sum} *= ${factor(r)};`);
  }

  /** Statements that add the rows of `right` from `column` on, times the weights. */
  add(right: Factor): string {
    const { columns, across, invocations } = this.#tile;
    const { lanes, each, slices, chunk } = this.#layout;
    const width = lanes * each;
    const vectors = Array.from({ length: each }, (_, j) => j);
    const rights = (k: string | number): string =>
      vectors
        .map((j) => `let right${j} = stage[source + ${k} * ${width} + ${j * lanes}];`)
        .join("\n");
    // A weight of 0, as what is hidden has, takes nothing from a row that holds NaN or infinities.
    return `for (var start = 0; start < ${columns}; start += ${chunk}) {
workgroupBarrier();
for (var at = lane; at < ${chunk * width}; at += ${invocations}) {
let place = start + at / ${width};
let value = ${right.read(`column + ${columnAt(this.#tile, "place / 4", "place % 4")}`, `at % ${width} * 4`)};
stage[at] = value;
if (isUnusual(value)) { atomicStore(&unusual, 1u); }
}
workgroupBarrier();
let isUsual = atomicLoad(&unusual) == 0u;
for (var p = x / ${lanes}; p < ${chunk / 4}; p += ${slices}) {
let ownRow = y * ${4 * across} + start / 4 + p;
let source = p * ${4 * width} + x % ${lanes};
${parts.map((_, r) => `let left${r} = weights[ownRow + ${r * across}];`).join("\n")}
if (isUsual) {
${parts
  .map(
    (part, k) =>
      `{\n${rights(k)}\n${this.#each((sum, r, j) => `${sum} += left${r}.${part} * right${j};`)}\n}`,
  )
  .join("\n")}
} else {
for (var k = 0; k < 4; k++) {
${rights("k")}
${this.#each((sum, r, j) => `${sum} += select(left${r}[k] * right${j}, vec4f(), left${r}[k] == 0);`)}
}
}
}
}`;
  }

  /**
   * Statements that join the slices of the columns and `store(row, column, vector)` each row times
   * its factor. They go through `weights`, so that neighbours store neighbours.
   */
  finish(
    store: (row: string, column: string, value: string) => string,
    factor: (row: number) => string,
  ): string {
    const { rows, invocations } = this.#tile;
    const { lanes, each, slices } = this.#layout;
    const join = `for (var i = at + ${rows * lanes}; i < ${rows * lanes * slices}; i += ${rows * lanes}) { value += weights[i]; }`;
    return Array.from(
      { length: each },
      (_, j) => `workgroupBarrier();
{
let to = ((x / ${lanes}) * ${rows} + y * 4) * ${lanes} + x % ${lanes};
${parts.map((_, r) => `weights[to + ${r * lanes}] = ${this.#name}${r}_${j} * ${factor(r)};`).join("\n")}
}
workgroupBarrier();
for (var at = lane; at < ${rows * lanes}; at += ${invocations}) {
var value = weights[at];
${slices > 1 ? join : ""}
${store(`first + at / ${lanes}`, `(at % ${lanes} + ${j * lanes}) * 4`, "value")}
}`,
    ).join("\n");
  }
}
