/**
 * What is said about pairs of a query and a key: whether it is visible, what is added to its score,
 * and whether its weight is dropped. An invocation keeps that of its 4 × 4 pairs as bits.
 */

import { dropThreshold, type Operand } from "@x/tensor/device";
import { constantCode } from "../../wgsl/functions.js";
import type { ShaderBuilder, Slot } from "../../wgsl/shader.js";
import { indexIn } from "../view.js";
import type { Draw } from "./draw.js";
import type { Problem } from "./problem.js";
import { columnAt, parts } from "./product.js";
import { keyRows, placeOf, queryRows, type Rows } from "./rows.js";
import type { Tile } from "./tile.js";
import { declareWeighing } from "./weigh.js";

/** Which rows a workgroup has; it goes over the others. */
export type Own = "queries" | "keys";

/** The pairs of a tile while a shader is written. */
export class Pairs {
  readonly #shader: ShaderBuilder;
  readonly #problem: Problem;
  readonly #tile: Tile;
  readonly #own: Own;
  readonly #guide: Slot | null;
  readonly #draw: readonly string[];

  constructor(shader: ShaderBuilder, problem: Problem, tile: Tile, own: Own, draw: Draw | null) {
    this.#shader = shader;
    this.#problem = problem;
    this.#tile = tile;
    this.#own = own;
    const { guide } = problem;
    this.#guide = guide && shader.slot(guide.buffer, guide.dtype);
    this.#draw = draw === null ? [] : [0, 1, 2].map((i) => this.#word(draw, i));
    declareWeighing(shader);
  }

