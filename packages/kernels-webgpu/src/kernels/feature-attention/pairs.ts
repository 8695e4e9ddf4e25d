/** What is known about the pairs of a query and a key. */

import { constantCode } from "../../wgsl/functions.js";
import type { ShaderBuilder } from "../../wgsl/shader.js";
import { hugeOffset } from "./problem.js";
import type { Scan } from "./scan.js";
import { loadFact } from "./vectors.js";

/**
 * Declares, for four queries or keys from one on:
 *
 * - `maximaOfQueries`, `maximaOfKeys`: running maxima, and `maximumBefore` of one key
 * - `seenByQueries`: how many keys each sees
 * - `addedOf(matrix, query)`: what is added to the scores of each; also of the sums of the state
 * - `presencesOf(matrix, key)`: 1 for keys that take part, else 0
 */
export function declarePairs(shader: ShaderBuilder, scan: Scan): void {
  const { visible, sizes, facts, added, rowSum, columnSum, hasKeyMask } = scan;
  const { queries, keys } = sizes;
  const isOrdered = typeof visible === "object";
  if (visible === "full") shader.declare(`fn seenBy(i: i32) -> i32 { return ${keys}; }`);
  else if (visible === "causal") {
    shader.declare(
      `fn seenBy(i: i32) -> i32 { return clamp(i + ${1 + keys - queries}, 0, ${keys}); }`,
    );
  }
  const fourOf = (expression: string): string =>
    `vec4f(${[0, 1, 2, 3].map((i) => expression.replaceAll("#", `(first + ${i})`)).join(", ")})`;
  // Beyond the last any numbers will do that are finite.
  const query = isOrdered ? `placeOf(min(#, ${queries - 1}))` : `min(#, ${queries - 1})`;
  const numbers = (name: string, fact: typeof facts.shares | null | undefined): void => {
    const value = fact ? fourOf(loadFact(shader, fact, "matrix", query)) : "vec4f(1.0)";
    shader.declare(`fn ${name}(matrix: i32, first: i32) -> vec4f { return ${value}; }`);
  };
  const huge = constantCode(hugeOffset / 2, "float32", shader.helpers);
  const offsets = fourOf(loadFact(shader, facts.keyOffsets, "matrix", `min(#, ${keys - 1})`));
  const presences = hasKeyMask
    ? `select(vec4f(1.0), vec4f(), ${offsets} > vec4f(${huge}))`
    : "vec4f(1.0)";
  shader.declare(`fn maximumBefore(matrix: i32, key: i32) -> f32 {
return ${loadFact(shader, facts.running, "matrix", "key")};
}
fn maximaOfKeys(matrix: i32, first: i32) -> vec4f {
return ${fourOf(`maximumBefore(matrix, min(# + 1, ${keys}))`)};
}
fn seenByQueries(first: i32) -> vec4i {
return vec4i(${[0, 1, 2, 3].map((i) => `seenBy(first + ${i})`).join(", ")});
}
fn maximaOfQueries(matrix: i32, first: i32) -> vec4f {
let seen = seenByQueries(first);
return vec4f(${["x", "y", "z", "w"].map((lane) => `maximumBefore(matrix, seen.${lane})`).join(", ")});
}
fn presencesOf(matrix: i32, first: i32) -> vec4f { return ${presences}; }`);
  numbers("addedOf", added.numbers);
  numbers("rowWeightsOf", rowSum?.coefficients);
  numbers("columnWeightsOf", columnSum?.coefficients);
}
