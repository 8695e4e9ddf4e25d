/** How a loop kernel is run: along which loop it is vectorised, and how it is cut into work items. */

import type { Expression, LoopKernel } from "../../plan/loop.js";
import { bytesPerElement, computeType, type DType } from "../../tensor/dtype.js";
import { stridesOf } from "../../tensor/shape.js";
import { isArgReducer } from "./accumulator.js";
import { type NormalKernel, reordered, withLoops } from "./normalize.js";
import { scalarCost } from "./scalar.js";
import { type Tile, tileLoads, tileLoop } from "./tile.js";

/**
 * Where the vector loop stands. `map`: no reduction. `inner`: lanes are elements of the same
 * reduction, the vector loop is the innermost of the reduced loops. `outer`: lanes are different
 * outputs, reduced loops turn inside the vector loop.
 */
export type Form = "map" | "inner" | "outer";

/** A loop that is divided among work items: `chunk` turns each. */
export interface ItemAxis {
  readonly loop: number;
  readonly chunk: number;
}

/** Everything that decides what code is emitted, besides relaxed SIMD. */
export interface Strategy {
  /** The kernel with its loops in the order in which they are emitted. */
  readonly kernel: NormalKernel;
  readonly form: Form;
  /** The loop whose turns are lanes. */
  readonly vector: number;
  /** Vectors at a time. */
  readonly unroll: number;
  /** Loops that are divided among items, outermost first. */
  readonly axes: readonly ItemAxis[];
  /** Running sums are moved to totals after this many turns of a reduced loop. */
  readonly flush: ItemAxis | null;
  /**
   * The reduction itself is divided: loop 0 counts parts, and each part does `chunk` turns of loop
   * `loop`. What is stored are partial results, which a second kernel joins.
   */
  readonly parts: ItemAxis | null;
  /** Turns of the loop outside of the vector loop that are done together, if any. */
  readonly tile: Tile | null;
  /** The kernel that joins the partial results and finishes the work, where there are parts. */
  readonly joining: LoopKernel | null;
  /** Rough cost of everything, in vector instructions. */
  readonly work: number;
}

/** The sizes from which on work is divided. Tests make them small. */
export interface Limits {
  /** Cost of a work item, in vector instructions: some 10 µs. */
  readonly itemWork: number;
  /** Elements of an item, so that memory-bound kernels share out evenly too. */
  readonly itemElements: number;
  /** Additions to a running float sum before it is moved to the total. */
  readonly additions: number;
  /** Elements from which on columns are added up row by row. */
  readonly columnElements: number;
  /** Rows of a part of such a reduction at least. */
  readonly partRows: number;
}

const usualLimits: Limits = {
  itemWork: 80_000,
  itemElements: 32_768,
  additions: 256,
  columnElements: 65_536,
  partRows: 32,
};

const count = (extents: readonly number[]): number => extents.reduce((a, b) => a * b, 1);

// Cost of an access to four elements whose neighbours are `stride` apart.
function accessCost(stride: number, stored: DType): number {
  const bytes = bytesPerElement(stored);
  const conversion = stored === "float16" ? 12 : bytes === 4 ? 0 : 2;
  if (stride === 1) return 1 + conversion;
  if (stride === 0) return 0.2;
  if (stride === -1 && bytes === 4) return 2;
  return 5 + conversion;
}

function expressionCost(e: Expression, kernel: NormalKernel, vector: number): number {
  switch (e.kind) {
    case "load": {
      const { strides } = e.index;
      const stride = strides[vector]!;
      const beside = stride > 1 ? tileLoop(kernel, vector) : null;
      // A tile reads four elements at a time where single ones would have to be gathered.
      const isTransposed = beside !== null && strides[beside] === 1;
      const cost = isTransposed ? 2 : accessCost(stride, e.stored);
      return e.guard === undefined ? cost : cost + 2;
    }
    case "apply":
      return scalarCost(e.function, kernel.body[e.operands[0]!]?.dtype ?? e.dtype);
    case "inside":
      return 2;
    default:
      return 0.2;
  }
}

// Cost of one vector if the loop `vector` is vectorised.
function vectorCost(kernel: NormalKernel, vector: number): number {
  const { extents, outputRank, body, stores } = kernel;
  const costs = body.map((e) => expressionCost(e, kernel, vector));
  if (vector < outputRank) {
    const reduced = count(extents.slice(outputRank));
    costs.push(
      ...stores.map(({ index, stored }) => accessCost(index.strides[vector]!, stored) / reduced),
    );
  }
  return costs.reduce((a, b) => a + b, 1);
}