  #word({ buffer, offset }: Draw, i: number): string {
    return this.#shader.load(this.#shader.slot(buffer, "uint32"), String(offset + i));
  }

  /** The rows that the workgroup goes over. */
  get #columnRows(): Rows {
    return this.#own === "queries" ? keyRows(this.#problem) : queryRows(this.#problem);
  }

  get #ownRows(): Rows {
    return this.#own === "queries" ? queryRows(this.#problem) : keyRows(this.#problem);
  }

  /**
   * Statements that say from which column, `begin`, to which, `end`, a row of the tile, which begins
   * at `first`, sees any.
   */
  range(): string {
    const { left, right, keys, queries } = this.#problem;
    const { group, count } = this.#columnRows;
    const distance = keys - queries;
    const ownGroup = this.#ownRows.group;
    const last = `(min(first + ${this.#tile.rows}, ${this.#ownRows.count}) - 1) / ${ownGroup}`;
    const [before, behind] = this.#own === "queries" ? [left, right] : [right, left];
    const shift = this.#own === "queries" ? distance : -distance;
    const begin =
      before === null ? "0" : `max(0, first / ${ownGroup} + ${shift - before}) * ${group}`;
    const end =
      behind === null
        ? String(count)
        : `min(${count / group}, ${last} + ${shift + behind + 1}) * ${group}`;
    return `var begin = ${begin};\nvar end = ${end};`;
  }

  /** Whether lengths, causality and window are all that is said about pairs. */
  get #isPlain(): boolean {
    const { guide, draw } = this.#problem;
    return guide === null && draw.length === 0;
  }

  /**
   * Whether all pairs of the block are visible, as an expression that is the same for the workgroup.
   */
  #isWhole(): string {
    const { left, right, keys, queries } = this.#problem;
    const { rows, columns } = this.#tile;
    const { group } = queryRows(this.#problem);
    const distance = keys - queries;
    const [query, queryCount, key, keyCount] =
      this.#own === "queries"
        ? ["first", rows, "column", columns]
        : ["column", columns, "first", rows];
    const conditions = [`first + ${rows} <= ${this.#ownRows.count}`, `column + ${columns} <= end`];
    if (right !== null) {
      conditions.push(`${key} + ${keyCount - 1} <= ${query} / ${group} + ${distance + right}`);
    }
    if (left !== null) {
      conditions.push(`${key} >= (${query} + ${queryCount - 1}) / ${group} + ${distance - left}`);
    }
    return conditions.join(" && ");
  }

  /**
   * Statements that turn products `name0` … `name3` into scores, −∞ where a key is not visible, and
   * say in the bits of `kept` which weights are not dropped.
   */
  score(name: string): string {
    const { scale, guide, keys, queries, left, right, draw, dropout } = this.#problem;
    const { helpers } = this.#shader;
    const distance = keys - queries;
    const conditions = ["true"];
    if (right !== null) conditions.push(`key <= query + ${distance + right}`);
    if (left !== null) conditions.push(`key >= query + ${distance - left}`);
    const rows = this.#own === "queries" ? ["row", "other"] : ["other", "row"];
    const [batch, head, query] = placeOf(queryRows(this.#problem), rows[0]!);
    const lines = [
      `let queryHead = ${head};`,
      `let query = ${query};`,
      `let key = ${rows[1]!};`,
      `var sees = ${conditions.join(" && ")};`,
    ];
    const isBias = guide !== null && guide.dtype !== "bool";
    if (guide !== null) {
      const value = this.#shader.load(this.#guide!, guideIndex(guide, batch));
      // A vector of `weights` that nobody else uses before the block is weighed.
      const place = `weights[own + (pair >> 2u) * ${this.#tile.across}][pair & 3u]`;
      lines.push(isBias ? `${place} = ${value};` : `if (sees) { sees = ${value}; }`);
    }
    lines.push("visible |= select(0u, 1u, sees) << pair;");
    if (draw.length > 0) {
      helpers.use("threefry");
      const heads = this.#problem.keyHeads * this.#problem.group;
      const position = `((batch * ${heads} + queryHead) * ${queries} + query) * ${keys} + key`;
      lines.push(
        `let word = threefry(key0, key1, u32(${position}), counter).x;`,
        `kept |= select(0u, 1u, word >= ${dropThreshold(dropout)}u) << pair;`,
      );
    }
    const loop = `for (var pair = 0u; pair < 16u; pair++) {
let row = first + y * 4 + i32(pair >> 2u);
let other = column + ${columnAt(this.#tile, "x", "i32(pair & 3u)")};
if (row < ${this.#ownRows.count} && other < end) {
${lines.join("\n")}
}
}`;
    const factor = constantCode(scale, "float32", helpers);
    const hidden = constantCode(-Infinity, "float32", helpers);
    const isAlwaysWhole =
      this.#isPlain &&
      left === null &&
      right === null &&
      this.#ownRows.count % this.#tile.rows === 0 &&
      this.#columnRows.count % this.#tile.columns === 0;
    if (isAlwaysWhole) {
      return parts.map((_, r) => `${name}${r} *= ${factor};`).join("\n");
    }
    const setBits = this.#isPlain
      ? `var visible = 0xffffu;\nif (!(${this.#isWhole()})) {\nvisible = 0u;\n${loop}\n}`
      : `var visible = 0u;\n${loop}`;
    const own = isBias ? `let own = u32(y * 4 * ${this.#tile.across} + x);\n` : "";
    return `${draw.length > 0 ? "var kept = 0u;\n" : ""}${own}${setBits}
${parts
  .map((_, r) => {
    const bias = isBias ? ` + weights[own + ${r * this.#tile.across}]` : "";
    return `${name}${r} = select(vec4f(${hidden}), ${name}${r} * ${factor}${bias}, ${isIn("visible", r)});`;
  })
  .join("\n")}`;
  }

  /** Statements that declare what weights are drawn by. */
  beginning(): string {
    return this.#draw
      .map((word, i) => `let ${["key0", "key1", "counter"][i]!} = ${word};`)
      .join("\n");
  }

  /** What dropout makes of a vector of row `r`. */
  dropped(value: string, r: number): string {
    const { dropout, draw } = this.#problem;
    if (draw.length === 0) return value;
    const scale = dropout === 1 ? 0 : 1 / (1 - dropout);
    const factor = constantCode(scale, "float32", this.#shader.helpers);
    return `select(vec4f(), ${value} * ${factor}, ${isIn("kept", r)})`;
  }
}

/** Where the guide of a pair is. */
function guideIndex(guide: Operand, batch: string): string {
  const coordinates = [batch, "queryHead", "query", "key"];
  return indexIn(guide, coordinates.slice(4 - guide.shape.length));
}

/** Which pairs of row `r` are in a set of bits. */
function isIn(bits: string, r: number): string {
  const own = parts.map((_, i) => `${2 ** (4 * r + i)}u`);
  return `(vec4u(${bits}) & vec4u(${own.join(", ")})) != vec4u()`;
}
