/**
 * The scan: linear attention chunk by chunk, with a slice of one head's state in workgroup memory.
 *
 * A scan has rows, which are given an output, and columns, which have a key and a value:
 *
 *   output_i = row_i · (state + Σ_j key_j valueᵀ_j) over the columns j that row i sees.
 *
 * Forward, a row sees columns that come first, and rows belong to queries; in reverse, it sees those
 * that come last, and columns belong to queries:
 *
 *   scan                rows  keys  values  state
 *   forward  → y        q     k     v       S
 *   forward  → dq       dy    v     k       Sᵀ
 *   reverse  → dk       v     dy    q       dSᵀ
 *   reverse  → dv       k     q     dy      dS
 *
 * The keys are cut into chunks. A query is taken with the chunk of the last key that it sees: what it
 * sees of the chunk's keys comes from their scores, the rest from the state. So the work is linear in
 * the length for every mask whose queries are in order.
 *
 * A workgroup has one slice of the columns of values, and walks over the chunks of one segment. With
 * several segments the states at their starts are computed first, by scans without rows. Where every
 * query sees every key, scans have only rows or only columns.
 *
 * For a token and head of size d, with chunks of C, s slices and float32: 4d² + 2(1 + s)Cd flops, and
 * 16d bytes from memory; slices and members of a group read the same keys, from caches.
 */

import type { Operand } from "@x/tensor/device";
import type { Launch } from "../../launch.js";
import type { LoweringContext } from "../../native.js";
import type { ShaderBuilder } from "../../wgsl/shader.js";
import { coordinatesOf, denseView } from "../view.js";
import { declareOrder, type Order, rangeOf } from "./order.js";
import { RowAccess } from "./rows.js";
import type { Segments, Tile } from "./tile.js";

/** The sizes of a linear attention. */
export interface Sizes {
  readonly batch: number;
  /** Heads of keys and values, and of the state. */
  readonly keyHeads: number;
  /** Query heads that share a key head; they follow each other. */
  readonly group: number;
  readonly queries: number;
  readonly keys: number;
}

