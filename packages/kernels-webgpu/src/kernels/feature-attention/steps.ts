/** The steps that scans are made of; see `scan.ts`. */

import { constantCode } from "../../wgsl/functions.js";
import {
  lanes,
  markSpecial,
  product,
  TiledSteps,
  visibleProduct,
  zeros,
} from "../linear-attention/tiled-steps.js";
import { indexIn } from "../view.js";
import { outputView, type Scan, type VectorSum } from "./scan.js";
import { four, type Vectors } from "./vectors.js";

/** Writes the steps of a scan; invocation (x, y) has a block of four rows and four columns. */
export class ScanSteps extends TiledSteps<Scan> {
  /**
   * Which keys and queries belong to `chunk`, and what the state is relative to: running maxima
   * where it comes from, `near`, and where it goes, `far`.
   */
  override ranges(): string {
    const { visible, sizes, columns } = this.scan;
    const { keys } = sizes;
    const isAfterAll = visible === "full" && columns?.keys.side !== "key";
    const [first, end] = isAfterAll ? [String(keys), String(keys)] : ["firstKey", "endKey"];
    const [near, far] = this.isForward ? [first, end] : [end, first];
    return `${super.ranges()}
let near = vec4f(maximumBefore(keyMatrix, ${near}));
let far = vec4f(maximumBefore(keyMatrix, ${far}));`;
  }

