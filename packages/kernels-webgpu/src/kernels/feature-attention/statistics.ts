/** Launches that find out what `Facts` holds. */

import type { Operand } from "@x/tensor/device";
import type { Launch } from "../../launch.js";
import { constantCode } from "../../wgsl/functions.js";
import type { ShaderBuilder } from "../../wgsl/shader.js";
import { RowAccess } from "../linear-attention/rows.js";
import { coordinatesOf, indexIn } from "../view.js";
import { hugeOffset, lowestMaximum, type Problem } from "./problem.js";
import { declareLogits, declarePowers, declareProjection, four } from "./vectors.js";

/** Invocations that share four rows, and such fours of a workgroup. */
const across = 8;
const down = 8;

/** Stores a number of a row: `row` of the tensor's last axis in matrix (at0, at1). */
function storeFact(shader: ShaderBuilder, fact: Operand, row: string, value: string): string {
  return shader.store(
    shader.slot(fact.buffer, "float32"),
    indexIn(fact, ["at0", "at1", row]),
    value,
  );
}

/** What statements about a row may use: `largest`, `total` and `halfNorm`. */
interface RowStatistics {
  readonly name: string;
  readonly x: Operand;
  /** Whether `total`, Σ exp(logit − largest), is wanted. */
  readonly hasTotal: boolean;
  readonly store: (shader: ShaderBuilder) => string;
}

/** Goes over the logits of rows. */
function statisticsLaunch(
  { context, map }: Problem,
  { name, x, hasTotal, store }: RowStatistics,
): Launch {
  const [batch, heads, length, size] = x.shape as [number, number, number, number];
  const rows = 4 * down;
  const shader = context.shader();
  const access = new RowAccess(shader, [x, map.projection]);
  declareProjection(access, map);
  declareLogits(shader, access, "row", x, map, "");
  declarePowers(shader);
  const lowest = constantCode(lowestMaximum, "float32", shader.helpers);
  const half = constantCode((map.scale * map.scale) / 2, "float32", shader.helpers);
  const lanes = across * down;
  shader.declare(`var<workgroup> all_largest: array<vec4f, ${lanes}>;
var<workgroup> all_totals: array<vec4f, ${lanes}>;
var<workgroup> all_norms: array<vec4f, ${lanes}>;`);
  const merge = hasTotal
    ? `totals = totals * power(largest4 - next) + all_totals[lane + i] * power(all_largest[lane + i] - next);`
    : "";
  const add = hasTotal ? `totals = totals * power(largest4 - next) + power(logits[i] - next);` : "";
  const norms =
    map.projection === null
      ? ""
      : `for (var column = 4 * x; column < ${size}; column += ${4 * across}) {
${four.map((i) => `let x${i} = rowRow(base, row + ${i}, ${length}, column);`).join("\n")}
norms += vec4f(${four.map((i) => `dot(x${i}, x${i})`).join(", ")});
}`;
  const body = `${coordinatesOf("group", [batch, heads, Math.ceil(length / rows)], "at")}
let x = lane % ${across};
let row = at2 * ${rows} + 4 * (lane / ${across});
let base = ${access.base(x, ["at0", "at1"])};
var largest4 = vec4f(${lowest});
var totals = vec4f();
var norms = vec4f();
for (var column = 4 * x; column < ${map.features}; column += ${4 * across}) {
let logits = transpose(rowLogits(base, row, ${length}, column));
for (var i = 0; i < min(4, ${map.features} - column); i++) {
let next = max(largest4, logits[i]);
${add}
largest4 = next;
}
}
${norms}
all_largest[lane] = largest4;
all_totals[lane] = totals;
all_norms[lane] = norms;
workgroupBarrier();
if (x == 0) {
for (var i = 1; i < ${across}; i++) {
let next = max(largest4, all_largest[lane + i]);
${merge}
largest4 = next;
norms += all_norms[lane + i];
}
for (var i = 0; i < min(4, ${length} - row); i++) {
let largest = largest4[i];
let total = totals[i];
let halfNorm = norms[i] * ${half};
${store(shader)}
}
}`;
  return shader.perGroup(
    `feature attention ${name} ${batch * heads}x${length}x${size}x${map.features}`,
    batch * heads * Math.ceil(length / rows),
    lanes,
    body,
  );
}

