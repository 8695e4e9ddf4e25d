/**
 * Sorting, stably. Numbers become keys whose order as uint32 is theirs, and a key goes with the
 * place it came from: so no two pairs are equal, and any order of comparisons gives the same result.
 *
 * Rows that fit are sorted in workgroup memory by a bitonic network, longer ones in pieces that are
 * merged.
 */

import type { Operand } from "@x/tensor/device";
import type { Launch } from "../launch.js";
import type { LoweringContext, NativeKernel } from "../native.js";
import { arithmeticType, type ShaderBuilder, type Slot } from "../wgsl/shader.js";
import { denseView, Rows } from "./view.js";

/** Most pairs that a workgroup sorts. */
const mostPairs = 2048;
/** Fewest pairs of a workgroup: shorter rows share one. */
const fewestPairs = 128;
/** Most invocations of a workgroup. */
const mostInvocations = 256;
const bytesPerPair = 8;

/** What to sort. */
export interface SortProblem {
  /** For profiles. */
  readonly name: string;
  /** The tensor. */
  readonly x: Operand;
  /** Its axis that is put in order. */
  readonly axis: number;
  /** Largest first. */
  readonly descending: boolean;
  /** Numbers are limited to 0 … `last` before they are put in order; of int32. */
  readonly last?: number;
  /** Plan buffer of the sorted numbers; `null`: not wanted. */
  readonly values: number | null;
  /** Plan buffer of the places they came from; `null`: not wanted. */
  readonly places: number | null;
}

/** The launches that sort. */
export function sortRows(problem: SortProblem, context: LoweringContext): readonly Launch[] {
  const { x, axis } = problem;
  const { size, count } = new Rows(x.shape, axis);
  const limit = Math.min(mostPairs, context.workgroupBytes / bytesPerPair);
  const capacity = 2 ** Math.floor(Math.log2(limit));
  if (size <= capacity) return [sortPieces(problem, ceilPower(size), context, null)];

  const newRuns = (): Runs => ({
    keys: context.workspace(4 * size * count),
    places: context.workspace(4 * size * count),
  });
  let [from, to] = [newRuns(), newRuns()];
  const launches = [sortPieces(problem, capacity, context, from)];
  for (let length = capacity; length < size; length *= 2) {
    launches.push(merge(problem, length, from, 2 * length < size ? to : null, context));
    [from, to] = [to, from];
  }
  return launches;
}

/** Plan buffers of keys and places, both with the elements of a row side by side. */
interface Runs {
  readonly keys: number;
  readonly places: number;
}

/** The next power of two. */
function ceilPower(n: number): number {
  return 2 ** Math.ceil(Math.log2(n));
}

/** Makes `key(value)` callable. All NaN are one key, the largest; and so are 0 and −0. */
function declareKey(shader: ShaderBuilder, { x, descending }: SortProblem): void {
  const not = descending ? "~" : "";
  switch (arithmeticType(x.dtype)) {
    case "float32":
      shader.declare(`fn key(value: f32) -> u32 {
let bits = bitcast<u32>(value);
let magnitude = bits & 0x7fffffffu;
if (magnitude > 0x7f800000u) { return ${not}0xffffffffu; }
if (magnitude == 0u) { return ${not}0x80000000u; }
return ${not}select(bits | 0x80000000u, ~bits, bits != magnitude);
}`);
      break;
    case "uint32":
      shader.declare(`fn key(value: u32) -> u32 { return ${not}value; }`);
      break;
    default:
      shader.declare(
        `fn key(value: i32) -> u32 { return ${not}(bitcast<u32>(value) ^ 0x80000000u); }`,
      );
  }
}

/** A statement for the element `from` of the row, whose place in order is `to`. */
function writeResult(
  shader: ShaderBuilder,
  { x, axis, values, places }: SortProblem,
  to: string,
  from: string,
): string {
  const rows = new Rows(x.shape, axis);
  const at = (buffer: number): string => rows.at(denseView(buffer, x.dtype, x.shape), to);
  const lines: string[] = [];
  if (values !== null) {
    const value = shader.load(shader.slot(x.buffer, x.dtype), rows.at(x, from));
    lines.push(shader.store(shader.slot(values, x.dtype), at(values), value));
  }
  if (places !== null) lines.push(shader.store(shader.slot(places, "int32"), at(places), from));
  return lines.join("\n");
}

