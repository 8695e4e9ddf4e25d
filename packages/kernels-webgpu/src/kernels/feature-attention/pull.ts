/** From cotangents of features to those of queries, or of keys. */

import type { Launch } from "../../launch.js";
import { constantCode } from "../../wgsl/functions.js";
import { RowAccess } from "../linear-attention/rows.js";
import {
  lanes as laneNames,
  product as addProducts,
  zeros,
} from "../linear-attention/tiled-steps.js";
import { coordinatesOf, denseView } from "../view.js";
import type { Problem } from "./problem.js";
import { declarePowers, declareProjection, declareVectors, four, type Vectors } from "./vectors.js";

/** Invocations that share four rows. */
const across = 16;
const mostLanes = 64;

/**
 * With features p = exp(b) of rows x and their cotangents c, in `buffer` and dense:
 *
 * - b = P x s − |x|² s²/2: dx = s Pᵀ (p · c) − s² x Σ p · c
 * - p = softmax(x), of queries: dx = p · c − p Σ p · c
 * - b = x, of keys: dx = p · c
 */
export function pullLaunch(
  { context, map }: Problem,
  features: Vectors,
  buffer: number,
  output: number,
): Launch {
  const { x, side } = features;
  const [batch, heads, length, size] = x.shape as [number, number, number, number];
  const fits = (fours: number): boolean =>
    16 * fours * (4 * Math.ceil(map.features / 4) + across) <= context.workgroupBytes;
  const fours = [4, 2, 1].find(fits) ?? 1;
  const count = Math.min(mostLanes, fours * across);
  const shader = context.shader();
  const given = denseView(buffer, "float32", [batch, heads, length, map.features]);
  const to = denseView(output, "float32", x.shape);
  const access = new RowAccess(shader, [x, map.projection, given, to]);
  declarePowers(shader);
  declareProjection(access, map);
  // ε has no gradient.
  declareVectors(shader, access, "powers", { ...features, map: { ...map, epsilon: 0 } }, "");
  access.declareLoad("given", given);
  access.declareStore("storeOutput", to);
  const number = (value: number): string => constantCode(value, "float32", shader.helpers);
  shader.declare(`var<workgroup> products: array<vec4f, ${4 * Math.ceil(map.features / 4) * fours}>;
var<workgroup> totals: array<vec4f, ${count}>;`);
  const powers = `powers(base, matrix, row, ${length}, column)`;
  const ownRow = (i: number): string => `powersRow(base, row + ${i}, ${length}, column)`;
  const result = (): string => {
    const store = (i: number, value: string): string =>
      `if (row + ${i} < ${length}) { storeOutput(toBase, row + ${i}, column, ${value}); }`;
    if (map.projection === null) {
      const own = side === "query" ? `let power = ${powers};` : "";
      const values = laneNames.map((lane, i) =>
        store(i, side === "query" ? `block[${i}] - power[${i}] * total.${lane}` : `block[${i}]`),
      );
      return `let block = transpose(mat4x4f(${four.map((i) => `products[(column + ${i}) * ${fours} + y]`).join(", ")}));
${own}
${values.join("\n")}`;
    }
    const direction = `projection(${map.projection.offset}, p, ${map.features}, column)`;
    const sums = [{ sum: "sum", right: direction }];
    const [scale, square] = [number(map.scale), number(map.scale * map.scale)];
    return `${zeros("sum")}
${addProducts(String(map.features), `products[p * ${fours} + y]`, sums)}
${laneNames.map((lane, i) => store(i, `${scale} * sum${i} - select(${square} * total.${lane} * ${ownRow(i)}, vec4f(), total.${lane} == 0.0)`)).join("\n")}`;
  };
  const givenRow = (i: number): string => `given(givenBase, row + ${i}, ${length}, column)`;
  const body = `${coordinatesOf("group", [batch, heads, Math.ceil(length / (4 * fours))], "at")}
let x = lane % ${across};
let y = lane / ${across};
let row = at2 * ${4 * fours} + 4 * y;
let matrix = at0 * ${heads} + at1;
let base = ${access.base(x, ["at0", "at1"])};
let givenBase = ${access.base(given, ["at0", "at1"])};
let toBase = ${access.base(to, ["at0", "at1"])};
var total = vec4f();
for (var column = 4 * x; column < ${map.features}; column += ${4 * across}) {
let power = ${powers};
let block = transpose(mat4x4f(${four.map((i) => `power[${i}] * ${givenRow(i)}`).join(", ")}));
${four.map((i) => `products[(column + ${i}) * ${fours} + y] = block[${i}];`).join("\n")}
total += block[0] + block[1] + block[2] + block[3];
}
totals[lane] = total;
workgroupBarrier();
total = vec4f();
for (var i = 0; i < ${across}; i++) { total += totals[y * ${across} + i]; }
for (var column = 4 * x; column < ${size}; column += ${4 * across}) {
${result()}
}`;
  return shader.perGroup(
    `feature attention pull ${batch * heads}x${length}x${size}x${map.features}`,
    batch * heads * Math.ceil(length / (4 * fours)),
    count,
    body,
  );
}
