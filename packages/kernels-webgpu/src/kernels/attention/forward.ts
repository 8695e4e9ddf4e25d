/**
 * Attention without the matrix of scores: a workgroup has some queries and goes over the keys in
 * blocks. For each query the largest score so far is kept and the sum of e^(score − largest); a block
 * that brings a larger score makes all earlier sums smaller by a factor.
 *
 * Where queries are too few to fill the device, as in decoding, the keys are shared out over several
 * workgroups, and a second launch joins what these have found.
 */

import type { Launch } from "../../launch.js";
import type { LoweringContext, NativeKernel } from "../../native.js";
import { constantCode } from "../../wgsl/functions.js";
import type { ShaderBuilder } from "../../wgsl/shader.js";
import { indexIn } from "../view.js";
import { type Draw, joinDraw } from "./draw.js";
import { joinParts, partTarget, type Target, wholeTarget } from "./parts.js";
import { acceptsView, type Problem, problemOf, supports } from "./problem.js";
import { beginning, declareMemory, parts, scores, Sums } from "./product.js";
import { keyRows, placeOf, queryRows, RowAccess, type Rows } from "./rows.js";
import { partLength, type Tile, tileFor } from "./tile.js";
import { Pairs } from "./visibility.js";

/** The kernel of `scaledDotProductAttention`. */
export const scaledDotProductAttentionKernel: NativeKernel = {
  op: "scaledDotProductAttention",
  supports,
  omitsOutputs: true,
  acceptsView,
  lower: (step, context) => {
    const problem = problemOf(step);
    const { batch, keyHeads, keySize, valueSize, keys, left, right } = problem;
    const { count: rows } = queryRows(problem);
    if (batch * rows === 0) return [];
    const tileProblem = { rows, columns: keys, depths: [keySize], results: [valueSize] };
    const tile = tileFor(`attention ${left} ${right}`, batch * keyHeads, tileProblem, context);
    const length = partLength(keys, batch * keyHeads * Math.ceil(rows / tile.rows), tile);
    const [y, lse] = step.outputs as [number | null, number | null];
    const whole = wholeTarget(problem, y, lse);
    const { launches, draw } = joinDraw(problem, context);
    if (length >= keys) return [...launches, attend(problem, tile, whole, draw, context)];
    const found = partTarget(problem, length, context);
    return [
      ...launches,
      attend(problem, tile, found, draw, context),
      joinParts(problem, found, whole, context),
    ];
  },
};

/** A workgroup for each tile of queries, and for each part of the keys. */
function attend(
  problem: Problem,
  tile: Tile,
  target: Target,
  draw: Draw | null,
  context: LoweringContext,
): Launch {
  const { batch, keyHeads, q, k, v, guide } = problem;
  const { across, rows, columns, invocations } = tile;
  const { values, statistics, size } = target;
  const [queries, keys] = [queryRows(problem), keyRows(problem)];
  const shader = context.shader();
  declareMemory(shader, tile);
  shader.declare(`var<workgroup> joined: array<vec4f, ${invocations}>;
fn largestOf(x: vec4f) -> f32 { return max(max(x.x, x.y), max(x.z, x.w)); }`);
  const stored = values === null ? [] : [values];
  const access = new RowAccess(shader, [q, k, v, ...stored], [guide, statistics]);
  const query = access.factor("readQuery", q, queries);
  const key = access.factor("readKey", k, keys);
  const sums = values === null ? null : new Sums(tile, "sum", tile.results[0]!);
  const pairs = new Pairs(shader, problem, tile, "queries", draw);
  const tiles = Math.ceil(queries.count / rows);
  const hidden = constantCode(-Infinity, "float32", shader.helpers);
  const joinRows = (start: string, join: (other: string) => string): string =>
    `workgroupBarrier();
${start}
for (var i = 0; i < ${across}; i++) { ${join(`joined[y * ${across} + i]`)} }`;

  // Later queries come first: when causal they have the most to do.
  const body = `let part = group % ${target.parts};
let first = (${tiles - 1} - group / ${target.parts} % ${tiles}) * ${rows};
let head = group / ${target.parts * tiles} % ${keyHeads};
let batch = group / ${target.parts * tiles * keyHeads};
${beginning(tile)}
${pairs.beginning()}
${pairs.range()}
${target.parts === 1 ? "" : `begin = max(begin, part * ${target.length});\nend = min(end, (part + 1) * ${target.length});`}
var largest = vec4f(${hidden});
var totals = vec4f();
${sums?.declare() ?? ""}
for (var column = begin; column < end; column += ${columns}) {
${scores(tile, "score", query, key)}
${pairs.score("score")}
joined[lane] = vec4f(${parts.map((_, r) => `largestOf(score${r})`).join(", ")});
${joinRows("var most = largest;", (other) => `most = max(most, ${other});`)}
let shift = finite(most);
let factor = weigh(largest, shift);
largest = most;
totals *= factor;
${parts
  .map(
    (part, r) => `score${r} = weigh(score${r}, vec4f(shift.${part}));
totals.${part} += dot(score${r}, vec4f(1));
weights[(y * 4 + ${r}) * ${across} + x] = ${pairs.dropped(`score${r}`, r)};`,
  )
  .join("\n")}
${sums?.multiply((r) => `factor.${parts[r]!}`) ?? ""}
${sums?.add(access.factor("readValue", v, keys)) ?? ""}
}
joined[lane] = totals;
${joinRows("totals = vec4f();", (other) => `totals += ${other};`)}
${storeSums()}
${storeStatistics(shader, target, queries)}`;
  const groups = batch * keyHeads * tiles * target.parts;
  return shader.perGroup(`attention ${problem.name}`, groups, invocations, body);

  function storeSums(): string {
    if (sums === null) return "";
    const store = access.writer("store", values!, queries);
    const finish = sums.finish(
      (row, at, sum) => `if (${at} < ${size}) { ${store(row, `part * ${size} + ${at}`, sum)} }`,
      (r) => `share.${parts[r]!}`,
    );
    return `let share = ${target.factor};\n${finish}`;
  }
}

/** Statements by which one invocation for each four rows stores their statistics. */
function storeStatistics(
  shader: ShaderBuilder,
  { statistics, numbers }: Target,
  rows: Rows,
): string {
  if (statistics === null) return "";
  shader.helpers.use("floatLog");
  const slot = shader.slot(statistics.buffer, "float32");
  const store = (number: string, i: number): string => {
    const place = [...placeOf(rows, "row"), `part * ${numbers.length} + ${i}`];
    return shader.store(slot, indexIn(statistics, place), number);
  };
  return `if (x == 0) {
for (var r = 0; r < 4; r++) {
let row = first + y * 4 + r;
if (row < ${rows.count}) { ${numbers.map(store).join(" ")} }
}
}`;
}
