/**
 * What a workgroup of the forward pass leaves: the output, or, where keys are shared out over several
 * workgroups, what each part of the keys has found, which another launch joins.
 */

import type { Operand } from "@x/tensor/device";
import type { Launch } from "../../launch.js";
import type { LoweringContext } from "../../native.js";
import { constantCode } from "../../wgsl/functions.js";
import { denseView, indexIn } from "../view.js";
import type { Problem } from "./problem.js";
import { queryRows, RowAccess, type Rows } from "./rows.js";
import { declareWeighing } from "./weigh.js";

/** Where the results of workgroups go; expressions know the rows' `largest` scores and `totals`. */
export interface Target {
  /** Number of parts of the keys. */
  readonly parts: number;
  /** Keys of each. */
  readonly length: number;
  /** Sums of values, [b, h, n, parts × size]; `null`: nobody wants them. */
  readonly values: Operand | null;
  /** Numbers of a part there. */
  readonly size: number;
  /** What the sums are multiplied by: a vector, of the four rows. */
  readonly factor: string;
  /** Other numbers of the rows, [b, h, n, parts × how many]; `null`: nobody wants them. */
  readonly statistics: Operand | null;
  /** Expressions for them, of row `r`; they may call `floatLog`. */
  readonly numbers: readonly string[];
}

/** The output and the logarithms of the rows' sums, all keys being one part. */
export function wholeTarget(problem: Problem, y: number | null, lse: number | null): Target {
  const { keys, valueSize: size } = problem;
  return {
    parts: 1,
    length: keys,
    values: y === null ? null : perQuery(problem, y, size),
    size,
    factor: "select(1 / totals, vec4f(), totals == vec4f())",
    statistics: lse === null ? null : perQuery(problem, lse, 1),
    numbers: ["largest[r] + floatLog(totals[r])"],
  };
}

/** Memory for what parts of so many keys find. */
export function partTarget(problem: Problem, length: number, context: LoweringContext): Target {
  const { batch, keyHeads, keys, valueSize } = problem;
  const [parts, size] = [Math.ceil(keys / length), 4 * Math.ceil(valueSize / 4)];
  const tensor = (count: number): Operand => {
    const bytes = 4 * batch * keyHeads * queryRows(problem).count * count;
    return perQuery(problem, context.workspace(bytes), count);
  };
  return {
    parts,
    length,
    values: tensor(parts * size),
    size,
    factor: "vec4f(1)",
    statistics: tensor(parts * 2),
    numbers: ["largest[r]", "totals[r]"],
  };
}

/** A dense tensor with so many numbers for each query. */
function perQuery(problem: Problem, buffer: number, size: number): Operand {
  const { batch, keyHeads, group, queries } = problem;
  return denseView(buffer, "float32", [batch, keyHeads * group, queries, size]);
}

/** An invocation for each vector of the output goes over what the parts have found. */
export function joinParts(
  problem: Problem,
  found: Target,
  { values: y, statistics: lse }: Target,
  context: LoweringContext,
): Launch {
  const { batch, keyHeads, group, queries } = problem;
  const { parts, size } = found;
  const [values, statistics] = [found.values!, found.statistics!];
  const rows: Rows = { count: queries, group: 1 };
  const shader = context.shader();
  const access = new RowAccess(shader, [values, ...(y === null ? [] : [y])], [statistics, lse]);
  const value = access.factor("readFound", values, rows).read("row", `part * ${size} + column`);
  const store = y === null ? null : access.writer("store", y, rows);
  const slot = shader.slot(statistics.buffer, "float32");
  const vectors = size / 4;
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
for (var part = 0; part < ${parts}; part++) { largest = max(largest, ${statistic("part * 2")}); }
let shift = finite(vec4f(largest));
var total = 0f;
var sum = vec4f();
for (var part = 0; part < ${parts}; part++) {
let factor = weigh(vec4f(${statistic("part * 2")}), shift);
total += factor.x * ${statistic("part * 2 + 1")};
sum += factor * ${value};
}
${store?.("row", "column", "select(sum / total, vec4f(), total == 0)") ?? ""}
${storeLse}`;
  return shader.perItem(`attention join ${problem.name}`, batch * heads * queries * vectors, body);
}
