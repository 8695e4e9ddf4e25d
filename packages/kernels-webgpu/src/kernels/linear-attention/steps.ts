/** The steps that scans are made of; see `scan.ts`. */

import type { Operand } from "@x/tensor/device";
import { denseView } from "../view.js";
import type { Segments } from "./tile.js";
import {
  lanes,
  markSpecial,
  product,
  type TiledScan,
  TiledSteps,
  visibleProduct,
  zeros,
} from "./tiled-steps.js";

/** What a workgroup does with its chunks. */
export interface Scan extends TiledScan {
  /** Of keys, or where every query sees every key of whatever there is. */
  readonly segments: Segments;
  /** Numbers in a value. */
  readonly valueSize: number;
  /** What queries are multiplied by. */
  readonly scale: number;
  readonly rows: { readonly x: Operand; readonly output: number } | null;
  readonly columns: { readonly keys: Operand; readonly values: Operand } | null;
  /** States to start from, [segments, batch, key heads, key size, value size]; `null`: zeros. */
  readonly initial: Operand | null;
  /** Plan buffer of the states at the ends, of the same shape; `null`: nobody needs them. */
  readonly final: number | null;
}

/** The output of rows. */
export function outputView({ rows, valueSize }: Scan): Operand {
  return denseView(rows!.output, "float32", [...rows!.x.shape.slice(0, 3), valueSize]);
}

/** Writes the steps of a scan; invocation (x, y) has a block of four rows and four columns. */
export class ScanSteps extends TiledSteps<Scan> {
  /** All work on one chunk. */
  chunk(): string {
    const { rows, columns, initial, final, segments } = this.scan;
    const start = `${zeros("sum")}\n`;
    // What is 0, and what nobody reads, is not worth its text.
    const hasState = initial !== null || segments.each > 1;
    const update = columns && (final !== null || segments.each > 1) ? this.#update() : "";
    if (this.isForward) {
      const terms = `${start}${this.#depth(hasState, columns !== null)}
${columns ? this.#chunkTerm() : ""}
${rows ? this.#store() : ""}`;
      const eachRow = rows ? this.#each("row", terms) : "";
      return columns
        ? this.#each("column", `${this.#fillValues()}\n${eachRow}\n${update}`)
        : eachRow;
    }
    const term = rows ? `${this.#depth(false, true)}\n${this.#chunkTerm()}` : "";
    const eachColumn = columns
      ? this.#each("column", `${this.#fillValues()}\n${term}\n${update}`)
      : "";
    // The state of the row's term has no columns of its own chunk yet.
    const begin = `${start}${hasState ? this.#depth(true, false) : ""}`;
    return rows ? this.#each("row", `${begin}\n${eachColumn}\n${this.#store()}`) : eachColumn;
  }