// Cost of one element if the loop `vector` is vectorised.
function elementCost(kernel: NormalKernel, vector: number): number {
  const { extents, outputRank, reducer, epilogue } = kernel;
  const size = extents[vector]!;
  const rest = size % 4;
  const vectors = Math.floor(size / 4) + (rest === 0 ? 0 : 2 + rest / 2);
  // Joining lanes, which is dearer where NaN is kept apart.
  const joins = reducer && vector >= outputRank;
  const across = joins ? (reducer === "sum" ? 8 : 16) + epilogue.length : 0;
  return (
    (vectors * vectorCost(kernel, vector) + 2) / size + across / count(extents.slice(outputRank))
  );
}

// The loop to vectorise: the cheapest, of equal ones the innermost.
function chooseVector(kernel: NormalKernel): number {
  const { extents, outputRank, reducer } = kernel;
  const last = extents.length - 1;
  const costs = extents.map((_, loop) =>
    // Elements of arg reductions are met in their order.
    reducer && isArgReducer(reducer) && loop >= outputRank && loop < last
      ? Infinity
      : elementCost(kernel, loop),
  );
  return costs.lastIndexOf(Math.min(...costs));
}

// The loops in the order of emission: the vector loop last among its kind, `beside` next to it.
function inOrder(kernel: NormalKernel, vector: number, beside: number | null): NormalKernel {
  const { extents, outputRank } = kernel;
  const others = [...extents.keys()].filter((loop) => loop !== vector && loop !== beside);
  const outputs = others.filter((loop) => loop < outputRank);
  const reduced = others.filter((loop) => loop >= outputRank);
  if (beside !== null) outputs.push(beside);
  (vector < outputRank ? outputs : reduced).push(vector);
  return reordered(kernel, [...outputs, ...reduced]);
}

// Divides the loops before `end` so that items are large enough. `turnWork(l)`: one turn of loop l.
function divide(
  extents: readonly number[],
  end: number,
  turnWork: (loop: number) => number,
  enough: number,
  granule: (loop: number) => number,
): ItemAxis[] {
  const axes: ItemAxis[] = [];
  for (let loop = 0; loop < end; loop++) {
    const extent = extents[loop]!;
    const wanted = enough / turnWork(loop);
    if (wanted <= 1 && loop < end - 1) {
      axes.push({ loop, chunk: 1 });
      continue;
    }
    const step = granule(loop);
    const pieces = Math.max(1, Math.round(extent / Math.max(1, wanted)));
    const chunk = Math.ceil(extent / pieces / step) * step;
    if (chunk < extent) axes.push({ loop, chunk });
    break;
  }
  return axes;
}

// Vectors at a time, by the cost of one and the length of the vector loop.
function unrollOf(cost: number, form: Form, size: number): number {
  const vectors = size / 4;
  // Short rows are done without a loop.
  if (form === "inner" && cost <= 5 && vectors <= 8 && Number.isInteger(vectors)) return vectors;
  if (form === "map") return cost <= 5 ? 4 : cost <= 14 ? 2 : 1;
  return cost <= 8 ? 4 : cost <= 20 ? 2 : 1;
}

// Where running float sums are moved to totals.
function flushOf(
  { extents, outputRank, reducer, body }: NormalKernel,
  form: Form,
  unroll: number,
  additions: number,
): ItemAxis | null {
  if (reducer !== "sum" || !body.at(-1)!.dtype.startsWith("float")) return null;
  let inside = form === "inner" ? 1 / (4 * unroll) : 1;
  if (inside * count(extents.slice(outputRank)) <= 2 * additions) return null;
  let loop = extents.length - 1;
  while (loop > outputRank && inside * extents[loop]! < additions) inside *= extents[loop--]!;
  return { loop, chunk: Math.ceil(additions / inside) };
}

const singly = (loops: number, from = 0): ItemAxis[] =>
  Array.from({ length: loops }, (_, loop) => ({ loop: from + loop, chunk: 1 }));

const itemsOf = ({ extents }: NormalKernel, axes: readonly ItemAxis[]): number =>
  axes.reduce((n, { loop, chunk }) => n * Math.ceil(extents[loop]! / chunk), 1);

// What all strategies begin with: no reduction divided, no tiles.
function simple(kernel: NormalKernel, form: Form, axes: readonly ItemAxis[]): Strategy {
  const { extents, outputRank, body } = kernel;
  const vector = form === "inner" ? extents.length - 1 : outputRank - 1;
  const guarded = body.some((e) => e.kind === "load" && e.guard !== undefined);
  const unroll = unrollOf(vectorCost(kernel, vector), form, extents[vector]!);
  return {
    kernel,
    form,
    vector,
    unroll: guarded && form === "map" ? 1 : unroll,
    axes,
    flush: null,
    parts: null,
    tile: null,
    joining: null,
    work: count(extents) * elementCost(kernel, vector),
  };
}

/** An elementwise kernel whose items are the turns of its first `itemLoops` loops. */
export function mapStrategy(kernel: NormalKernel, itemLoops: number): Strategy {
  return simple(kernel, "map", singly(itemLoops));
}

