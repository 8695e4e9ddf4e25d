/**
 * Attention without the matrix of scores: a workgroup has some queries and goes over the keys in
 * blocks. For each query the largest score so far is kept and the sum of e^(score − largest); a block
 * that brings a larger score makes all earlier sums smaller by a factor.
 *
 * Where queries are too few to fill the device, as in decoding, the keys are shared out over several
 * workgroups, and a second launch joins what these have found.
 */

import type { NativeStep, Operand } from "@x/tensor/device";
import type { Launch } from "../../launch.js";
import type { LoweringContext, NativeKernel } from "../../native.js";
import { constantCode } from "../../wgsl/functions.js";
import { denseView, indexIn } from "../view.js";
import { type Draw, joinDraw } from "./draw.js";
import { acceptsView, type Problem, problemOf, supports } from "./problem.js";
import { beginning, declareMemory, type Factor, parts, scores, Sums } from "./product.js";
import { keyRows, placeOf, queryRows, RowAccess } from "./rows.js";
import { partLength, type Tile, tilesFor } from "./tile.js";
import { Pairs } from "./visibility.js";
import { declareWeighing } from "./weigh.js";

/** The results of an attention: `null` where nobody wants them. */
interface Results {
  /** Sums of values, [b, h, n, e]. */
  readonly y: Operand | null;
  /** Logarithms of the rows' sums, [b, h, n]. */
  readonly lse: Operand | null;
}

/** What parts of the keys have found. */
interface Found {
  /** Sums of values, [b, h, n, parts × e'], e' being e rounded up to whole vectors. */
  readonly values: Operand;
  /** The largest score and the sum of each part, [b, h, n, parts × 2]. */
  readonly statistics: Operand;
  /** Keys of a part. */
  readonly length: number;
  /** Number of parts. */
  readonly count: number;
}

/** The kernel of `scaledDotProductAttention`. */
export const scaledDotProductAttentionKernel: NativeKernel = {
  op: "scaledDotProductAttention",
  supports,
  acceptsView,
  lower: (step, context) => {
    const problem = problemOf(step);
    const { batch, keyHeads, keySize, valueSize, keys } = problem;
    const { count: rows } = queryRows(problem);
    if (batch * rows === 0) return [];
    const tileProblem = { rows, columns: keys, depths: [keySize], results: [valueSize] };
    const tile = tilesFor(tileProblem, context)[0]!;
    const length = partLength(keys, batch * keyHeads * Math.ceil(rows / tile.rows), tile);
    const results = resultsOf(step, problem);
    const { launches, draw } = joinDraw(problem, context);
    if (length >= keys) return [...launches, attend(problem, tile, results, draw, context)];
    const found = workspaceOf(problem, length, context);
    return [
      ...launches,
      attend(problem, tile, found, draw, context),
      join(problem, found, results, context),
    ];
  },
};

/** A dense tensor with so many numbers for each query. */
function perQuery(problem: Problem, buffer: number, size: number): Operand {
  const { batch, keyHeads, group, queries } = problem;
  return denseView(buffer, "float32", [batch, keyHeads * group, queries, size]);
}

function resultsOf({ outputs }: NativeStep, problem: Problem): Results {
  const [y, lse] = outputs as [number | null, number | null];
  return {
    y: y === null ? null : perQuery(problem, y, problem.valueSize),
    lse: lse === null ? null : perQuery(problem, lse, 1),
  };
}

function workspaceOf(problem: Problem, length: number, context: LoweringContext): Found {
  const count = Math.ceil(problem.keys / length);
  const tensor = (size: number): Operand => {
    const { batch, keyHeads } = problem;
    const bytes = 4 * batch * keyHeads * queryRows(problem).count * size;
    return perQuery(problem, context.workspace(bytes), size);
  };
  const size = 4 * Math.ceil(problem.valueSize / 4);
  return { values: tensor(count * size), statistics: tensor(count * 2), length, count };
}

