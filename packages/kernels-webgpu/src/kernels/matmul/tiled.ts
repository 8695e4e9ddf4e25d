/**
 * Large products: a workgroup computes a tile of the result, each invocation a block of it in named
 * registers, from tiles of both factors in workgroup memory.
 *
 * While a step is computed, the next tiles are on their way from memory in registers. Tiles lie in
 * workgroup memory as vectors of four rows or columns, one line for each step along the summed axis,
 * so that the inner loop reads nothing but vectors; what lies in memory along the summed axis is
 * turned round in registers, four by four. Beyond a matrix tiles are filled with zeros, so that the
 * inner loop knows no edges.
 */

import type { Launch } from "../../launch.js";
import type { LoweringContext } from "../../native.js";
import type { ShaderBuilder } from "../../wgsl/shader.js";
import { coordinatesOf } from "../view.js";
import { Factor, widthsOf, nameOf, type Problem } from "./problem.js";
import { finalResult, PartialSums, type Result } from "./result.js";
import { invocationsOf, tileBytes, type Tiling } from "./tiling.js";

const four = [0, 1, 2, 3];
const lanes = ["x", "y", "z", "w"];
/** Rows of tiles that are computed together: what they read of the right factor is still in caches. */
const bandRows = 8;

/** The launches of a product that is computed in tiles. */
export function lowerTiled(
  problem: Problem,
  tiling: Tiling,
  context: LoweringContext,
): readonly Launch[] {
  if (tiling.parts === 1) {
    const write = (shader: ShaderBuilder): Result => finalResult(shader, problem, true);
    return [new TiledProduct(problem, tiling, context, write).launch()];
  }
  const sums = new PartialSums(problem, tiling.parts, context);
  const write = (shader: ShaderBuilder): Result => sums.result(shader);
  const product = new TiledProduct({ ...problem, epilogue: null }, tiling, context, write);
  return [product.launch(), sums.join(context)];
}

/** The tile of a factor in workgroup memory. */
interface Tile {
  readonly factor: Factor;
  /** Its rows or columns. */
  readonly size: number;
  /** Where it begins, in vectors. */
  readonly offset: number;
  /** Name of the row or column of the result where it begins. */
  readonly first: string;
}

class TiledProduct {
  readonly #problem: Problem;
  readonly #tiling: Tiling;
  readonly #shader: ShaderBuilder;
  readonly #result: Result;
  readonly #left: Tile;
  readonly #right: Tile;
  readonly #invocations: number;
  /** Vectors of both tiles. */
  readonly #vectors: number;
  /** Pairs of tiles in workgroup memory: with two, one is filled while the other is read. */
  readonly #buffers: 1 | 2;
  /** Steps of `depth` along a part of the summed axis. */
  readonly #steps: number;

  constructor(
    problem: Problem,
    tiling: Tiling,
    context: LoweringContext,
    write: (shader: ShaderBuilder) => Result,
  ) {
    const shader = context.shader();
    const { rows, columns, depth, parts } = tiling;
    const widths = widthsOf(shader, problem);
    this.#problem = problem;
    this.#tiling = tiling;
    this.#shader = shader;
    const left = new Factor(shader, "left", problem.left, widths.left);
    const right = new Factor(shader, "right", problem.right, widths.right);
    this.#left = { factor: left, size: rows, offset: 0, first: "first_row" };
    const offset = (rows * depth) / 4;
    this.#right = { factor: right, size: columns, offset, first: "first_column" };
    this.#result = write(shader);
    this.#invocations = invocationsOf(tiling);
    this.#vectors = ((rows + columns) * depth) / 4;
    this.#steps = Math.ceil(Math.ceil(problem.k / depth) / parts);
    const hasRoom = 2 * tileBytes(tiling) <= context.workgroupBytes;
    this.#buffers = hasRoom && this.#steps > 1 ? 2 : 1;
  }