/** The way to run a kernel. `whole` forbids to divide its reductions. */
export function chooseStrategy(
  normal: NormalKernel,
  whole: boolean = false,
  limits: Limits = usualLimits,
): Strategy {
  // A kernel without loops gets one of a single turn.
  const looped = normal.extents.length > 0 ? normal : withLoops(normal, [1], 1, () => [0]);
  const source = chooseVector(looped);
  const beside = tileLoop(looped, source);
  const kernel = inOrder(looped, source, beside);
  const { extents, outputRank, reducer } = kernel;
  const form = !reducer ? "map" : source < looped.outputRank ? "outer" : "inner";
  const base = simple(kernel, form, []);
  const { vector, unroll, work } = base;
  const perElement = work / count(extents);
  const enough = Math.min(limits.itemWork, limits.itemElements * perElement);
  const turnWork = (loop: number): number => count(extents.slice(loop + 1)) * perElement;
  const granule = (loop: number): number => (loop === vector ? 4 * unroll : 1);
  const axes = divide(
    extents,
    beside === null ? outputRank : vector - 1,
    turnWork,
    enough,
    granule,
  );
  if (beside !== null) return tiled({ ...base, axes }, enough);
  const strategy = { ...base, axes, flush: flushOf(kernel, form, unroll, limits.additions) };
  const parted = whole ? null : divideReduction(strategy, enough, turnWork(outputRank), limits);
  return parted ?? strategy;
}

// Lines of memory that a tile reads are not used up at once: the vector loop is kept so short that
// they are still in the cache when the next tile comes.
const tileLength = 128;

// The strategy of a kernel with tiles: besides outer loops, the vector loop is divided.
function tiled(base: Strategy, enough: number): Strategy {
  const { kernel, vector, work, axes } = base;
  const loop = vector - 1;
  const size = kernel.extents[vector]!;
  const chunk = Math.min(tileLength, Math.max(16, Math.ceil(size / 64) * 16));
  const divides = size > chunk && work / itemsOf(kernel, axes) > enough;
  return {
    ...base,
    unroll: 1,
    // A loop that is divided must be entered with one turn at a time by those inside of it.
    axes: divides ? [...singly(loop), { loop: vector, chunk }] : axes,
    tile: { loop, rows: 8, loads: tileLoads(kernel, vector, loop) },
  };
}

// Divides the reduction where there are too few outputs for many items, or where long columns are
// better walked through row by row. `rowWork`: one turn of the outermost reduced loop.
function divideReduction(
  base: Strategy,
  enough: number,
  rowWork: number,
  { columnElements, partRows }: Limits,
): Strategy | null {
  const { kernel, form, vector, work, axes, unroll, flush } = base;
  const { extents, outputRank, reducer, slots } = kernel;
  if (!reducer || isArgReducer(reducer) || extents.length === outputRank) return null;
  const rows = extents[outputRank]!;
  const outputs = extents.slice(0, outputRank);
  let chunk: number;
  if (form === "inner") {
    if (itemsOf(kernel, axes) >= 8 || work < 4 * enough) return null;
    const pieces = Math.min(rows, Math.ceil(work / count(outputs) / enough), 256);
    const step = outputRank === vector ? 4 * unroll : 1;
    chunk = Math.ceil(rows / pieces / step) * step;
    if (chunk >= rows) return null;
  } else {
    // Columns: only where rows are long enough to be read as such and there are many of them.
    const columns = extents[vector]!;
    if (columns < 16 || rows < 2 * partRows) return null;
    if (count(extents.slice(vector)) < columnElements) return null;
    chunk = Math.max(partRows, Math.ceil(enough / rowWork / columns), Math.ceil(rows / 64));
  }
  const parts = Math.ceil(rows / chunk);
  const dtype = computeType(kernel.body.at(-1)!.dtype);
  // Partial results go to a slot of their own: dense, a loop over parts in front.
  const place = { slot: slots, stored: dtype };
  const [partStride, strides] = [count(outputs), stridesOf(outputs)];
  const reduced = extents.slice(outputRank).map(() => 0);
  const partial = { offset: 0, strides: [partStride, ...strides, ...reduced] };
  return {
    ...base,
    kernel: {
      ...withLoops(kernel, [parts, ...extents], outputRank + 1, (own) => [0, ...own]),
      epilogue: [{ kind: "reduced", dtype }],
      stores: [{ ...place, index: partial, expression: 0 }],
      slots: slots + 1,
    },
    vector: vector + 1,
    axes: [...singly(1), ...singly(form === "inner" ? outputRank : vector, 1)],
    flush: form === "outer" || !flush ? null : { ...flush, loop: flush.loop + 1 },
    parts: { loop: outputRank + 1, chunk },
    joining: {
      ...withLoops(kernel, [...outputs, parts], outputRank, (own) => [
        ...own.slice(0, outputRank),
        0,
      ]),
      body: [
        { kind: "load", ...place, index: { offset: 0, strides: [...strides, partStride] }, dtype },
      ],
      slots: slots + 1,
    },
  };
}