/** What a workgroup does with its chunks. */
export interface Scan {
  readonly direction: "forward" | "reverse";
  readonly sizes: Sizes;
  /** Which keys the queries see. With `"full"` there are only rows, or only columns. */
  readonly visible: "full" | "causal" | Order;
  readonly tile: Tile;
  /** Of keys, or where every query sees every key of whatever there is. */
  readonly segments: Segments;
  /** Numbers in a row and in a key. */
  readonly keySize: number;
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

/** Statements that make sums of four rows, each of four columns. */
function zeros(sum: string): string {
  return [0, 1, 2, 3].map((i) => `var ${sum}${i} = vec4f(0.0);`).join("\n");
}

/**
 * Adds products of a matrix with others to sums, step by step along the axis they share. `left` and
 * `right` are the vectors of step `p`: four rows, and four columns.
 */
function product(
  steps: string,
  left: string,
  sums: readonly { readonly sum: string; readonly right: string }[],
): string {
  const add = ({ sum, right }: (typeof sums)[number], i: number): string =>
    [
      `let right${i} = ${right};`,
      ...["x", "y", "z", "w"].map((lane, row) => `${sum}${row} += left.${lane} * right${i};`),
    ].join("\n");
  return `for (var p = 0; p < ${steps}; p++) {
let left = ${left};
${sums.map(add).join("\n")}
}`;
}

/** The launch of a scan. */
export function scanLaunch(scan: Scan, context: LoweringContext): Launch {
  const { sizes, tile, segments, keySize, valueSize, initial, rows, columns } = scan;
  const { batch, keyHeads } = sizes;
  const slices = Math.ceil(valueSize / tile.slice);
  const [high, wide] = [tile.chunk / 4, tile.slice / 4];
  const lanes = high * wide;
  const stateVectors = Math.ceil(keySize / 4) * 4 * wide;
  const shader = context.shader();
  const access = declareAll(shader, scan);
  shader.declare(`var<workgroup> left_tile: array<vec4f, ${4 * high * high}>;
var<workgroup> right_tile: array<vec4f, ${4 * high * high}>;
var<workgroup> value_tile: array<vec4f, ${4 * high * wide}>;
var<workgroup> state_tile: array<vec4f, ${stateVectors}>;`);

  const steps = new ScanSteps(shader, access, scan);
  const store = (): string => `let finalBase = ${access.base(finalView(scan), stateAxes)};
workgroupBarrier();
for (var at = lane; at < ${keySize * wide}; at += ${lanes}) {
storeFinal(finalBase, at / ${wide}, slice + 4 * (at % ${wide}), state_tile[at]);
}`;
  const load = initial === null ? "" : `let initialBase = ${access.base(initial, stateAxes)};`;
  const body = `${coordinatesOf("group", [segments.count, batch, keyHeads, slices], "at")}
let slice = at3 * ${tile.slice};
let x = lane % ${wide};
let y = lane / ${wide};
${load}
for (var at = lane; at < ${stateVectors}; at += ${lanes}) {
state_tile[at] = ${initial === null ? "vec4f(0.0)" : `initial(initialBase, at / ${wide}, ${keySize}, slice + 4 * (at % ${wide}))`};
}
let lastStep = min((at0 + 1) * ${segments.each}, ${segments.chunks});
for (var step = at0 * ${segments.each}; step < lastStep; step++) {
let chunk = ${scan.direction === "forward" ? "step" : `${segments.chunks - 1} - step`};
${steps.ranges()}
${steps.chunk()}
}
${scan.final === null ? "" : store()}`;
  const work = [rows === null ? "sum" : "", columns === null ? "apply" : ""].join("");
  return shader.perGroup(
    `linear attention ${work || scan.direction} ${batch * keyHeads}x${segments.count}x${keySize}x${valueSize}`,
    segments.count * batch * keyHeads * slices,
    lanes,
    body,
  );
}

const stateAxes = ["at0", "at1", "at2"];

function finalView({ final, segments, sizes, keySize, valueSize }: Scan): Operand {
  const { batch, keyHeads } = sizes;
  return denseView(final!, "float32", [segments.count, batch, keyHeads, keySize, valueSize]);
}

function outputView({ rows, valueSize }: Scan): Operand {
  return denseView(rows!.output, "float32", [...rows!.x.shape.slice(0, 3), valueSize]);
}

/** Declares how a scan reads and writes its operands, and what queries see. */
function declareAll(shader: ShaderBuilder, scan: Scan): RowAccess {
  const { direction, visible, rows, columns, initial, final, scale, sizes } = scan;
  const isForward = direction === "forward";
  const output = rows && outputView(scan);
  const last = final === null ? null : finalView(scan);
  const read = [rows?.x, columns?.keys, columns?.values];
  const access = new RowAccess(
    shader,
    [...read, output, initial, last].map((operand) => operand ?? null),
  );
  if (typeof visible === "object") declareOrder(shader, visible);
  else if (visible === "causal") {
    const { queries, keys } = sizes;
    shader.declare(
      `fn seenBy(i: i32) -> i32 { return clamp(i + ${1 + keys - queries}, 0, ${keys}); }`,
    );
  }
  const place = typeof visible === "object" ? "placeOf" : "";
  const [rowPlace, columnPlace] = isForward ? [place, ""] : ["", place];
  if (rows && output) {
    access.declareLoad("rows", rows.x, isForward ? scale : 1, rowPlace);
    access.declareStore("storeOutput", output, rowPlace);
  }
  if (columns) {
    access.declareLoad("keys", columns.keys, 1, columnPlace);
    access.declareLoad("values", columns.values, isForward ? 1 : scale, columnPlace);
  }
  if (initial) access.declareLoad("initial", initial);
  if (last) access.declareStore("storeFinal", last);
  return access;
}

/** Writes the steps of a scan; invocation (x, y) has a block of four rows and four columns. */
class ScanSteps {
  readonly #shader: ShaderBuilder;
  readonly #access: RowAccess;
  readonly #scan: Scan;
  /** Vectors in a row of tiles, and in one of values. */
  readonly #high: number;
  readonly #wide: number;
  /** Blocks of scores that an invocation computes. */
  readonly #blocks: readonly number[];

