/** The queries of a mask in the order of what they see, so that those of a chunk are neighbours. */

import type { Operand } from "@x/tensor/device";
import type { Launch } from "../../launch.js";
import type { LoweringContext } from "../../native.js";
import type { ShaderBuilder } from "../../wgsl/shader.js";
import { sortRows } from "../sort.js";
import { indexIn } from "../view.js";

/** A plan buffer of int32; see `orderQueries`. */
export interface Order {
  readonly buffer: number;
  readonly queries: number;
}

/**
 * Sorts queries by their last visible keys; a query belongs to the chunk of that key, one that sees
 * none to the first. The buffer holds three lists:
 *
 * - the numbers of the queries, in order
 * - how many keys each of them sees
 * - for each chunk, and for the end, how many queries belong to those before it
 */
export function orderQueries(
  mask: Operand,
  keys: number,
  chunk: number,
  chunks: number,
  context: LoweringContext,
): { readonly order: Order; readonly launches: readonly Launch[] } {
  const queries = mask.shape[0]!;
  const name = `linear attention order ${queries}`;
  const places = context.workspace(4 * queries);
  const last = Math.max(keys - 1, 0);
  const sort = sortRows(
    { name, x: mask, axis: 0, descending: false, last, values: null, places },
    context,
  );

  const buffer = context.workspace(4 * (2 * queries + chunks + 1));
  const shader = context.shader();
  const masks = shader.slot(mask.buffer, mask.dtype);
  const sorted = shader.slot(places, "int32");
  const lists = shader.slot(buffer, "int32");
  const lastKey = (query: string): string =>
    `clamp(${shader.load(masks, indexIn(mask, [query]))}, -1, ${keys - 1})`;
  const body = `if (item < ${queries}) {
let query = ${shader.load(sorted, "item")};
${shader.store(lists, "item", "query")}
${shader.store(lists, `${queries} + item`, `${lastKey("query")} + 1`)}
}
if (item <= ${chunks}) {
var low = 0;
var high = select(${queries}, 0, item == 0);
while (low < high) {
let half = (low + high) / 2;
let query = ${shader.load(sorted, "half")};
if (item == ${chunks} || ${lastKey("query")} < item * ${chunk}) { low = half + 1; } else { high = half; }
}
${shader.store(lists, `${2 * queries} + item`, "low")}
}`;
  const list = shader.perItem(`${name} lists`, Math.max(queries, chunks + 1), body);
  return { order: { buffer, queries }, launches: [...sort, list] };
}

/** Declares `placeOf(i)` and `seenBy(i)`: the number of query i in order, and the keys it sees. */
export function declareOrder(shader: ShaderBuilder, { buffer, queries }: Order): void {
  const lists = shader.slot(buffer, "int32");
  const load = (at: string): string => shader.load(lists, at);
  shader.declare(`fn placeOf(i: i32) -> i32 { return ${load("i")}; }
fn seenBy(i: i32) -> i32 { return ${load(`${queries} + min(i, ${queries - 1})`)}; }
var<workgroup> shared_range: vec2i;`);
}

/** Statements that make `range`: from which query to which those of chunk `chunk` go. */
export function rangeOf(shader: ShaderBuilder, { buffer, queries }: Order): string {
  const lists = shader.slot(buffer, "int32");
  const load = (at: string): string => shader.load(lists, `${2 * queries} + ${at}`);
  // Loops with barriers need bounds that are known to be the same for all invocations.
  return `if (lane == 0) { shared_range = vec2i(${load("chunk")}, ${load("chunk + 1")}); }
let range = workgroupUniformLoad(&shared_range);`;
}
