/** Small products: every element is one invocation's work, which compiles fast and needs no barrier. */

import type { Launch } from "../../launch.js";
import type { LoweringContext } from "../../native.js";
import { coordinatesOf } from "../view.js";
import { Factor, nameOf, type Problem } from "./problem.js";
import { finalResult } from "./result.js";

/** The launch of a product whose sums are short. */
export function lowerDirect(problem: Problem, context: LoweringContext): Launch {
  const { m, n, k, batch, batchShape } = problem;
  const shader = context.shader();
  const result = finalResult(shader, problem, false);
  const sum = (): string => {
    const left = new Factor(shader, "left", problem.left, 1);
    const right = new Factor(shader, "right", problem.right, 1);
    return `${coordinatesOf("batch", batchShape, "b")}
${left.base()}
${right.base()}
for (var p = 0; p < ${k}; p++) { sum += ${left.at("row", "p")} * ${right.at("column", "p")}; }`;
  };
  const body = `let column = item % ${n};
let row = (item / ${n}) % ${m};
let batch = item / ${m * n};
var sum = 0.0;
${k === 0 ? "" : sum()}
${result.store("row", "column", "sum")}`;
  return shader.perItem(nameOf(problem), batch * m * n, body);
}
