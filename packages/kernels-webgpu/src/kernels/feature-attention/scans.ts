/** The launches of scans: those that find the states of segments, and those that give rows their output. */

import type { Operand } from "@x/tensor/device";
import type { Launch } from "../../launch.js";
import type { LoweringContext } from "../../native.js";
import type { Segments } from "../linear-attention/tile.js";
import { denseView, product } from "../view.js";
import type { Problem } from "./problem.js";
import type { Role } from "./roles.js";
import { type Scan, scanLaunch, type States, type Target } from "./scan.js";
import { type Part, startsLaunches } from "./starts.js";
import { cut, type Work } from "./work.js";

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

/** Memory for states; their small parts lie where those of the other direction did. */
function makeStates(
  { context, sizes, facts }: Problem,
  count: number,
  keySize: number,
  valueSize: number,
): States {
  const shape = [count, sizes.batch, sizes.keyHeads, keySize, valueSize];
  const matrix = denseView(context.workspace(4 * product(shape)), "float32", shape);
  const first = (x: Operand): Operand => ({ ...x, shape: x.shape.with(0, count) });
  const { columns, rows, corners } = facts;
  return { matrix, column: first(columns), row: first(rows), corner: first(corners) };
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
  const { problem, visible } = work;
  const { keys, values, direction } = role;
  const isFull = visible === "full";
  const length = isFull ? keys.x.shape[2]! : problem.sizes.keys;
  const { tile, segments } = cut(work.problem, length, keys.size, values.size);
  const isWanted = initial !== null || names.some((name) => final[name] !== null);
  if (segments.count === 1 && !isFull && !isWanted) return { launches: [], states: null, segments };
  const sums = makeStates(problem, segments.count + 1, keys.size, values.size);
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
  const launches = [sum, ...startsLaunches(problem, { direction, visible, segments }, parts)];
  if (!isFull) return { launches, states: sums, segments };
  const total = mapStates(sums, ({ offset, strides, shape, ...x }) => ({
    ...x,
    shape: shape.with(0, 1),
    strides: strides.with(0, 0),
    offset: offset + segments.count * strides[0]!,
  }));
  return { launches, states: total, segments };
}

/**
 * Gives rows their output, and stores the sums of weights in a plan buffer where that is wanted; what
 * a shader cannot bind beside all others is copied there.
 */
export function finish(
  work: Work,
  role: Role,
  target: Omit<Target, "weights">,
  start: Start,
  weights: number | null = null,
): readonly Launch[] {
  const { problem, visible } = work;
  const { context, facts } = problem;
  const { rows, keys, values } = role;
  if (product(rows.x.shape) === 0) return [];
  const isFull = visible === "full";
  const { tile, segments } = cut(problem, rows.x.shape[2]!, keys.size, values.size);
  const scanTo = (sums: Operand | null): Launch =>
    scanLaunch(
      {
        ...scanOf(work, role),
        tile,
        segments: isFull ? segments : start.segments,
        rows: { vectors: rows, target: { ...target, weights: sums } },
        columns: isFull ? null : { keys, values },
        initial: start.states,
        final: null,
      },
      context,
    );
  if (weights === null) return [scanTo(null)];
  const direct = scanTo(denseView(weights, "float32", facts.weights.shape));
  if (direct.buffers.length <= context.mostBuffers) return [direct];
  return [scanTo(facts.weights), copyLaunch(facts.weights, weights, context)];
}

function copyLaunch(from: Operand, to: number, context: LoweringContext): Launch {
  const shader = context.shader();
  const size = product(from.shape);
  const number = shader.load(shader.slot(from.buffer, "float32"), `${from.offset} + item`);
  const store = shader.store(shader.slot(to, "float32"), "item", number);
  return shader.perItem(`feature attention weights ${size}`, size, store);
}
