/**
 * The backward pass of attention. The weights are computed again from the logarithms of the rows'
 * sums, so that nothing quadratic was stored.
 *
 * With P the weights, D_i = y_i · dy_i and dS = P ∘ (dy vᵀ − D):
 *
 *   dv = Pᵀ dy,   dk = scale · dSᵀ q,   dq = scale · dS k.
 *
 * One launch has workgroups for keys, which go over the queries, for dk and dv; another has them for
 * queries, which go over the keys, for dq. So nobody adds to what others write.
 */

import type { Operand } from "@x/tensor/device";
import type { Launch } from "../../launch.js";
import type { LoweringContext, NativeKernel } from "../../native.js";
import { constantCode } from "../../wgsl/functions.js";
import { denseView, indexIn, product } from "../view.js";
import { copyDraw, type Draw } from "./draw.js";
import { acceptsView, type Problem, problemOf, supports } from "./problem.js";
import { beginning, columnAt, declareMemory, parts, scores, Sums } from "./product.js";
import { keyRows, placeOf, queryRows, RowAccess, type Rows } from "./rows.js";
import { tileFor } from "./tile.js";
import { type Own, Pairs } from "./visibility.js";
import { declareWeighing } from "./weigh.js";

/** A problem with what is known of its output. */
interface Backward extends Problem {
  /** The cotangent of the output, [b, h, n, e]. */
  readonly dy: Operand;
  /** For each query the shift of its scores and D, as bits: [b, h, n, 2]. */
  readonly statistics: Operand;
  /** The draw, behind the statistics: so no shader has more than 8 buffers. */
  readonly copied: Draw | null;
}

/** Dense tensors for the results; `null` where nobody wants them. */
interface Results {
  /** What the weights times cotangents of the output give: dv. */
  readonly weighted: Operand | null;
  /** What the cotangents of scores give: dk or dq. */
  readonly through: Operand | null;
}

/** The kernel of `scaledDotProductAttentionBackward`. */
export const scaledDotProductAttentionBackwardKernel: NativeKernel = {
  op: "scaledDotProductAttentionBackward",
  supports,
  omitsOutputs: true,
  acceptsView,
  lower: (step, context) => {
    const problem = problemOf(step);
    const { batch, keyHeads, group, queries, keys, q, k, v } = problem;
    const [y, lse, dy] = problem.rest as [Operand, Operand, Operand];
    const [dq, dk, dv] = step.outputs.map((buffer, i) =>
      buffer === null ? null : denseView(buffer, "float32", [q, k, v][i]!.shape),
    ) as [Operand | null, Operand | null, Operand | null];
    const shape = [batch, keyHeads * group, queries, 2];
    const words = product(shape);
    const buffer = context.workspace(4 * (words + problem.draw.length));
    const backward: Backward = {
      ...problem,
      dy,
      statistics: denseView(buffer, "uint32", shape),
      copied: problem.draw.length > 0 ? { buffer, offset: words } : null,
    };
    const launches: Launch[] = [];
    if (words > 0) launches.push(prepare(backward, y, lse, context));
    if (batch * keys > 0 && (dk !== null || dv !== null)) {
      launches.push(gradients("keys", backward, { weighted: dv, through: dk }, context));
    }
    if (words > 0 && dq !== null) {
      launches.push(gradients("queries", backward, { weighted: null, through: dq }, context));
    }
    return launches;
  },
};

/** An invocation for each query computes its statistics. */
function prepare(problem: Backward, y: Operand, lse: Operand, context: LoweringContext): Launch {
  const { batch, keyHeads, group, queries, valueSize, dy, statistics, draw, copied } = problem;
  const heads = keyHeads * group;
  const rows: Rows = { count: queries, group: 1 };
  const shader = context.shader();
  const access = new RowAccess(shader, [y, dy], [lse, statistics, ...draw]);
  const [left, right] = [y, dy].map((operand, i) =>
    access.factor(["readOutput", "readCotangent"][i]!, operand, rows).read("row", "column"),
  );
  const slot = shader.slot(statistics.buffer, "uint32");
  const store = (i: number, value: string): string =>
    shader.store(slot, `item * 2 + ${i}`, `bitcast<u32>(${value})`);
  const logarithm = shader.load(
    shader.slot(lse.buffer, "float32"),
    indexIn(lse, ["batch", "head", "row"]),
  );
  declareWeighing(shader);
  const body = `let row = item % ${queries};
let head = item / ${queries} % ${heads};
let batch = item / ${queries * heads};
var sum = vec4f();
for (var column = 0; column < ${valueSize}; column += 4) {
sum += ${left!} * ${right!};
}
${store(0, `finite(vec4f(${logarithm})).x`)}
${store(1, "dot(sum, vec4f(1))")}
${copied === null ? "" : `if (item == 0) { ${copyDraw(shader, problem, copied)} }`}`;
  return shader.perItem(`attention rows ${problem.name}`, batch * heads * queries, body);
}