  /** Does something for each tile of rows, or of columns, of the chunk. */
  #each(side: "row" | "column", body: string): string {
    const { rows, columns } = this.scan;
    const isQuery = (side === "row") === this.isForward;
    const operands =
      side === "row" ? { rows: rows!.x, output: outputView(this.scan) } : { ...columns! };
    return this.eachTile(side, isQuery, (head) => this.basesOf(operands, head), body);
  }

  #fillValues(): string {
    const [high, wide] = [this.high, this.wide];
    return `workgroupBarrier();
for (var j = y; j < ${4 * high}; j += ${high}) {
let numbers = values(valuesBase, columnFirst + j, columnEnd, slice + 4 * x);
${this.scan.rows ? markSpecial("numbers") : ""}
value_tile[j * ${wide} + x] = numbers;
}`;
  }

  /** The products of rows: with the state to `sum`, and with keys to `score`. */
  #depth(hasState: boolean, hasScores: boolean): string {
    const { keySize, tile } = this.scan;
    const [high, wide] = [this.high, this.wide];
    const sums = this.sumsOf(hasState, hasScores, "right_tile[p");
    return `${this.zeroScores(hasScores)}
for (var start = 0; start < ${keySize}; start += ${tile.chunk}) {
workgroupBarrier();
for (var at = lane; at < ${high * high}; at += ${high * wide}) {
let i = at % ${high};
let p = at / ${high};
${this.#fillTransposed("left_tile", "rows", "row")}
${hasScores ? this.#fillTransposed("right_tile", "keys", "column") : ""}
}
workgroupBarrier();
${product(`min(${tile.chunk}, ${keySize} - start)`, `left_tile[p * ${high} + y]`, sums)}
}`;
  }

  /** Block (i, p) of four rows and four columns, to where four rows are a vector. */
  #fillTransposed(tile: string, name: string, side: "row" | "column"): string {
    const row = (i: number): string =>
      `${name}(${name}Base, ${side}First + 4 * i + ${i}, ${side}End, start + 4 * p)`;
    const to = (i: number): string => `${tile}[(4 * p + ${i}) * ${this.high} + i] = block[${i}];`;
    return `{
let block = transpose(mat4x4f(${[0, 1, 2, 3].map(row).join(", ")}));
${[0, 1, 2, 3].map(to).join("\n")}
}`;
  }

  /** Adds what rows see of the columns of the chunk: their scores times values. */
  #chunkTerm(): string {
    const [high, wide] = [this.high, this.wide];
    const { isForward } = this;
    const seenFrom = (first: string): string =>
      `vec4i(${[0, 1, 2, 3].map((i) => `seenBy(${first} + ${i})`).join(", ")})`;
    const hide = (b: number): string => {
      const column = b === 0 ? "4 * x" : `4 * (x + ${b * wide})`;
      const seen = isForward
        ? `let columns = vec4i(0, 1, 2, 3) + ${column};`
        : `let seen = ${seenFrom(`columnFirst + ${column}`)};`;
      const scores = [0, 1, 2, 3].map((i) => `score${b}_${i}`);
      const hidden = scores.map((score, i) => {
        const isSeen = isForward
          ? `columns < vec4i(seen.${lanes[i]})`
          : `vec4i(places.${lanes[i]}) < seen`;
        return `${score} = select(vec4f(0.0), ${score}, ${isSeen});`;
      });
      const stores = scores.map(
        (_, i) => `left_tile[(${column} + ${i}) * ${high} + y] = block[${i}];`,
      );
      return `${this.whereScores}{
${seen}
${hidden.join("\n")}
let block = transpose(mat4x4f(${scores.join(", ")}));
${stores.join("\n")}
}`;
    };
    const [left, right] = [`left_tile[p * ${high} + y]`, `value_tile[p * ${wide} + x]`];
    const count = "columnEnd - columnFirst";
    // Forward, what rows see: so many columns, from the first on. In reverse, where rows are.
    const place = isForward
      ? `let seen = ${seenFrom("rowFirst + 4 * y")} - columnFirst;
let steps = clamp(max(max(seen.x, seen.y), max(seen.z, seen.w)), 0, ${count});`
      : `let places = vec4i(0, 1, 2, 3) + (rowFirst + 4 * y);
let steps = ${count};`;
    const isSeen = isForward ? "vec4i(p) < seen" : "places < vec4i(seenBy(columnFirst + p))";
    return `${place}
workgroupBarrier();
${this.blocks.map(hide).join("\n")}
workgroupBarrier();
${visibleProduct(left, right, isSeen)}`;
  }

  /** Adds the products of keys and values to the state. */
  #update(): string {
    const { keySize, tile, final } = this.scan;
    const [high, wide] = [this.high, this.wide];
    const eachRow = (line: (i: number) => string): string => [0, 1, 2, 3].map(line).join("\n");
    const body = `for (var start = 0; start < ${keySize}; start += ${tile.chunk}) {
workgroupBarrier();
for (var at = lane; at < ${4 * high * high}; at += ${high * wide}) {
right_tile[at] = keys(keysBase, columnFirst + at / ${high}, columnEnd, start + 4 * (at % ${high}));
}
workgroupBarrier();
if (start + 4 * y < ${keySize}) {
let at = (start + 4 * y) * ${wide} + x;
${eachRow((i) => `var state${i} = state_tile[at + ${i * wide}];`)}
${product("columnEnd - columnFirst", `right_tile[p * ${high} + y]`, [
  { sum: "state", right: `value_tile[p * ${wide} + x]` },
])}
${eachRow((i) => `state_tile[at + ${i * wide}] = state${i};`)}
}
}`;
    // Nobody reads the state after the last chunk.
    return final === null ? `if (step + 1 < lastStep) {\n${body}\n}` : body;
  }

  #store(): string {
    return [0, 1, 2, 3]
      .map(
        (i) =>
          `if (rowFirst + 4 * y + ${i} < rowEnd) { storeOutput(outputBase, rowFirst + 4 * y + ${i}, slice + 4 * x, sum${i}); }`,
      )
      .join("\n");
  }
}
