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
  /** The loop of the normalised kernel that became the vector loop. */
  readonly source: number;
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

// Whether a tile will read four elements at a time where single ones would have to be gathered.
function isTransposed(kernel: NormalKernel, vector: number, strides: readonly number[]): boolean {
  if (strides[vector]! <= 1) return false;
  const beside = tileLoop(kernel, vector);
  return beside !== null && strides[beside] === 1;
}

function expressionCost(e: Expression, kernel: NormalKernel, vector: number): number {
  switch (e.kind) {
    case "load": {
      const { strides } = e.index;
      const cost = isTransposed(kernel, vector, strides)
        ? 2
        : accessCost(strides[vector]!, e.stored);
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
  const { extents, outputRank } = kernel;
  let cost = 1;
  for (const e of kernel.body) cost += expressionCost(e, kernel, vector);
  if (vector < outputRank) {
    const reduced = count(extents.slice(outputRank));
    for (const { index, stored } of kernel.stores) {
      cost += accessCost(index.strides[vector]!, stored) / reduced;
    }
  }
  return cost;
}

// Cost of one element if the loop `vector` is vectorised.
function elementCost(kernel: NormalKernel, vector: number): number {
  const { extents, outputRank, reducer } = kernel;
  const reduced = count(extents.slice(outputRank));
  const perVector = vectorCost(kernel, vector);
  const isOutput = vector < outputRank;
  const size = extents[vector]!;
  const rest = size % 4;
  const vectors = Math.floor(size / 4) + (rest === 0 ? 0 : 2 + rest / 2);
  // Joining lanes, which is dearer where NaN is kept apart.
  const across = !reducer || isOutput ? 0 : (reducer === "sum" ? 8 : 16) + kernel.epilogue.length;
  return (vectors * perVector + 2) / size + across / reduced;
}

// The loop to vectorise.
function chooseVector(kernel: NormalKernel): number {
  const { extents, outputRank, reducer } = kernel;
  let best = -1;
  let bestCost = Infinity;
  for (let loop = extents.length - 1; loop >= 0; loop--) {
    // Elements of arg reductions are met in their order.
    const skips =
      reducer !== null && isArgReducer(reducer) && loop >= outputRank && loop < extents.length - 1;
    const cost = skips ? Infinity : elementCost(kernel, loop);
    if (cost < bestCost) [best, bestCost] = [loop, cost];
  }
  return best;
}

// A kernel without loops gets one of a single turn.
function withLoop(kernel: NormalKernel): NormalKernel {
  if (kernel.extents.length > 0) return kernel;
  return withLoops(kernel, [1], 1, () => [0]);
}

// The loops in the order of emission: the vector loop last among its kind, `beside` next to it.
function inOrder(kernel: NormalKernel, vector: number, beside: number | null = null): NormalKernel {
  const loops = kernel.extents.map((_, loop) => loop);
  const outputs = loops.filter(
    (loop) => loop < kernel.outputRank && loop !== vector && loop !== beside,
  );
  if (beside !== null) outputs.push(beside);
  const reduced = loops.filter((loop) => loop >= kernel.outputRank && loop !== vector);
  (vector < kernel.outputRank ? outputs : reduced).push(vector);
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
  kernel: NormalKernel,
  form: Form,
  unroll: number,
  { additions }: Limits,
): ItemAxis | null {
  const { extents, outputRank, reducer, body } = kernel;
  const dtype = body.at(-1)?.dtype;
  if (reducer !== "sum" || (dtype !== "float32" && dtype !== "float16")) return null;
  let inside = form === "inner" ? 1 / (4 * unroll) : 1;
  if (inside * count(extents.slice(outputRank)) <= 2 * additions) return null;
  for (let loop = extents.length - 1; loop >= outputRank; loop--) {
    if (inside * extents[loop]! >= additions || loop === outputRank) {
      return { loop, chunk: Math.ceil(additions / inside) };
    }
    inside *= extents[loop]!;
  }
  return null;
}

/** An elementwise kernel whose items are the turns of its first `itemLoops` loops. */
export function mapStrategy(kernel: NormalKernel, itemLoops: number): Strategy {
  const vector = kernel.extents.length - 1;
  const perElement = elementCost(kernel, vector);
  const dynamic = kernel.body.some((e) => e.kind === "load" && e.guard !== undefined);
  return {
    kernel,
    form: "map",
    vector,
    unroll: dynamic ? 1 : unrollOf(perElement * 4, "map", kernel.extents[vector]!),
    axes: Array.from({ length: itemLoops }, (_, loop) => ({ loop, chunk: 1 })),
    flush: null,
    parts: null,
    tile: null,
    source: vector,
    work: count(kernel.extents) * perElement,
  };
}

/** The way to run a kernel. `whole` forbids to divide its reductions. */
export function chooseStrategy(
  normal: NormalKernel,
  whole: boolean = false,
  limits: Limits = usualLimits,
): Strategy {
  const looped = withLoop(normal);
  const vectorBefore = chooseVector(looped);
  const beside = tileLoop(looped, vectorBefore);
  const kernel = inOrder(looped, vectorBefore, beside);
  const { extents, outputRank, reducer } = kernel;
  const form: Form = !reducer ? "map" : vectorBefore < looped.outputRank ? "outer" : "inner";
  const vector = form === "inner" ? extents.length - 1 : outputRank - 1;
  const perElement = elementCost(kernel, vector);
  const dynamic = kernel.body.some((e) => e.kind === "load" && e.guard !== undefined);
  const unroll =
    dynamic && form === "map" ? 1 : unrollOf(vectorCost(kernel, vector), form, extents[vector]!);
  const total = count(extents);
  const work = total * perElement;
  const enough = Math.min(limits.itemWork, limits.itemElements * perElement);
  const turnWork = (loop: number): number => count(extents.slice(loop + 1)) * perElement;
  const granule = (loop: number): number => (loop === vector ? 4 * unroll : 1);
  const flush = flushOf(kernel, form, unroll, limits);
  const base = { kernel, form, vector, unroll, flush, tile: null, source: vectorBefore, work };
  if (beside !== null)
    return tiled(base, divide(extents, vector - 1, turnWork, enough, granule), enough);
  const axes = divide(extents, outputRank, turnWork, enough, granule);
  const divided = whole ? null : divideReduction(base, axes, enough, turnWork, limits);
  return divided ?? { ...base, axes, parts: null };
}

// Lines of memory that a tile reads are not used up at once: the vector loop is kept so short that
// they are still in the cache when the next tile comes.
const tileLength = 128;

// The strategy of a kernel with tiles: besides outer loops, the vector loop is divided.
function tiled(
  base: Omit<Strategy, "axes" | "parts">,
  outer: readonly ItemAxis[],
  enough: number,
): Strategy {
  const { kernel, vector, work } = base;
  const { extents } = kernel;
  const loop = vector - 1;
  const items = outer.reduce((n, axis) => n * Math.ceil(extents[axis.loop]! / axis.chunk), 1);
  // A loop that is divided must be entered with one turn at a time by those inside of it.
  const single = extents.slice(0, loop).map((_, l) => ({ loop: l, chunk: 1 }));
  const chunk = Math.min(tileLength, Math.max(16, Math.ceil(extents[vector]! / 64) * 16));
  const divides = extents[vector]! > chunk && work / items > enough;
  return {
    ...base,
    unroll: 1,
    axes: divides ? [...single, { loop: vector, chunk }] : outer,
    parts: null,
    tile: { loop, rows: 8, loads: tileLoads(kernel, vector, loop) },
  };
}

// Divides the reduction where there are too few outputs for many items, or where long columns are
// better walked through row by row.
function divideReduction(
  base: Omit<Strategy, "axes" | "parts">,
  axes: readonly ItemAxis[],
  enough: number,
  turnWork: (loop: number) => number,
  { columnElements, partRows }: Limits,
): Strategy | null {
  const { kernel, form, vector, work } = base;
  const { extents, outputRank, reducer } = kernel;
  if (!reducer || isArgReducer(reducer) || extents.length === outputRank) return null;
  const items = axes.reduce((n, { loop, chunk }) => n * Math.ceil(extents[loop]! / chunk), 1);
  const rows = extents[outputRank]!;
  let chunk: number;
  if (form === "inner") {
    if (items >= 8 || work < 4 * enough) return null;
    const outputs = count(extents.slice(0, outputRank));
    const pieces = Math.min(rows, Math.ceil(work / outputs / enough), 256);
    const step = outputRank === vector ? 4 * base.unroll : 1;
    chunk = Math.ceil(rows / pieces / step) * step;
    if (chunk >= rows) return null;
  } else {
    // Columns: only where rows are long enough to be read as such and there are many of them.
    const columns = extents[vector]!;
    if (columns < 16 || rows < 2 * partRows) return null;
    if (count(extents.slice(vector)) < columnElements) return null;
    const rowWork = turnWork(outputRank) * columns;
    chunk = Math.max(partRows, Math.ceil(enough / rowWork), Math.ceil(rows / 64));
  }
  const parts = Math.ceil(rows / chunk);
  const single = extents
    .slice(0, form === "inner" ? outputRank : vector)
    .map((_, loop) => ({ loop: loop + 1, chunk: 1 }));
  return {
    ...base,
    kernel: partialKernel(kernel, parts),
    vector: vector + 1,
    axes: [{ loop: 0, chunk: 1 }, ...single],
    flush: form === "outer" || !base.flush ? null : { ...base.flush, loop: base.flush.loop + 1 },
    parts: { loop: outputRank + 1, chunk },
  };
}

// The kernel with a loop over parts in front; it stores partial results to a slot of its own.
function partialKernel(kernel: NormalKernel, parts: number): NormalKernel {
  const { extents, outputRank, slots } = kernel;
  const dtype = computeType(kernel.body.at(-1)!.dtype);
  const outputs = extents.slice(0, outputRank);
  const stored = withLoops(kernel, [parts, ...extents], outputRank + 1, (strides) => [
    0,
    ...strides,
  ]);
  const dense = [count(outputs), ...stridesOf(outputs), ...extents.slice(outputRank).map(() => 0)];
  return {
    ...stored,
    epilogue: [{ kind: "reduced", dtype }],
    stores: [{ slot: slots, index: { offset: 0, strides: dense }, expression: 0, stored: dtype }],
    slots: slots + 1,
  };
}

/** The kernel that joins the partial results of a divided reduction and finishes the work. */
export function joiningKernel(strategy: Strategy, normal: NormalKernel): LoopKernel {
  const { kernel } = strategy;
  const { slot, index, stored } = kernel.stores[0]!;
  // Of the partial kernel's loops the outputs stay, and the parts are what is reduced.
  const rank = kernel.outputRank - 1;
  const original = inOrder(withLoop(normal), strategy.source);
  const extents = [...kernel.extents.slice(1, rank + 1), kernel.extents[0]!];
  return {
    ...withLoops(original, extents, rank, (strides) => [...strides.slice(0, rank), 0]),
    body: [
      {
        kind: "load",
        slot,
        index: { offset: 0, strides: [...index.strides.slice(1, rank + 1), index.strides[0]!] },
        stored,
        dtype: stored,
      },
    ],
    slots: kernel.slots,
  };
}
