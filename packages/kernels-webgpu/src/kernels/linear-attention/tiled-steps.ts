/**
 * What the steps of scans of linear attention and of feature attention have in common: tiles of rows
 * and columns in workgroup memory, and their products in blocks of four rows and four columns.
 */

import type { Operand } from "@x/tensor/device";
import type { ShaderBuilder } from "../../wgsl/shader.js";
import { type Order, rangeOf } from "./order.js";
import type { RowAccess } from "./rows.js";
import type { Tile } from "./tile.js";

/** The sizes of a linear attention. */
export interface Sizes {
  readonly batch: number;
  /** Heads of keys and values, and of the state. */
  readonly keyHeads: number;
  /** Query heads that share a key head; they follow each other. */
  readonly group: number;
  readonly queries: number;
  readonly keys: number;
}

/** What decides about the tiles of a scan. */
export interface TiledScan {
  readonly direction: "forward" | "reverse";
  readonly sizes: Sizes;
  /** Which keys the queries see. With `"full"` there are only rows, or only columns. */
  readonly visible: "full" | "causal" | Order;
  readonly tile: Tile;
  /** Numbers in a row and in a key. */
  readonly keySize: number;
}

/** The numbers of a vector. */
export const lanes = ["x", "y", "z", "w"] as const;

/** Statements that make sums of four rows, each of four columns. */
export function zeros(sum: string): string {
  return [0, 1, 2, 3].map((i) => `var ${sum}${i} = vec4f(0.0);`).join("\n");
}

/**
 * Adds products of a matrix with others to sums, step by step along the axis they share. `left` and
 * `right` are the vectors of step `p`: four rows, and four columns. Statements `further` may use them.
 */
export function product(
  steps: string,
  left: string,
  sums: readonly { readonly sum: string; readonly right: string }[],
  further: string = "",
): string {
  const add = ({ sum, right }: (typeof sums)[number], i: number): string =>
    [
      `let right${i} = ${right};`,
      ...lanes.map((lane, row) => `${sum}${row} += left.${lane} * right${i};`),
    ].join("\n");
  return `for (var p = 0; p < ${steps}; p++) {
let left = ${left};
${sums.map(add).join("\n")}
${further}
}`;
}

/**
 * Adds the first `steps` weights of rows times values to `sum`. Where `is_special` says that values
 * are not all finite, those that a row does not see are left out: times a weight of 0 they are not 0.
 */
export function visibleProduct(left: string, right: string, isSeen: string): string {
  return `if (atomicLoad(&is_special) == 0u) {
${product("steps", left, [{ sum: "sum", right }])}
} else {
for (var p = 0; p < steps; p++) {
let left = ${left};
let right = ${right};
let isSeen = ${isSeen};
${lanes.map((lane, i) => `if (isSeen.${lane}) { sum${i} += left.${lane} * right; }`).join("\n")}
}
}`;
}

/** A statement that sets `is_special` where a vector is not all finite numbers. */
export function markSpecial(vector: string): string {
  return `if (any((bitcast<vec4u>(${vector}) & vec4u(0x7f800000u)) == vec4u(0x7f800000u))) { atomicStore(&is_special, 1u); }`;
}

/** Writes steps of a scan; invocation (x, y) has a block of four rows and four columns. */
export class TiledSteps<S extends TiledScan> {
  protected readonly shader: ShaderBuilder;
  protected readonly access: RowAccess;
  protected readonly scan: S;
  /** Vectors in a row of tiles, and in one of values. */
  protected readonly high: number;
  protected readonly wide: number;
  /** Blocks of scores that an invocation computes. */
  protected readonly blocks: readonly number[];
  protected readonly isForward: boolean;

  constructor(shader: ShaderBuilder, access: RowAccess, scan: S) {
    this.shader = shader;
    this.access = access;
    this.scan = scan;
    this.high = scan.tile.chunk / 4;
    this.wide = scan.tile.slice / 4;
    this.isForward = scan.direction === "forward";
    const count = Math.ceil(this.high / this.wide);
    this.blocks = Array.from({ length: count }, (_, b) => b);
  }

  /** Which keys and queries belong to `chunk`. */
  ranges(): string {
    const { visible, sizes, tile } = this.scan;
    const { queries, keys } = sizes;
    const start = `chunk * ${tile.chunk}`;
    let range: string;
    if (visible === "full")
      range = `let range = min(vec2i(0, ${tile.chunk}) + ${start}, vec2i(${queries}));`;
    else if (visible === "causal") {
      // Those that see nothing come first.
      range = `var range = clamp(vec2i(0, ${tile.chunk}) + (${start} + ${queries - keys}), vec2i(0), vec2i(${queries}));
if (chunk == 0) { range.x = 0; }`;
    } else range = rangeOf(this.shader, visible);
    return `let firstKey = ${start};
let endKey = min(firstKey + ${tile.chunk}, ${keys});
${range}`;
  }

  /**
   * Does something for each tile of rows, or of columns, of the chunk: of each query head that shares
   * the key head, if they are queries. `declare` gives statements for the head, which it gets as text.
   */
  protected eachTile(
    side: "row" | "column",
    isQuery: boolean,
    declare: (head: string) => string,
    body: string,
  ): string {
    const { tile, sizes } = this.scan;
    const { group } = sizes;
    const declared = declare(isQuery ? `at2 * ${group} + member` : "at2");
    const [first, end] = [`${side}First`, `${side}End`];
    if (!isQuery) {
      return `{\nlet ${first} = firstKey;\nlet ${end} = endKey;\n${declared}\n${body}\n}`;
    }
    return `for (var member = 0; member < ${group}; member++) {
${declared}
for (var ${first} = range.x; ${first} < range.y; ${first} += ${tile.chunk}) {
let ${end} = min(${first} + ${tile.chunk}, range.y);
${body}
}
}`;
  }

  /** Statements that make `‹name›Base`, where a head begins, for operands by name. */
  protected basesOf(operands: Readonly<Record<string, Operand>>, head: string): string {
    return Object.entries(operands)
      .map(([name, operand]) => `let ${name}Base = ${this.access.base(operand, ["at1", head])};`)
      .join("\n");
  }

  /** Statements that make the scores of an invocation. */
  protected zeroScores(hasScores: boolean): string {
    return hasScores ? this.blocks.map((b) => zeros(`score${b}_`)).join("\n") : "";
  }

  /**
   * What rows are multiplied by, for `product`: the state to `sum`, and keys to the scores. `keyRow` is
   * the text of a load of keys up to the row of their tile, whose vectors stand side by side.
   */
  protected sumsOf(
    hasState: boolean,
    hasScores: boolean,
    keyRow: string,
  ): readonly { readonly sum: string; readonly right: string }[] {
    const [high, wide] = [this.high, this.wide];
    // With a slice wider than the chunk some invocations have no scores; theirs are not stored.
    const column = (b: number): string => (wide > high ? `min(x, ${high - 1})` : `x + ${b * wide}`);
    return [
      ...(hasState ? [{ sum: "sum", right: `state_tile[(start + p) * ${wide} + x]` }] : []),
      ...(hasScores ? this.blocks : []).map((b) => ({
        sum: `score${b}_`,
        right: `${keyRow} * ${high} + ${column(b)}]`,
      })),
    ];
  }

  /** Stands before a block of statements for the invocations that have scores. */
  protected get whereScores(): string {
    return this.wide > this.high ? `if (x < ${this.high}) ` : "";
  }
}