/** What is known about queries; backward, with the sums of their weights and y · dy, [b, h, n]. */
export function queryStatistics(
  problem: Problem,
  backward: { readonly denominators: Operand; readonly products: Operand } | null,
): Launch {
  const { map, facts, q } = problem;
  const store = (shader: ShaderBuilder): string => {
    const { helpers } = shader;
    const number = (value: number): string => constantCode(value, "float32", helpers);
    const lines: string[] = [];
    if (map.projection === null) {
      helpers.use("floatLog");
      lines.push(
        storeFact(shader, facts.queryOffsets, "row + i", "largest + floatLog(total)"),
        storeFact(shader, facts.shares, "row + i", "0.0"),
      );
    } else {
      const all = number(map.features * map.epsilon);
      lines.push(
        storeFact(shader, facts.queryOffsets, "row + i", "largest + halfNorm"),
        storeFact(
          shader,
          facts.shares,
          "row + i",
          `${number(map.epsilon)} * (total * power(vec4f(-halfNorm)).x + ${all})`,
        ),
      );
    }
    if (backward !== null) {
      const load = (x: Operand): string =>
        shader.load(shader.slot(x.buffer, "float32"), indexIn(x, ["at0", "at1", "row + i"]));
      lines.push(
        `let weights = ${load(backward.denominators)};`,
        "let inverse = select(1.0 / weights, 0.0, weights == 0.0);",
        storeFact(shader, facts.inverses, "row + i", "inverse"),
        storeFact(shader, facts.corrections, "row + i", `-${load(backward.products)} * inverse`),
      );
    }
    return lines.join("\n");
  };
  return statisticsLaunch(problem, { name: "queries", x: q, hasTotal: true, store });
}

/** What is known about single keys; `runningMaxima` makes facts of it. */
export function keyStatistics(problem: Problem): Launch {
  const { map, facts, k, keyMask } = problem;
  const store = (shader: ShaderBuilder): string => {
    const number = (value: number): string => constantCode(value, "float32", shader.helpers);
    const takesPart =
      keyMask === null
        ? "true"
        : shader.load(
            shader.slot(keyMask.buffer, keyMask.dtype),
            indexIn(keyMask, ["at0", "row + i"]),
          );
    const norm = map.projection === null ? "0.0" : "halfNorm";
    return `let takesPart = ${takesPart};
${storeFact(shader, facts.running, "row + i + 1", `select(${number(lowestMaximum)}, largest, takesPart)`)}
${storeFact(shader, facts.keyOffsets, "row + i", `select(${number(hugeOffset)}, ${norm}, takesPart)`)}`;
  };
  return statisticsLaunch(problem, { name: "keys", x: k, hasTotal: false, store });
}

/** Most invocations that go over the keys of a head. */
const mostLanes = 256;

/**
 * Makes running maxima of those of single keys, and stores them and the last where that is wanted;
 * `initial` [b, hk] is what they start from.
 */
export function runningMaxima(
  { context, facts, sizes }: Problem,
  initial: Operand | null,
  final: Operand | null,
  all: Operand | null,
): Launch {
  const { batch, keyHeads, keys } = sizes;
  const lanes = Math.min(mostLanes, 2 ** Math.ceil(Math.log2(Math.max(keys, 1))));
  const each = Math.ceil(keys / lanes);
  const shader = context.shader();
  const slot = shader.slot(facts.running.buffer, "float32");
  const at = (fact: Operand, row: string): string => indexIn(fact, ["at0", "at1", row]);
  const load = (fact: Operand, row: string): string => shader.load(slot, at(fact, row));
  const storeElsewhere = (x: Operand | null, place: readonly string[], value: string): string =>
    x === null ? "" : shader.store(shader.slot(x.buffer, "float32"), indexIn(x, place), value);
  const lowest = constantCode(lowestMaximum, "float32", shader.helpers);
  const huge = constantCode(hugeOffset / 2, "float32", shader.helpers);
  const first =
    initial === null
      ? lowest
      : `max(${lowest}, ${shader.load(shader.slot(initial.buffer, "float32"), indexIn(initial, ["at0", "at1"]))})`;
  shader.declare(`var<workgroup> maxima: array<f32, ${lanes}>;`);
  const body = `${coordinatesOf("group", [batch, keyHeads], "at")}
let first = ${first};
let start = lane * ${each};
let end = min(start + ${each}, ${keys});
var largest = ${lowest};
for (var key = start; key < end; key++) { largest = max(largest, ${load(facts.running, "key + 1")}); }
maxima[lane] = largest;
workgroupBarrier();
largest = first;
for (var i = 0; i < lane; i++) { largest = max(largest, maxima[i]); }
for (var key = start; key < end; key++) {
largest = max(largest, ${load(facts.running, "key + 1")});
${storeFact(shader, facts.running, "key + 1", "largest")}
${storeElsewhere(all, ["at0", "at1", "key"], "largest")}
let offset = ${load(facts.keyOffsets, "key")};
if (offset < ${huge}) { ${storeFact(shader, facts.keyOffsets, "key", "offset + largest")} }
}
if (lane == 0) { ${storeFact(shader, facts.running, "0", "first")} }
if (lane == ${lanes - 1}) { ${storeElsewhere(final, ["at0", "at1"], "largest")} }`;
  return shader.perGroup(
    `feature attention maxima ${batch * keyHeads}x${keys}`,
    batch * keyHeads,
    lanes,
    body,
  );
}
