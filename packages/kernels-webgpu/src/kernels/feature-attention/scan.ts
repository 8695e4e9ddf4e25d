/**
 * The scan: feature attention chunk by chunk, with a slice of one head's state in workgroup memory.
 *
 * It goes as the scan of linear attention (`../linear-attention/scan.ts`), with four differences.
 *
 * - Queries a and keys κ are features, computed while rows are loaded; κ_j = exp(b_j − M_j) is relative
 *   to the running maximum at the key itself.
 * - Pairs fade: what key j gives query i is multiplied by exp(M_j − M_i), and so is what a state keeps
 *   from one chunk to the next. Maxima never fall, hence every factor is e^−|difference| ≤ 1.
 * - Everything has one more number: a feature ε of all keys, which does not fade, and a value 1 of all
 *   keys, which gives the sum of weights. So a state has, beside its matrix, a column (of the value
 *   1), a row (of the feature ε) and a corner.
 * - Keys may take no part.
 *
 * With g = ε Σ a, dỹ = dy / Σ w and c = − y · dỹ, which stand for the rows and columns added:
 *
 *   scan                rows  keys  values  weights of pairs
 *   forward  → y, Σ w   a     κ     v       fade · (a · κ) + g
 *   forward  → da       dỹ    v     κ       fade · (dỹ · v + c)
 *   reverse  → dκ       v     dỹ    a       fade · (dỹ · v + c)
 *   reverse  → dv       κ     a     dỹ      fade · (a · κ) + g
 *
 * For a token and head with F features of d numbers, chunks of C and s slices: 4F(e + sd) + 2sFC flops.
 */

import type { Operand } from "@x/tensor/device";
import type { Launch } from "../../launch.js";
import type { LoweringContext } from "../../native.js";
import type { ShaderBuilder } from "../../wgsl/shader.js";
import { declareOrder, type Order } from "../linear-attention/order.js";
import { RowAccess } from "../linear-attention/rows.js";
import type { Sizes } from "../linear-attention/steps.js";
import type { Segments, Tile } from "../linear-attention/tile.js";
import { coordinatesOf, denseView } from "../view.js";
import { declarePairs } from "./pairs.js";
import type { Facts, FeatureMap } from "./problem.js";
import { ScanSteps } from "./steps.js";
import {
  declarePowers,
  declareProjection,
  declareVectors,
  loadFact,
  type Vectors,
} from "./vectors.js";

/** A row or column of a state: the sum of vectors, each times a number of its own. */
export interface VectorSum {
  /** Numbers of queries; `null`: 1. */
  readonly coefficients: Operand | null;
  /** Whether it fades. */
  readonly fades: boolean;
}

/** States, [segments, b, hk, …]. */
export interface States {
  /** […, key size, value size] */
  readonly matrix: Operand;
  /** […, key size], the sum of keys. */
  readonly column: Operand;
  /** […, value size], the sum of values. */
  readonly row: Operand;
  /** […, 1], the number of keys. */
  readonly corner: Operand;
}

/** What a workgroup does with its chunks. */
export interface Scan {
  readonly direction: "forward" | "reverse";
  readonly sizes: Sizes;
  readonly map: FeatureMap;
  readonly facts: Facts;
  /** Which keys the queries see. With `"full"` there are only rows, or only columns. */
  readonly visible: "full" | "causal" | Order;
  readonly tile: Tile;
  readonly segments: Segments;
  readonly keySize: number;
  readonly valueSize: number;
  /** Of queries: what is added to the score of a pair, before it fades or after. */
  readonly added: { readonly numbers: Operand; readonly fades: boolean };
  /** What the row and the column of the state sum up; `null`: nobody wants it. */
  readonly rowSum: VectorSum | null;
  readonly columnSum: VectorSum | null;
  readonly rows: { readonly vectors: Vectors; readonly target: Target } | null;
  readonly columns: { readonly keys: Vectors; readonly values: Vectors } | null;
  readonly hasKeyMask: boolean;
  readonly initial: States | null;
  readonly final: States | null;
}