/** Sorts pieces of `length` elements, a power of two; to `runs`, or the result where a piece is a row. */
function sortPieces(
  problem: SortProblem,
  length: number,
  context: LoweringContext,
  runs: Runs | null,
): Launch {
  const { x, axis } = problem;
  const rows = new Rows(x.shape, axis);
  const pieces = Math.ceil(rows.size / length);
  // Short rows share a workgroup.
  const rowsAtOnce = pieces > 1 ? 1 : Math.max(1, fewestPairs / length);
  const pairs = rowsAtOnce * length;
  const size = Math.min(pairs / 2, mostInvocations, context.workgroupSize);

  const shader = context.shader();
  const numbers = shader.slot(x.buffer, x.dtype);
  const element = shader.load(numbers, rows.at(x, "at"));
  const number = problem.last === undefined ? element : `clamp(${element}, 0, ${problem.last})`;
  declareKey(shader, problem);
  shader.declare(`var<workgroup> pairs: array<vec2u, ${pairs}>;
fn isBefore(a: vec2u, b: vec2u) -> bool { return a.x < b.x || (a.x == b.x && a.y < b.y); }`);
  const write =
    runs === null ? writeResult(shader, problem, "at", "origin") : writeRuns(shader, runs, rows);
  const forEachPair = (body: string): string => `for (var i = lane; i < ${pairs}; i += ${size}) {
let row = (group / ${pieces}) * ${rowsAtOnce} + i / ${length};
let at = (group % ${pieces}) * ${length} + i % ${length};
${body}
}`;
  // What is missing at the end comes after all there is: no place is as large.
  const body = `${forEachPair(`var pair = vec2u(0xffffffffu);
if (row < ${rows.count} && at < ${rows.size}) {
${rows.coordinates("row")}
pair = vec2u(key(${number}), u32(at));
}
pairs[i] = pair;`)}
workgroupBarrier();
for (var run = 2; run <= ${length}; run *= 2) {
for (var distance = run / 2; distance > 0; distance /= 2) {
for (var t = lane; t < ${pairs / 2}; t += ${size}) {
let low = t & (distance - 1);
let i = (t - low) * 2 + low;
let a = pairs[i];
let b = pairs[i + distance];
let isRising = (i & ${length - 1} & run) == 0;
if (isBefore(b, a) == isRising) {
pairs[i] = b;
pairs[i + distance] = a;
}
}
workgroupBarrier();
}
}
${forEachPair(`if (row < ${rows.count} && at < ${rows.size}) {
${rows.coordinates("row")}
let origin = i32(pairs[i].y);
${write}
}`)}`;
  const groups = Math.ceil(rows.count / rowsAtOnce) * pieces;
  return shader.perGroup(problem.name, groups, size, body);
}

function runSlots(shader: ShaderBuilder, { keys, places }: Runs): [Slot, Slot] {
  return [shader.slot(keys, "uint32"), shader.slot(places, "int32")];
}

function writeRuns(shader: ShaderBuilder, runs: Runs, { size }: Rows): string {
  const [keys, places] = runSlots(shader, runs);
  const to = `row * ${size} + at`;
  return `${shader.store(keys, to, "pairs[i].x")}\n${shader.store(places, to, "origin")}`;
}

/**
 * Merges neighbouring runs of `length` elements; to `target`, or the result. An element's place is
 * its place in its own run and the number of elements of the other that come before it.
 */
function merge(
  problem: SortProblem,
  length: number,
  source: Runs,
  target: Runs | null,
  context: LoweringContext,
): Launch {
  const rows = new Rows(problem.x.shape, problem.axis);
  const { size, count } = rows;
  const shader = context.shader();
  const [keys, places] = runSlots(shader, source);
  const write = (): string => {
    if (target === null) return writeResult(shader, problem, "to", "origin");
    const [newKeys, newPlaces] = runSlots(shader, target);
    return `${shader.store(newKeys, `first + to`, "key")}\n${shader.store(newPlaces, `first + to`, "origin")}`;
  };
  // Equal keys of the left run come first: it holds the earlier places.
  const body = `let row = item / ${size};
let first = row * ${size};
let at = item - first;
let key = ${shader.load(keys, "item")};
let origin = ${shader.load(places, "item")};
let start = at - at % ${2 * length};
let middle = min(start + ${length}, ${size});
let isLeft = at < middle;
let begin = select(start, middle, isLeft);
var low = begin;
var high = select(middle, min(start + ${2 * length}, ${size}), isLeft);
while (low < high) {
let half = (low + high) / 2;
let other = ${shader.load(keys, "first + half")};
if (other < key || (other == key && !isLeft)) { low = half + 1; } else { high = half; }
}
let to = at + low - begin - select(${length}, 0, isLeft);
${rows.coordinates("row")}
${write()}`;
  return shader.perItem(`${problem.name} merge`, size * count, body);
}

/** The kernel of `sort`. */
export const sortKernel: NativeKernel = {
  op: "sort",
  acceptsView: () => true,
  lower: ({ name, node, inputs, outputs }, context) => {
    const { axis, descending } = node.attributes as { axis: number; descending: boolean };
    const [values, places] = outputs as [number | null, number | null];
    return sortRows({ name, x: inputs[0]!, axis, descending, values, places }, context);
  },
};