  /** All work on one chunk. */
  chunk(): string {
    const { rows, columns, initial, final, segments } = this.scan;
    const hasState = initial !== null || segments.each > 1;
    const isUpdated = columns !== null && (final !== null || segments.each > 1);
    const fade = isUpdated ? this.#fade() : "";
    const update = isUpdated ? this.#update() : "";
    if (this.isForward) {
      const terms = (): string => `${this.#begin()}
${this.#depth(hasState, columns !== null)}
${hasState ? this.#stateTerm() : ""}
${columns ? this.#chunkTerm() : ""}
${this.#store()}`;
      const eachRow = rows ? this.#each("row", terms()) : "";
      if (columns === null) return eachRow;
      return this.#each("column", `${this.#fillColumns()}\n${eachRow}\n${fade}\n${update}`);
    }
    const term = rows ? `${this.#depth(false, true)}\n${this.#chunkTerm()}` : "";
    const eachColumn = columns
      ? this.#each("column", `${this.#fillColumns()}\n${term}\n${update}`)
      : "";
    if (!rows) return `${fade}\n${eachColumn}`;
    // The state of the row's term has no columns of its own chunk yet.
    const begin = hasState ? `${this.#depth(true, false)}\n${this.#stateTerm()}` : "";
    return this.#each(
      "row",
      `${this.#begin()}\n${begin}\n${fade}\n${eachColumn}\n${this.#store()}`,
    );
  }

  /** Does something for each tile of rows, or of columns, of the chunk. */
  #each(side: "row" | "column", body: string): string {
    const { sizes, rows, columns } = this.scan;
    const vectors: Record<string, Vectors> =
      side === "row" ? { rows: rows!.vectors } : { ...columns! };
    const isQuery = Object.values(vectors)[0]!.side === "query";
    const operands = Object.fromEntries(Object.entries(vectors).map(([name, { x }]) => [name, x]));
    if (side === "row") operands.output = outputView(this.scan);
    const declare = (head: string): string => {
      const matrix = isQuery ? `at1 * ${sizes.keyHeads * sizes.group} + ${head}` : "keyMatrix";
      return `${this.basesOf(operands, head)}\nlet ${side}Matrix = ${matrix};`;
    };
    return this.eachTile(side, isQuery, declare, body);
  }

  /** Running maxima of four rows or columns. */
  #maxima(side: "row" | "column", first: string): string {
    const isQuery = (side === "row") === this.isForward;
    return `${isQuery ? "maximaOfQueries" : "maximaOfKeys"}(keyMatrix, ${first})`;
  }

  /** Keys, values, and what columns weigh in the sums of the state. */
  #fillColumns(): string {
    const [high, wide] = [this.high, this.wide];
    const { keySize } = this.scan;
    const { rowSum, columnSum } = this.scan;
    const weigh = (name: string, sum: VectorSum | null): string => {
      if (sum === null) return "";
      const matrix = this.isForward ? "keyMatrix" : "columnMatrix";
      return `${name}_weights[lane] = present * ${name}WeightsOf(${matrix}, first)${sum.fades ? " * fade" : ""};`;
    };
    return `workgroupBarrier();
{
let block = values(valuesBase, columnMatrix, columnFirst + 4 * y, columnEnd, slice + 4 * x);
${this.scan.rows ? four.map((i) => markSpecial(`block[${i}]`)).join("\n") : ""}
${four.map((i) => `value_tile[(4 * y + ${i}) * ${wide} + x] = block[${i}];`).join("\n")}
}
for (var at = lane; at < ${high * Math.ceil(keySize / 4)}; at += ${high * wide}) {
let i = at % ${high};
let p = at / ${high};
let block = transpose(keys(keysBase, columnMatrix, columnFirst + 4 * i, columnEnd, 4 * p));
${four.map((i) => `key_tile[(4 * p + ${i}) * ${high} + i] = block[${i}];`).join("\n")}
}
for (var at = lane; at < ${high}; at += ${high * wide}) {
let first = columnFirst + 4 * at;
let isThere = vec4i(0, 1, 2, 3) + first < vec4i(columnEnd);
let present = select(vec4f(), ${this.isForward ? "presencesOf(keyMatrix, first)" : "vec4f(1.0)"}, isThere);
let fade = decay(${this.#maxima("column", "first")} - far);
presences[at] = present;
fades[at] = present * fade;
${weigh("row", rowSum).replaceAll("lane", "at")}
${weigh("column", columnSum).replaceAll("lane", "at")}
}`;
  }

  /** Sums of rows: those of values, and those of weights, four rows a vector. */
  #begin(): string {
    return `${zeros("sum")}
var weights = vec4f();
let rowMaxima = ${this.#maxima("row", "rowFirst + 4 * y")};
let added = ${this.isForward ? "addedOf(rowMatrix, rowFirst + 4 * y)" : "vec4f(1.0)"};`;
  }

  /** The products of rows: with the state to `sum` and `weights`, and with keys to `score`. */
  #depth(hasState: boolean, hasScores: boolean): string {
    const { keySize, tile } = this.scan;
    const [high, wide] = [this.high, this.wide];
    const sums = this.sumsOf(hasState, hasScores, "key_tile[(start + p)");
    const weigh = hasState && this.#hasWeights ? "weights += left * state_column[start + p];" : "";
    return `${this.zeroScores(hasScores)}
for (var start = 0; start < ${keySize}; start += ${tile.chunk}) {
workgroupBarrier();
for (var at = lane; at < ${high * high}; at += ${high * wide}) {
let i = at % ${high};
let p = at / ${high};
let block = transpose(rows(rowsBase, rowMatrix, rowFirst + 4 * i, rowEnd, start + 4 * p));
${four.map((i) => `row_tile[(4 * p + ${i}) * ${high} + i] = block[${i}];`).join("\n")}
}
workgroupBarrier();
${product(`min(${tile.chunk}, ${keySize} - start)`, `row_tile[p * ${high} + y]`, sums, weigh)}
}`;
  }

  get #hasWeights(): boolean {
    return this.isForward && this.scan.rows!.target.finish !== null;
  }

  /** What the state gives: its matrix, which fades, and its row and corner. */
  #stateTerm(): string {
    const { fades } = this.scan.added;
    const each = lanes.map((lane, i) => {
      const row = `added.${lane} * state_row[x]`;
      return fades
        ? `sum${i} = fade.${lane} * (sum${i} + ${row});`
        : `sum${i} = fade.${lane} * sum${i} + ${row};`;
    });
    const weights = this.#hasWeights
      ? `weights = ${fades ? "" : "fade * "}weights + added * state_corner;`
      : "";
    return `{
let fade = decay(near - rowMaxima);
${each.join("\n")}
${weights}
}`;
  }

  /** Adds what rows see of the columns of the chunk: their weights times values. */
  #chunkTerm(): string {
    const [high, wide] = [this.high, this.wide];
    const isForward = this.isForward;
    const { fades } = this.scan.added;
    const most = Math.min(high, wide);
    const weigh = (b: number): string => {
      const at = b === 0 ? "x" : `(x + ${b * wide})`;
      const column = `columnFirst + 4 * ${at}`;
      const first = isForward
        ? `let columns = vec4i(0, 1, 2, 3) + ${column};
let present = presences[${at}];`
        : `let seen = seenByQueries(${column});
let present = presences[${at}];
let addedColumns = addedOf(columnMatrix, ${column});`;
      const rows = lanes.map((lane, i) => {
        const isSeen = isForward ? `columns < vec4i(seen.${lane})` : `vec4i(places.${lane}) < seen`;
        const added = isForward ? `added.${lane}` : "addedColumns";
        const fade = `decay(columnMaxima - rowMaxima.${lane})`;
        const score = `score${b}_${i}`;
        const weight = fades
          ? `let raw = select(vec4f(), (${score} + ${added}) * present, isSeen);
${score} = select(vec4f(), raw * ${fade}, isSeen);`
          : `let raw = select(vec4f(), (${score} * ${fade} + ${added}) * present, isSeen);
${score} = raw;`;
        const sum = this.#hasWeights ? `partial.${lane} += dot(raw, vec4f(1.0));` : "";
        return `{
let isSeen = ${isSeen};
${weight}
${sum}
}`;
      });
      const stores = four.map((i) => `row_tile[(4 * ${at} + ${i}) * ${high} + y] = block[${i}];`);
      return `${this.whereScores}{
${first}
let columnMaxima = ${this.#maxima("column", column)};
${rows.join("\n")}
let block = transpose(mat4x4f(${four.map((i) => `score${b}_${i}`).join(", ")}));
${stores.join("\n")}
}`;
    };
    const count = "columnEnd - columnFirst";
    // Forward, what rows see: so many columns, from the first on. In reverse, where rows are.
    const place = isForward
      ? `let seen = seenByQueries(rowFirst + 4 * y);
let steps = clamp(max(max(seen.x, seen.y), max(seen.z, seen.w)) - columnFirst, 0, ${count});`
      : `let places = vec4i(0, 1, 2, 3) + (rowFirst + 4 * y);
let steps = ${count};`;
    const [storePartial, sumPartials] = this.#hasWeights
      ? [
          `${this.whereScores}{ partial_tile[y * ${most} + x] = partial; }`,
          `for (var i = 0; i < ${most}; i++) { weights += partial_tile[y * ${most} + i]; }`,
        ]
      : ["", ""];
    const isSeen = isForward
      ? "vec4i(p) < seen - columnFirst"
      : "places < vec4i(seenBy(columnFirst + p))";
    const [left, right] = [`row_tile[p * ${high} + y]`, `value_tile[p * ${wide} + x]`];
    return `{
${place}
var partial = vec4f();
workgroupBarrier();
${this.blocks.map(weigh).join("\n")}
${storePartial}
workgroupBarrier();
${visibleProduct(left, right, isSeen)}
${sumPartials}
}`;
  }

  /** Makes the state relative to where it goes. */
  #fade(): string {
    const { keySize, rowSum, columnSum } = this.scan;
    const [high, wide] = [this.high, this.wide];
    const count = high * wide;
    const height = 4 * Math.ceil(keySize / 4);
    const row = rowSum?.fades ?? false;
    const column = columnSum?.fades ?? false;
    return `workgroupBarrier();
{
let fade = decay(near - far);
for (var at = lane; at < ${height * wide}; at += ${count}) { state_tile[at] *= fade; }
${row ? `for (var at = lane; at < ${wide}; at += ${count}) { state_row[at] *= fade; }` : ""}
${column ? `for (var at = lane; at < ${height}; at += ${count}) { state_column[at] *= fade.x; }` : ""}
}`;
  }

  /** Adds the columns to the state. */
  #update(): string {
    const { keySize, rowSum, columnSum } = this.scan;
    const [high, wide] = [this.high, this.wide];
    const count = high * wide;
    const height = Math.ceil(keySize / 4);
    const fours = "(columnEnd - columnFirst + 3) / 4";
    const addRow = (i: number): string => `{
let left = key_tile[(4 * p + ${i}) * ${high} + j];
state${i} += left.x * value0 + left.y * value1 + left.z * value2 + left.w * value3;
}`;
    const row = rowSum
      ? `for (var at = lane; at < ${wide}; at += ${count}) {
var sum = state_row[at];
for (var j = 0; j < ${fours}; j++) {
let weight = row_weights[j];
${lanes.map((lane, i) => `sum += weight.${lane} * value_tile[(4 * j + ${i}) * ${wide} + at];`).join("\n")}
}
state_row[at] = sum;
}`
      : "";
    const column = columnSum
      ? `for (var at = lane; at < ${keySize}; at += ${count}) {
var sum = state_column[at];
for (var j = 0; j < ${fours}; j++) { sum += dot(key_tile[at * ${high} + j], column_weights[j]); }
state_column[at] = sum;
}`
      : "";
    const corner = this.isForward
      ? `if (lane == 0) {
var sum = state_corner;
for (var j = 0; j < ${fours}; j++) { sum += dot(presences[j], vec4f(1.0)); }
state_corner = sum;
}`
      : "";
    return `workgroupBarrier();
for (var p = y; p < ${height}; p += ${high}) {
let at = 4 * p * ${wide} + x;
${four.map((i) => `var state${i} = state_tile[at + ${i * wide}];`).join("\n")}
for (var j = 0; j < ${fours}; j++) {
let fade = fades[j];
${lanes.map((lane, i) => `let value${i} = fade.${lane} * value_tile[(4 * j + ${i}) * ${wide} + x];`).join("\n")}
${four.map(addRow).join("\n")}
}
${four.map((i) => `state_tile[at + ${i * wide}] = state${i};`).join("\n")}
}
${row}
${column}
${corner}`;
  }

  #store(): string {
    const { rows, sizes } = this.scan;
    const { finish, weights } = rows!.target;
    const { group } = sizes;
    const value = (lane: string, i: number): string => {
      if (finish === "quotients")
        return `select(sum${i} / weights.${lane}, vec4f(), weights.${lane} == 0.0)`;
      if (finish === null) return `sum${i}`;
      return `sum${i} + weights.${lane} * ${constantCode(finish, "float32", this.shader.helpers)}`;
    };
    const storeWeights = (lane: string, row: string): string => {
      if (weights === null) return "";
      const place = typeof this.scan.visible === "object" ? `placeOf(${row})` : row;
      const at = indexIn(weights, ["at1", `at2 * ${group} + member`, place]);
      const slot = this.shader.slot(weights.buffer, "float32");
      const store = this.shader.store(slot, at, `weights.${lane}`);
      return `if (slice + x == 0) { ${store} }`;
    };
    // Keys that take no part do not give anything to anyone.
    const shown = this.isForward ? "" : `let shown = presencesOf(keyMatrix, rowFirst + 4 * y);\n`;
    return `{
${shown}${lanes
      .map((lane, i) => {
        const row = `rowFirst + 4 * y + ${i}`;
        const factor = this.isForward ? "" : ` * shown.${lane}`;
        return `if (${row} < rowEnd) {
storeOutput(outputBase, ${row}, slice + 4 * x, (${value(lane, i)})${factor});
${storeWeights(lane, row)}
}`;
      })
      .join("\n")}
}`;
  }
}