/** Where rows go, [b, heads, length, value size], and what becomes of their sums. */
export interface Target {
  readonly output: number;
  /**
   * - `"quotients"`: they are divided by the sum of weights, which goes to `weights` if that is wanted
   * - a number: that many times the sum of weights is added
   * - `null`: that sum is not needed
   */
  readonly finish: "quotients" | number | null;
  /** [b, h, n]; `null`: nobody wants it. */
  readonly weights: Operand | null;
}

/** The output of rows. */
export function outputView({ rows, valueSize }: Scan): Operand {
  const { vectors, target } = rows!;
  return denseView(target.output, "float32", [...vectors.x.shape.slice(0, 3), valueSize]);
}

/** The launch of a scan. */
export function scanLaunch(scan: Scan, context: LoweringContext): Launch {
  const { sizes, tile, segments, keySize, valueSize, initial, final, rows, columns } = scan;
  const { batch, keyHeads } = sizes;
  const slices = Math.ceil(valueSize / tile.slice);
  const [high, wide] = [tile.chunk / 4, tile.slice / 4];
  const lanes = high * wide;
  const height = 4 * Math.ceil(keySize / 4);
  const shader = context.shader();
  const access = declareAll(shader, scan);
  shader.declare(`var<workgroup> row_tile: array<vec4f, ${4 * high * high}>;
var<workgroup> key_tile: array<vec4f, ${height * high}>;
var<workgroup> value_tile: array<vec4f, ${4 * high * wide}>;
var<workgroup> partial_tile: array<vec4f, ${high * Math.min(high, wide)}>;
var<workgroup> fades: array<vec4f, ${high}>;
var<workgroup> row_weights: array<vec4f, ${high}>;
var<workgroup> column_weights: array<vec4f, ${high}>;
var<workgroup> presences: array<vec4f, ${high}>;
var<workgroup> state_tile: array<vec4f, ${height * wide}>;
var<workgroup> state_column: array<f32, ${height}>;
var<workgroup> state_row: array<vec4f, ${wide}>;
var<workgroup> state_corner: f32;`);

  const steps = new ScanSteps(shader, access, scan);
  // One state may be that of all segments.
  const segment = initial?.matrix.strides[0] === 0 ? "0" : "at0";
  const place = `((${segment} * ${batch} + at1) * ${keyHeads} + at2)`;
  const number = (name: "column" | "corner", at: string): string =>
    loadFact(shader, initial![name], place, at);
  const load = (name: "matrix" | "row", row: string, end: number): string =>
    initial === null
      ? "vec4f()"
      : `${name}First(${name}Base, ${row}, ${end}, slice + 4 * (at % ${wide}))`;
  const bases = initial
    ? `let matrixBase = ${access.base(initial.matrix, ["at0", "at1", "at2"])};
let rowBase = ${access.base(rowView(initial.row), ["at0", "at1", "at2"])};`
    : "";
  const body = `${coordinatesOf("group", [segments.count, batch, keyHeads, slices], "at")}
let keyMatrix = at1 * ${keyHeads} + at2;
let slice = at3 * ${tile.slice};
let x = lane % ${wide};
let y = lane / ${wide};
${bases}
for (var at = lane; at < ${height * wide}; at += ${lanes}) { state_tile[at] = ${load("matrix", `at / ${wide}`, keySize)}; }
for (var at = lane; at < ${wide}; at += ${lanes}) { state_row[at] = ${load("row", "0", 1)}; }
for (var at = lane; at < ${height}; at += ${lanes}) {
state_column[at] = 0.0;
${initial === null ? "" : `if (at < ${keySize}) { state_column[at] = ${number("column", "at")}; }`}
}
if (lane == 0) { state_corner = ${initial === null ? "0.0" : number("corner", "0")}; }
let lastStep = min((at0 + 1) * ${segments.each}, ${segments.chunks});
for (var step = at0 * ${segments.each}; step < lastStep; step++) {
let chunk = ${scan.direction === "forward" ? "step" : `${segments.chunks - 1} - step`};
${steps.ranges()}
${steps.chunk()}
}
${final === null ? "" : storeStates(shader, access, scan, final, place)}`;
  const work = [rows === null ? "sum" : "", columns === null ? "apply" : ""].join("");
  return shader.perGroup(
    `feature attention ${work || scan.direction} ${batch * keyHeads}x${segments.count}x${keySize}x${valueSize}`,
    segments.count * batch * keyHeads * slices,
    lanes,
    body,
  );
}