  constructor(shader: ShaderBuilder, access: RowAccess, scan: Scan) {
    this.#shader = shader;
    this.#access = access;
    this.#scan = scan;
    this.#high = scan.tile.chunk / 4;
    this.#wide = scan.tile.slice / 4;
    const count = Math.ceil(this.#high / this.#wide);
    this.#blocks = Array.from({ length: count }, (_, b) => b);
  }

  /** Which keys and queries belong to `chunk`. */
  ranges(): string {
    const { visible, sizes, tile } = this.#scan;
    const { queries, keys } = sizes;
    const start = `chunk * ${tile.chunk}`;
    let range: string;
    if (visible === "full")
      range = `let range = min(vec2i(0, ${tile.chunk}) + ${start}, vec2i(${queries}));`;
    else if (visible === "causal") {
      // Those that see nothing come first.
      range = `var range = clamp(vec2i(0, ${tile.chunk}) + (${start} + ${queries - keys}), vec2i(0), vec2i(${queries}));
if (chunk == 0) { range.x = 0; }`;
    } else range = rangeOf(this.#shader, visible);
    return `let firstKey = ${start};
let endKey = min(firstKey + ${tile.chunk}, ${keys});
${range}`;
  }

  /** All work on one chunk. */
  chunk(): string {
    const { direction, rows, columns } = this.#scan;
    const start = `${zeros("sum")}\n`;
    const update = columns ? this.#update() : "";
    if (direction === "forward") {
      const terms = `${start}${this.#depth(true, columns !== null)}
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
    return rows
      ? this.#each("row", `${start}${this.#depth(true, false)}\n${eachColumn}\n${this.#store()}`)
      : eachColumn;
  }

  /** Does something for each tile of rows, or of columns, of the chunk. */
  #each(side: "row" | "column", body: string): string {
    const { direction, tile, sizes, rows, columns } = this.#scan;
    const isQuery = (side === "row") === (direction === "forward");
    const { group } = sizes;
    const head = isQuery ? `at2 * ${group} + member` : "at2";
    const operands =
      side === "row" ? { rows: rows!.x, output: outputView(this.#scan) } : { ...columns! };
    const bases = Object.entries(operands).map(
      ([name, operand]) => `let ${name}Base = ${this.#access.base(operand, ["at1", head])};`,
    );
    const [first, end] = [`${side}First`, `${side}End`];
    if (!isQuery)
      return `{\nlet ${first} = firstKey;\nlet ${end} = endKey;\n${bases.join("\n")}\n${body}\n}`;
    return `for (var member = 0; member < ${group}; member++) {
${bases.join("\n")}
for (var ${first} = range.x; ${first} < range.y; ${first} += ${tile.chunk}) {
let ${end} = min(${first} + ${tile.chunk}, range.y);
${body}
}
}`;
  }

  #fillValues(): string {
    const [high, wide] = [this.#high, this.#wide];
    return `workgroupBarrier();
for (var j = y; j < ${4 * high}; j += ${high}) {
value_tile[j * ${wide} + x] = values(valuesBase, columnFirst + j, columnEnd, slice + 4 * x);
}`;
  }

  /** The products of rows: with the state to `sum`, and with keys to `score`. */
  #depth(hasState: boolean, hasScores: boolean): string {
    const { keySize, tile } = this.#scan;
    const [high, wide] = [this.#high, this.#wide];
    const scores = hasScores ? this.#blocks : [];
    // With a slice wider than the chunk some invocations have no scores; theirs are not stored.
    const column = (b: number): string => (wide > high ? `min(x, ${high - 1})` : `x + ${b * wide}`);
    const sums = [
      ...(hasState ? [{ sum: "sum", right: `state_tile[(start + p) * ${wide} + x]` }] : []),
      ...scores.map((b) => ({
        sum: `score${b}_`,
        right: `right_tile[p * ${high} + ${column(b)}]`,
      })),
    ];
    return `${scores.map((b) => zeros(`score${b}_`)).join("\n")}
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
    const to = (i: number): string => `${tile}[(4 * p + ${i}) * ${this.#high} + i] = block[${i}];`;
    return `{
let block = transpose(mat4x4f(${[0, 1, 2, 3].map(row).join(", ")}));
${[0, 1, 2, 3].map(to).join("\n")}
}`;
  }

  /** Adds what rows see of the columns of the chunk: their scores times values. */
  #chunkTerm(): string {
    const [high, wide] = [this.#high, this.#wide];
    const isForward = this.#scan.direction === "forward";
    const hide = (b: number): string => {
      const column = b === 0 ? "4 * x" : `4 * (x + ${b * wide})`;
      const seen = (first: string, i: number): string => `seenBy(${first} + ${i})`;
      const rows = [0, 1, 2, 3];
      const hidden = rows.map((i) =>
        isForward
          ? `score${b}_${i} = select(vec4f(0.0), score${b}_${i}, columns < vec4i(${seen("rowFirst + 4 * y", i)}));`
          : `score${b}_${i} = select(vec4f(0.0), score${b}_${i}, vec4i(rowFirst + 4 * y + ${i}) < seen);`,
      );
      const first = isForward
        ? `let columns = vec4i(0, 1, 2, 3) + (columnFirst + ${column});`
        : `let column = columnFirst + ${column};
let seen = vec4i(${rows.map((i) => seen("column", i)).join(", ")});`;
      const block = rows.map((i) => `score${b}_${i}`).join(", ");
      const stores = rows.map((i) => `left_tile[(${column} + ${i}) * ${high} + y] = block[${i}];`);
      return `${wide > high ? `if (x < ${high}) ` : ""}{
${first}
${hidden.join("\n")}
let block = transpose(mat4x4f(${block}));
${stores.join("\n")}
}`;
    };
    return `workgroupBarrier();
${this.#blocks.map(hide).join("\n")}
workgroupBarrier();
${product("columnEnd - columnFirst", `left_tile[p * ${high} + y]`, [
  { sum: "sum", right: `value_tile[p * ${wide} + x]` },
])}`;
  }

  /** Adds the products of keys and values to the state. */
  #update(): string {
    const { keySize, tile, final } = this.#scan;
    const [high, wide] = [this.#high, this.#wide];
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
