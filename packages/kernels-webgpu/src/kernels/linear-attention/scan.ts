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
import { declareOrder } from "./order.js";
import { RowAccess } from "./rows.js";
import { outputView, type Scan, ScanSteps } from "./steps.js";

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
var<workgroup> state_tile: array<vec4f, ${stateVectors}>;
/** Whether values were NaN or infinite. */
var<workgroup> is_special: atomic<u32>;`);

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
if (lane == 0) { atomicStore(&is_special, 0u); }
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