/** A workgroup for each tile of queries, and for each part of the keys. */
function attend(
  problem: Problem,
  tile: Tile,
  results: Results | Found,
  draw: Draw | null,
  context: LoweringContext,
): Launch {
  const { batch, keyHeads, q, k, v, guide, valueSize } = problem;
  const { across, rows, columns, invocations } = tile;
  const found = "values" in results ? results : null;
  const output = "values" in results ? results.values : results.y;
  const statistics = "values" in results ? results.statistics : results.lse;
  const partCount = found?.count ?? 1;
  const queries = queryRows(problem);
  const shader = context.shader();
  declareMemory(shader, tile);
  shader.declare(`var<workgroup> joined: array<vec4f, ${invocations}>;`);
  const access = new RowAccess(
    shader,
    [q, k, v, ...(output === null ? [] : [output])],
    [guide, statistics],
  );
  const reader = (name: string, operand: Operand, ofRows = keyRows(problem)): Factor => ({
    size: operand.shape[3]!,
    read: access.reader(name, operand, ofRows),
  });
  const [query, key] = [reader("readQuery", q, queries), reader("readKey", k)];
  const sums = output === null ? null : new Sums(tile, "sum", tile.results[0]!);
  const pairs = new Pairs(shader, problem, tile, "queries", draw);
  const hidden = constantCode(-Infinity, "float32", shader.helpers);
  const tiles = Math.ceil(queries.count / rows);

  // Later queries come first: when causal they have the most to do.
  const body = `let part = group % ${partCount};
let first = (${tiles - 1} - group / ${partCount} % ${tiles}) * ${rows};
let batch = group / ${partCount * tiles * keyHeads};
let head = group / ${partCount * tiles} % ${keyHeads};
${beginning(tile)}
${pairs.beginning()}
${pairs.range()}
${found === null ? "" : `begin = max(begin, part * ${found.length});\nend = min(end, (part + 1) * ${found.length});`}
var largest = vec4f(${hidden});
var totals = vec4f();
${sums?.declare() ?? ""}
for (var column = begin; column < end; column += ${columns}) {
${scores(tile, "score", query, key)}
${pairs.score("score")}
joined[lane] = vec4f(${parts.map((_, r) => `largestOf(score${r})`).join(", ")});
workgroupBarrier();
var most = largest;
for (var i = 0; i < ${across}; i++) { most = max(most, joined[y * ${across} + i]); }
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
${sums === null ? "" : `${sums.multiply((r) => `factor.${parts[r]!}`)}\n${sums.add(reader("readValue", v))}`}
}
joined[lane] = totals;
workgroupBarrier();
totals = vec4f();
for (var i = 0; i < ${across}; i++) { totals += joined[y * ${across} + i]; }
${found === null ? "let inverse = select(1 / totals, vec4f(), totals == vec4f());" : ""}
${sums === null ? "" : storeSums(sums, access.writer("store", output!, queries))}
${storeStatistics()}`;
  shader.declare("fn largestOf(x: vec4f) -> f32 { return max(max(x.x, x.y), max(x.z, x.w)); }");
  const groups = batch * keyHeads * tiles * partCount;
  return shader.perGroup(`attention ${problem.name}`, groups, invocations, body);

  function storeSums(
    own: Sums,
    store: (row: string, column: string, value: string) => string,
  ): string {
    if (found === null) return own.finish(store, (r) => `inverse.${parts[r]!}`);
    const size = 4 * Math.ceil(valueSize / 4);
    const storePart = (row: string, at: string, value: string): string =>
      `if (${at} < ${size}) { ${store(row, `part * ${size} + ${at}`, value)} }`;
    return own.finish(storePart, () => "1");
  }

  function storeStatistics(): string {
    if (statistics === null) return "";
    const slot = shader.slot(statistics.buffer, "float32");
    const store = (place: string, value: string): string =>
      shader.store(slot, indexIn(statistics, [...placeOf(queries, "row"), place]), value);
    if (found === null) shader.helpers.use("floatLog");
    return `if (x == 0) {
for (var r = 0; r < 4; r++) {
let row = first + y * 4 + r;
if (row < ${queries.count}) {
${found === null ? store("0", "largest[r] + floatLog(totals[r])") : `${store("part * 2", "largest[r]")}\n${store("part * 2 + 1", "totals[r]")}`}
}
}
}`;
  }
}

/** An invocation for each vector of the output goes over what the parts have found. */
function join(
  problem: Problem,
  { values, statistics, count }: Found,
  { y, lse }: Results,
  context: LoweringContext,
): Launch {
  const { batch, keyHeads, group, queries, valueSize } = problem;
  const vectors = Math.ceil(valueSize / 4);
  const rows = { count: queries, group: 1 };
  const shader = context.shader();
  const access = new RowAccess(shader, [values, ...(y === null ? [] : [y])], [statistics, lse]);
  const value = access.reader("readFound", values, rows)("row", `part * ${4 * vectors} + column`);
  const store = y === null ? null : access.writer("store", y, rows);
  const slot = shader.slot(statistics.buffer, "float32");
  const statistic = (place: string): string =>
    shader.load(slot, indexIn(statistics, ["batch", "head", "row", place]));
  const hidden = constantCode(-Infinity, "float32", shader.helpers);
  shader.helpers.use("floatLog");
  declareWeighing(shader);
  const storeLse =
    lse === null
      ? ""
      : `if (column == 0) { ${shader.store(
          shader.slot(lse.buffer, "float32"),
          indexIn(lse, ["batch", "head", "row", "0"]),
          "largest + floatLog(total)",
        )} }`;
  const heads = keyHeads * group;
  const body = `let column = item % ${vectors} * 4;
let row = item / ${vectors} % ${queries};
let head = item / ${vectors * queries} % ${heads};
let batch = item / ${vectors * queries * heads};
var largest = ${hidden};
for (var part = 0; part < ${count}; part++) { largest = max(largest, ${statistic("part * 2")}); }
let shift = finite(vec4f(largest));
var total = 0f;
var sum = vec4f();
for (var part = 0; part < ${count}; part++) {
let factor = weigh(vec4f(${statistic("part * 2")}), shift);
total += factor.x * ${statistic("part * 2 + 1")};
sum += factor * ${value};
}
${store?.("row", "column", "select(sum / total, vec4f(), total == 0)") ?? ""}
${storeLse}`;
  return shader.perItem(`attention join ${problem.name}`, batch * heads * queries * vectors, body);
}