/** Rows of a state as matrices of one row. */
function rowView(row: Operand): Operand {
  const { shape, strides } = row;
  return { ...row, shape: shape.toSpliced(3, 0, 1), strides: strides.toSpliced(3, 0, 0) };
}

/** What all workgroups have is stored by the one with the first slice. */
function storeStates(
  shader: ShaderBuilder,
  access: RowAccess,
  { tile, keySize }: Scan,
  { matrix, column, row, corner }: States,
  place: string,
): string {
  const wide = tile.slice / 4;
  const lanes = (tile.chunk / 4) * wide;
  const slot = shader.slot(column.buffer, "float32");
  const store = (to: Operand, at: string, value: string): string =>
    shader.store(slot, `${to.offset} + ${place} * ${to.shape.at(-1)} + ${at}`, value);
  return `let finalBase = ${access.base(matrix, ["at0", "at1", "at2"])};
let finalRowBase = ${access.base(rowView(row), ["at0", "at1", "at2"])};
workgroupBarrier();
for (var at = lane; at < ${keySize * wide}; at += ${lanes}) {
storeMatrix(finalBase, at / ${wide}, slice + 4 * (at % ${wide}), state_tile[at]);
}
for (var at = lane; at < ${wide}; at += ${lanes}) { storeRow(finalRowBase, 0, slice + 4 * at, state_row[at]); }
if (slice == 0) {
for (var at = lane; at < ${keySize}; at += ${lanes}) { ${store(column, "at", "state_column[at]")} }
if (lane == 0) { ${store(corner, "0", "state_corner")} }
}`;
}

/** Declares how a scan reads and writes its operands, and what is said about pairs. */
function declareAll(shader: ShaderBuilder, scan: Scan): RowAccess {
  const { visible, rows, columns, initial, final, map, facts } = scan;
  const output = rows && outputView(scan);
  const access = new RowAccess(
    shader,
    [
      rows?.vectors.x,
      columns?.keys.x,
      columns?.values.x,
      map.projection,
      output,
      initial?.matrix,
      final?.matrix,
    ].map((operand) => operand ?? null),
    [facts.running, ...[initial?.row, final?.row].filter((row) => row !== undefined)],
  );
  if (typeof visible === "object") declareOrder(shader, visible);
  declarePowers(shader);
  declarePairs(shader, scan);
  const placeOf = ({ side }: Vectors): string =>
    side === "query" && typeof visible === "object" ? "placeOf" : "";
  const all = [rows?.vectors, columns?.keys, columns?.values];
  if (all.some((vectors) => vectors && vectors.map !== null)) declareProjection(access, map);
  if (rows && output) {
    declareVectors(shader, access, "rows", rows.vectors, placeOf(rows.vectors));
    access.declareStore("storeOutput", output, placeOf(rows.vectors));
  }
  if (columns) {
    declareVectors(shader, access, "keys", columns.keys, placeOf(columns.keys));
    declareVectors(shader, access, "values", columns.values, placeOf(columns.values));
  }
  if (initial) {
    access.declareLoad("matrixFirst", initial.matrix);
    access.declareLoad("rowFirst", rowView(initial.row));
  }
  if (final) {
    access.declareStore("storeMatrix", final.matrix);
    access.declareStore("storeRow", rowView(final.row));
  }
  return access;
}