/** A workgroup for each tile of queries, or keys, computes their gradients. */
function gradients(
  own: Own,
  problem: Backward,
  { weighted, through }: Results,
  context: LoweringContext,
): Launch {
  const { batch, keyHeads, keySize, valueSize, q, k, v, guide, dy, statistics, copied } = problem;
  const [queries, keys] = [queryRows(problem), keyRows(problem)];
  const [ownRows, otherRows] = own === "queries" ? [queries, keys] : [keys, queries];
  const results = [
    ...(weighted === null ? [] : [valueSize]),
    ...(through === null ? [] : [keySize]),
  ];
  const tileProblem = {
    rows: ownRows.count,
    columns: otherRows.count,
    depths: [keySize, valueSize],
    results,
  };
  const kernel = `attention backward, ${own} ${problem.left} ${problem.right}`;
  const tile = tileFor(kernel, batch * keyHeads, tileProblem, context);
  const { rows, columns, across, invocations } = tile;
  const shader = context.shader();
  declareMemory(shader, tile);
  const outputs = [weighted, through].filter((operand) => operand !== null);
  const access = new RowAccess(shader, [q, k, v, dy, ...outputs], [guide, statistics]);
  const ofQueries = [
    access.factor("readQuery", q, queries),
    access.factor("readCotangent", dy, queries),
  ] as const;
  const ofKeys = [access.factor("readKey", k, keys), access.factor("readValue", v, keys)] as const;
  const [left, right] = own === "queries" ? [ofQueries, ofKeys] : [ofKeys, ofQueries];
  const pairs = new Pairs(shader, problem, tile, own, copied);
  const layouts = [...tile.results];
  const weightedSums = weighted && new Sums(tile, "weighted", layouts.shift()!);
  const throughSums = through && new Sums(tile, "through", layouts.shift()!);

  // Of the queries of the rows, or of the columns.
  const slot = shader.slot(statistics.buffer, "uint32");
  const word = shader.load(slot, indexIn(statistics, [...placeOf(queries, "row"), "i"]));
  shader.declare(`fn statistic(batch: i32, head: i32, row: i32, i: i32) -> f32 {
if (row >= ${queries.count}) { return 0; }
return bitcast<f32>(${word});
}`);
  const place = (r: number): string =>
    own === "queries" ? `first + y * 4 + ${r}` : `column + ${columnAt(tile, "x", r)}`;
  const four = (i: number): string =>
    `vec4f(${parts.map((_, r) => `statistic(batch, head, ${place(r)}, ${i})`).join(", ")})`;
  const readStatistics = `let shift = ${four(0)};\nlet product = ${four(1)};`;
  const ofRow = (name: string, r: number): string =>
    own === "queries" ? `vec4f(${name}.${parts[r]!})` : name;
  const store = (value: (r: number) => string): string =>
    parts.map((_, r) => `weights[(y * 4 + ${r}) * ${across} + x] = ${value(r)};`).join("\n");
  const storeWeighted = weighted && access.writer("storeWeighted", weighted, ownRows);
  const storeThrough = through && access.writer("storeThrough", through, ownRows);
  const scale = constantCode(problem.scale, "float32", shader.helpers);
  const tiles = Math.ceil(ownRows.count / rows);

  const body = `let first = group % ${tiles} * ${rows};
let head = group / ${tiles} % ${keyHeads};
let batch = group / ${tiles * keyHeads};
${beginning(tile)}
${pairs.beginning()}
${pairs.range()}
${own === "queries" ? readStatistics : ""}
${weightedSums?.declare() ?? ""}
${throughSums?.declare() ?? ""}
for (var column = begin; column < end; column += ${columns}) {
${own === "keys" ? readStatistics : ""}
${scores(tile, "score", left[0], right[0])}
${through === null ? "" : scores(tile, "slope", left[1], right[1])}
${pairs.score("score")}
${parts.map((_, r) => `score${r} = weigh(score${r}, ${ofRow("shift", r)});`).join("\n")}
${weightedSums === null ? "" : `${store((r) => pairs.dropped(`score${r}`, r))}\n${weightedSums.add(right[1])}\nworkgroupBarrier();`}
${throughSums === null ? "" : `${store((r) => `select(score${r} * (${pairs.dropped(`slope${r}`, r)} - ${ofRow("product", r)}), vec4f(), score${r} == vec4f())`)}\n${throughSums.add(right[0])}`}
}
${weightedSums?.finish(storeWeighted!, () => "1") ?? ""}
${throughSums?.finish(storeThrough!, () => scale) ?? ""}`;
  const groups = batch * keyHeads * tiles;
  const name = `attention ${own === "queries" ? "dq" : "dk dv"} ${problem.name}`;
  return shader.perGroup(name, groups, invocations, body);
}
