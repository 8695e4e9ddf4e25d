/**
 * Products of tiles, in text. Factors go through workgroup memory (`stage`), and every invocation has
 * four rows of sums in registers. `x` and `y` are its place in the tile.
 */

import type { ShaderBuilder } from "../../wgsl/shader.js";
import { chunkOf, type ResultLayout, type Tile } from "./tile.js";

/** The parts of a vector: columns, or rows, of an invocation. */
export const parts = ["x", "y", "z", "w"] as const;

/** Rows that a product reads. */
export interface Factor {
  /** Numbers of a row. */
  readonly size: number;
  /** Four numbers of a row; see `RowAccess.reader`. */
  readonly read: (row: string, column: string) => string;
}

/** Declares workgroup memory, and the flag that says that some number was not finite. */
export function declareMemory(shader: ShaderBuilder, tile: Tile): void {
  shader.declare(`var<workgroup> stage: array<vec4f, ${tile.stage}>;
var<workgroup> weights: array<vec4f, ${tile.rows * tile.across}>;
var<workgroup> unusual: atomic<u32>;
fn isUnusual(value: vec4f) -> bool {
return any((bitcast<vec4u>(value) & vec4u(0x7f800000u)) == vec4u(0x7f800000u));
}`);
}

/** Statements that all bodies begin with. */
export function beginning({ across }: Tile): string {
  return `let x = lane % ${across};
let y = lane / ${across};
if (lane == 0) { atomicStore(&unusual, 0u); }`;
}

/**
 * Statements that declare `name0` … `name3`: the products of the rows of `left` from `first` on with
 * those of `right` from `column` on.
 */
export function scores(tile: Tile, name: string, left: Factor, right: Factor): string {
  const { rows, across, invocations } = tile;
  const depth = chunkOf(left.size);
  const begin = rows * depth;
  // An odd distance spreads what is stored over the banks of workgroup memory.
  const stride = across + 1;
  const turned = [0, 1, 2, 3].map((i) => right.read(`other + ${i}`, "part"));
  return `${parts.map((_, r) => `var ${name}${r} = vec4f();`).join("\n")}
for (var start = 0; start < ${left.size}; start += ${4 * depth}) {
workgroupBarrier();
for (var at = lane; at < ${rows * depth}; at += ${invocations}) {
stage[at] = ${left.read(`first + at / ${depth}`, `start + at % ${depth} * 4`)};
}
for (var at = lane; at < ${across * depth}; at += ${invocations}) {
let other = column + at / ${depth} * 4;
let part = start + at % ${depth} * 4;
let turned = transpose(mat4x4f(${turned.join(", ")}));
let to = ${begin} + at % ${depth} * ${4 * stride} + at / ${depth};
${parts.map((_, i) => `stage[to + ${i * stride}] = turned[${i}];`).join("\n")}
}
workgroupBarrier();
for (var p = 0; p < ${depth}; p++) {
${parts.map((_, r) => `let left${r} = stage[(y * 4 + ${r}) * ${depth} + p];`).join("\n")}
let source = ${begin} + p * ${4 * stride} + x;
${parts
  .map(
    (part, i) => `let right${i} = stage[source + ${i * stride}];
${parts.map((_, r) => `${name}${r} += left${r}.${part} * right${i};`).join("\n")}`,
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
    const weight = (r: number): string => `weights[(y * 4 + ${r}) * ${across} + start / 4 + p]`;
    const vectors = Array.from({ length: each }, (_, j) => j);
    const rights = (k: string | number): string =>
      vectors
        .map(
          (j) => `let right${j} = stage[(p * 4 + ${k}) * ${width} + x % ${lanes} + ${j * lanes}];`,
        )
        .join("\n");
    const steps = `for (var p = x / ${lanes}; p < ${chunk / 4}; p += ${slices}) {`;
    // A weight of 0, as what is hidden has, takes nothing from a row that holds NaN or infinities.
    return `for (var start = 0; start < ${columns}; start += ${chunk}) {
workgroupBarrier();
for (var at = lane; at < ${chunk * width}; at += ${invocations}) {
let value = ${right.read(`column + start + at / ${width}`, `at % ${width} * 4`)};
stage[at] = value;
if (isUnusual(value)) { atomicStore(&unusual, 1u); }
}
workgroupBarrier();
if (atomicLoad(&unusual) == 0u) {
${steps}
${parts.map((_, r) => `let left${r} = ${weight(r)};`).join("\n")}
${parts
  .map(
    (part, k) =>
      `{\n${rights(k)}\n${this.#each((s, r, j) => `${s} += left${r}.${part} * right${j};`)}\n}`,
  )
  .join("\n")}
}
} else {
${steps}
for (var k = 0; k < 4; k++) {
${rights("k")}
${parts
  .map((_, r) => {
    const own = vectors.map((j) => `${this.#name}${r}_${j} += left * right${j};`);
    return `{ let left = ${weight(r)}[k]; if (left != 0) { ${own.join(" ")} } }`;
  })
  .join("\n")}
}
}
}
}`;
  }

  /** Statements that join the slices of the columns and call `store(row, column, vector)`. */
  finish(store: (row: string, column: string, value: string, r: number) => string): string {
    const { rows } = this.#tile;
    const { lanes, slices } = this.#layout;
    const stores = this.#each((sum, r, j) =>
      store(`first + y * 4 + ${r}`, `(x + ${j * lanes}) * 4`, sum, r),
    );
    const place = (slice: string): string =>
      `((${slice}) * ${rows} + y * 4) * ${lanes} + x % ${lanes}`;
    const join = `for (var half = ${slices / 2}; half > 0; half /= 2) {
workgroupBarrier();
let slice = x / ${lanes};
if (slice >= half && slice < 2 * half) {
let to = ${place("slice - half")};
${this.#each((sum, r) => `weights[to + ${r * lanes}] = ${sum};`)}
}
workgroupBarrier();
if (slice < half) {
let source = ${place("slice")};
${this.#each((sum, r) => `${sum} += weights[source + ${r * lanes}];`)}
}
}
`;
    return `${slices > 1 ? join : ""}if (x < ${lanes}) {\n${stores}\n}`;
  }
}