  launch(): Launch {
    const { m, n, batch, batchShape } = this.#problem;
    const { rows, columns, depth, parts } = this.#tiling;
    const shader = this.#shader;
    const [across, down] = [Math.ceil(n / columns), Math.ceil(m / rows)];
    shader.declare(`var<workgroup> tiles: array<vec4f, ${this.#vectors * this.#buffers}>;`);
    for (const { factor } of [this.#left, this.#right]) this.#declareElement(factor);
    const registers = four.map((i) => `var next${i} = vec4f();`);
    const isAlone = this.#buffers === 1;
    const body = `let tile = group % ${across * down};
let part = (group / ${across * down}) % ${parts};
let batch = group / ${across * down * parts};
${coordinatesOf("batch", batchShape, "b")}
${this.#left.factor.base()}
${this.#right.factor.base()}
let band = tile / ${bandRows * across} * ${bandRows};
let height = min(${bandRows}, ${down} - band);
let in_band = tile - band * ${across};
let first_row = (band + in_band % height) * ${rows};
let first_column = (in_band / height) * ${columns};
let x = lane % ${this.#sideX};
let y = lane / ${this.#sideX};
${this.#sums.map((sum) => `var ${sum} = vec4f();`).join("\n")}
for (var step = 0; step <= ${this.#steps}; step++) {
${registers.join("\n")}
if (step < ${this.#steps}) {
let start = (part * ${this.#steps} + step) * ${depth};
${this.#inTurn((tile, square) => this.#fetch(tile, square))}
}
if (step > 0) {
let tiles_at = ${isAlone ? "0" : `((step - 1) & 1) * ${this.#vectors}`};
${this.#multiply()}
}
${isAlone ? "workgroupBarrier();" : ""}
if (step < ${this.#steps}) {
let tiles_at = ${isAlone ? "0" : `(step & 1) * ${this.#vectors}`};
${this.#inTurn((tile, square) => this.#keep(tile, square))}
}
workgroupBarrier();
}
${this.#store()}`;
    return shader.perGroup(
      nameOf(this.#problem),
      across * down * parts * batch,
      this.#invocations,
      body,
    );
  }

  /** Invocations along the columns of a tile. */
  get #sideX(): number {
    return this.#tiling.columns / this.#tiling.blockColumns;
  }

  /** Invocations along the rows of a tile. */
  get #sideY(): number {
    return this.#tiling.rows / this.#tiling.blockRows;
  }

  /** Names of the registers of a block: a row of vectors after the other. */
  get #sums(): readonly string[] {
    const { blockRows, blockColumns } = this.#tiling;
    return Array.from({ length: (blockRows * blockColumns) / 4 }, (_, i) => `sum${i}`);
  }

  /** Declares an element that is 0 beyond the matrix; without branches, so that loads do not wait. */
  #declareElement(factor: Factor): void {
    if (factor.width === 4) return;
    const { side, layout } = factor;
    const { outer, summed } = layout.sizes;
    const element = factor.at(`min(outer, ${outer - 1})`, `min(p, ${summed - 1})`);
    this.#shader.declare(`fn ${side}_element(${side}_base: i32, outer: i32, p: i32) -> f32 {
return select(0.0, ${element}, outer < ${outer} && p < ${summed});
}`);
  }

  /**
   * What an invocation does with its square of 4 × 4 elements: the first invocations take those of the
   * left tile, the next those of the right one. There are as many squares as invocations, or fewer.
   */
  #inTurn(write: (tile: Tile, square: string) => string): string {
    const [first, all] = [this.#right.offset / 4, this.#vectors / 4];
    const rest = all < this.#invocations ? `if (lane < ${all})` : "";
    return `if (lane < ${first}) {
${write(this.#left, "lane")}
} else ${rest} {
${write(this.#right, `(lane - ${first})`)}
}`;
  }

  /** The place of square `square` in its tile, such that neighbours in memory go to neighbours. */
  #place({ factor, size }: Tile, square: string): string {
    const along = this.#tiling.depth / 4;
    return factor.layout.near === "summed"
      ? `let quad = ${square} / ${along};\nlet depth = ${square} % ${along} * 4;`
      : `let quad = ${square} % ${size / 4};\nlet depth = ${square} / ${size / 4} * 4;`;
  }

  /** Reads the square of an invocation into registers. */
  #fetch(tile: Tile, square: string): string {
    const { factor, size, first } = tile;
    const { sizes, near } = factor.layout;
    const begin = `${this.#place(tile, square)}\nlet outer = ${first} + quad * 4;\nlet p = start + depth;`;
    const lines = four.map((i) => {
      const register = `next${i}`;
      if (factor.width === 1) {
        const elements = four.map(
          (lane) => `${factor.side}_element(${factor.side}_base, outer + ${lane}, p + ${i})`,
        );
        return `${register} = vec4f(${elements.join(", ")});`;
      }
      const [outer, summed] = near === "summed" ? [`outer + ${i}`, "p"] : ["outer", `p + ${i}`];
      const { parts, depth } = this.#tiling;
      const isWhole = sizes.summed === parts * this.#steps * depth;
      const conditions = [
        ...(sizes.outer % size === 0 ? [] : [`${outer} < ${sizes.outer}`]),
        ...(isWhole ? [] : [`${summed} < ${sizes.summed}`]),
      ];
      const read = `${register} = ${factor.at(outer, summed)};`;
      return conditions.length === 0 ? read : `if (${conditions.join(" && ")}) { ${read} }`;
    });
    return [begin, ...lines].join("\n");
  }

  /** Puts the square of an invocation into workgroup memory. */
  #keep(tile: Tile, square: string): string {
    const { factor, size, offset } = tile;
    const isTurned = factor.width === 4 && factor.layout.near === "summed";
    const line = size / 4;
    const begin = `${this.#place(tile, square)}\nlet at = tiles_at + ${offset} + depth * ${line} + (quad${this.#swizzle(tile, "depth")});`;
    const lines = four.map((i) => {
      const turned = four.map((row) => `next${row}.${lanes[i]}`);
      const value = isTurned ? `vec4f(${turned.join(", ")})` : `next${i}`;
      return `tiles[at + ${i * line}] = ${value};`;
    });
    return [begin, ...lines].join("\n");
  }

  /**
   * Neighbouring invocations that put away neighbours along the summed axis write to lines that are
   * a multiple of all banks apart: each four lines are shifted against the next, so that they do not
   * meet in one bank.
   */
  #swizzle({ factor }: Tile, depth: string): string {
    return factor.layout.near === "summed" ? ` ^ (((${depth} >> 2) & 3) << 1)` : "";
  }

  /** Multiplies a step's tiles into the sums. */
  #multiply(): string {
    const { blockRows, blockColumns, depth } = this.#tiling;
    // Vectors of a block are a whole side of invocations apart: neighbours read neighbours.
    const read = (tile: Tile, name: string, count: number, own: string, side: number): string[] =>
      Array.from({ length: count }, (_, i) => {
        const quad = i === 0 ? own : `(${own} + ${i * side})`;
        return `let ${name}${i} = tiles[tiles_at + ${tile.offset} + p * ${tile.size / 4} + (${quad}${this.#swizzle(tile, "p")})];`;
      });
    const across = blockColumns / 4;
    const products = this.#sums.map((sum, i) => {
      const row = Math.floor(i / across);
      return `${sum} += row${row >> 2}.${lanes[row & 3]} * column${i % across};`;
    });
    return `for (var p = 0; p < ${depth}; p++) {
${read(this.#left, "row", blockRows / 4, "y", this.#sideY).join("\n")}
${read(this.#right, "column", across, "x", this.#sideX).join("\n")}
${products.join("\n")}
}`;
  }

  /** Stores the block, vector by vector, so that an epilogue is in the text only once. */
  #store(): string {
    const { m, n } = this.#problem;
    const across = this.#tiling.blockColumns / 4;
    const [first, ...others] = this.#sums;
    const cases = others.map((sum, i) => `case ${i + 1} { sum = ${sum}; }`);
    const stores = this.#result.isInVectors
      ? this.#result.store("row", "column", "sum")
      : lanes
          .map((lane, i) => {
            const store = this.#result.store("row", `column + ${i}`, `sum.${lane}`);
            return `if (column + ${i} < ${n}) ${store}`;
          })
          .join("\n");
    return `for (var i = 0; i < ${others.length + 1}; i++) {
var sum = ${first};
switch i {
${cases.join("\n")}
default {}
}
let in_block = i / ${across};
let row = first_row + (y + (in_block >> 2) * ${this.#sideY}) * 4 + (in_block & 3);
let column = first_column + (x + i % ${across} * ${this.#sideX}) * 4;
if (row < ${m} && column < ${n}) {
${stores}
}
}`;
  }
}
