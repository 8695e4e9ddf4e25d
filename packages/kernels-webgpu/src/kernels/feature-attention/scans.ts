/** The launches of scans: those that find the states of segments, and those that give rows their output. */

import type { Operand } from "@x/tensor/device";
import type { Launch } from "../../launch.js";
import { segmentsFor, type Segments, type Tile } from "../linear-attention/tile.js";
import { denseView, product } from "../view.js";
import { layOut } from "./numbers.js";
import type { Problem } from "./problem.js";
import type { Role } from "./roles.js";
import { type Scan, scanLaunch, type States, type Target } from "./scan.js";
import { type Part, startsLaunches } from "./starts.js";
import { tilesFor } from "./tile.js";

/** What all scans of a step share. */
export interface Work {
  readonly problem: Problem;
  readonly visible: Scan["visible"];
  /** Keys, or queries, of a chunk. */
  readonly chunk: number;
}

/** What scans of one direction start from. */
interface Start {
  readonly launches: readonly Launch[];
  /** Those of segments, or with `"full"` one; `null`: zeros. */
  readonly states: States | null;
  readonly segments: Segments;
}

/** What is before the first key, and who wants to know what is behind the last. */
export interface Outside {
  readonly initial: Readonly<Record<keyof States, Operand>> | null;
  /** Plan buffers. */
  readonly final: Readonly<Record<keyof States, number | null>>;
}

/** Nothing before, and nobody behind. */
export const nothingOutside: Outside = {
  initial: null,
  final: { matrix: null, column: null, row: null, corner: null },
};

function cut(
  { problem, chunk }: Work,
  length: number,
  keySize: number,
  valueSize: number,
): { readonly tile: Tile; readonly segments: Segments } {
  const { context, sizes, q } = problem;
  const scanSizes = { length, keySize, valueSize, inputSize: q.shape[3]! };
  const { workgroupBytes, workgroupSize } = context;
  const tile = tilesFor(scanSizes, workgroupBytes, workgroupSize, chunk)[0]!;
  const workgroups = sizes.batch * sizes.keyHeads * Math.ceil(valueSize / tile.slice);
  return { tile, segments: segmentsFor(Math.max(1, Math.ceil(length / chunk)), workgroups) };
}

function makeStates({ problem }: Work, count: number, keySize: number, valueSize: number): States {
  const { context, sizes } = problem;
  const heads = [count, sizes.batch, sizes.keyHeads];
  const shape = [...heads, keySize, valueSize];
  const matrix = denseView(context.workspace(4 * product(shape)), "float32", shape);
  const vectors = {
    column: [...heads, keySize],
    row: [...heads, valueSize],
    corner: [...heads, 1],
  };
  return { matrix, ...layOut(vectors, context) };
}

const names = ["matrix", "column", "row", "corner"] as const;

/** Does something with each part of states. */
function mapStates(states: States, change: (x: Operand) => Operand): States {
  const entries = names.map((name) => [name, change(states[name])] as const);
  return Object.fromEntries(entries) as Record<(typeof names)[number], Operand>;
}

/** The common part of a scan. */
function scanOf(
  work: Work,
  role: Role,
): Omit<Scan, "tile" | "segments" | "rows" | "columns" | "initial" | "final"> {
  const { sizes, map, facts, keyMask } = work.problem;
  const { direction, added, rowSum, columnSum, keys, values } = role;
  return {
    ...{ direction, added, rowSum, columnSum, sizes, map, facts },
    visible: work.visible,
    keySize: keys.size,
    valueSize: values.size,
    hasKeyMask: keyMask !== null,
  };
}

/** The states that scans of one direction start from. */
export function begin(work: Work, role: Role, { initial, final }: Outside): Start {
  const { problem, visible, chunk } = work;
  const { keys, values, direction } = role;
  const isFull = visible === "full";
  const length = isFull ? keys.x.shape[2]! : problem.sizes.keys;
  const { tile, segments } = cut(work, length, keys.size, values.size);
  const isWanted = initial !== null || names.some((name) => final[name] !== null);
  if (segments.count === 1 && !isFull && !isWanted) return { launches: [], states: null, segments };
  const sums = makeStates(work, segments.count + 1, keys.size, values.size);
  const sum = scanLaunch(
    {
      ...scanOf(work, role),
      ...{ tile, segments, initial: null, final: sums, rows: null },
      columns: { keys, values },
    },
    problem.context,
  );
  const fades = {
    matrix: true,
    column: role.columnSum?.fades ?? false,
    row: role.rowSum?.fades ?? false,
    corner: false,
  };
  const parts: readonly Part[] = names.map((name) => ({
    sums: sums[name],
    fades: fades[name],
    initial: initial && initial[name],
    final: final[name],
  }));
  const launches = [
    sum,
    ...startsLaunches(problem, { direction, visible, segments, chunk }, parts),
  ];
  if (!isFull) return { launches, states: sums, segments };
  const total = mapStates(sums, ({ offset, strides, shape, ...x }) => ({
    ...x,
    shape: shape.with(0, 1),
    strides: strides.with(0, 0),
    offset: offset + segments.count * strides[0]!,
  }));
  return { launches, states: total, segments };
}

/** The scan that gives rows their output. */
export function finish(work: Work, role: Role, target: Target, start: Start): readonly Launch[] {
  const { rows, keys, values } = role;
  if (product(rows.x.shape) === 0) return [];
  const isFull = work.visible === "full";
  const { tile, segments } = cut(work, rows.x.shape[2]!, keys.size, values.size);
  const scan: Scan = {
    ...scanOf(work, role),
    tile,
    segments: isFull ? segments : start.segments,
    rows: { vectors: rows, target },
    columns: isFull ? null : { keys, values },
    initial: start.states,
    final: null,
  };
  return [scanLaunch(scan, work.problem.context)];
}
