/** Lowers a product to the blocked kernel: chooses tiles, blocks, and what is packed where. */

import { bytesPerElement } from "../../../tensor/dtype.js";
import type { Launch, LaunchArgument } from "../../launch.js";
import type { LoweringContext } from "../../native.js";
import { addressOfBuffer, argumentWords } from "../arguments.js";
import { loopWords } from "../strided.js";
import { blockedArguments, blockedCode, type RightSource } from "./blocked.js";
import type { Epilogue } from "./epilogue.js";
import { packOrder } from "./pack.js";
import { packRightArguments, packRightCode } from "./pack-right.js";
import { type BatchAxis, type MatrixView, type Problem, spreads } from "./problem.js";
import type { LeftLayout } from "./tile.js";

/** The shape of the tiles that suit an engine. */
interface TileShape {
  /** Most rows of a tile. */
  readonly rows: number;
  /** Vectors of four columns. */
  readonly vectors: number;
  /** Fewest vectors of a tile that the engine computes at full speed. */
  readonly fewestVectors: number;
  readonly unroll: number;
}

function tileShape({ relaxed, revectorized }: LoweringContext): TileShape {
  // Without a fused multiply-add a product needs a register, and older V8 moves all loads of an
  // unrolled loop to its front: fewer rows and no unrolling keep everything in registers.
  if (!relaxed) return { rows: 4, vectors: 2, fewestVectors: 1, unroll: 1 };
  if (revectorized) return { rows: 6, vectors: 4, fewestVectors: 2, unroll: 2 };
  return { rows: 6, vectors: 2, fewestVectors: 1, unroll: 2 };
}

// Steps of a block. Every further block reads and writes the output again, which costs more than
// panels that are larger than the first-level cache.
const mostDepth = 2048;
// Numbers of the left matrix that an item packs, and its rows: what the second-level cache holds.
const mostLeftNumbers = 160 * 1024;
const mostItemRows = 144;
// Rows, or numbers of the right matrix, up to which packing it does not pay off.
const inPlaceRows = 96;
const inPlaceNumbers = 96 * 1024;
// Columns of an item up to which packing the left matrix does not pay off, and the stride up to
// which its rows are near enough to each other.
const inPlaceColumns = 64;
const inPlaceStride = 512;
// Rows up to which, and different right matrices from which on, items pack their columns themselves;
// bytes of packed columns that an item may have.
const mostOwnRows = 24;
const fewestOwnMatrices = 8;
const mostOwnBytes = 512 * 1024;
// Floating-point operations: fewest that make an item worthwhile, and a grain.
const leastItemWork = 1e6;
const grainWork = 250e3;
// Items for each thread, so that they end at about the same time; fewest rows and columns of one.
const itemsPerThread = 8;
const leastItemRows = 24;
const leastItemColumns = 64;

/** The largest part when `total` is shared out evenly over as few parts as `most` allows. */
function evenPart(total: number, most: number): number {
  return Math.ceil(total / Math.ceil(total / most));
}

const align = (bytes: number): number => (bytes + 63) & ~63;

function startOf({ buffer, offset }: MatrixView): LaunchArgument {
  return addressOfBuffer(buffer, offset);
}

/** How the product is cut: panels that fit the tiles, and blocks of panels. */
interface Cut {
  readonly tile: TileShape;
  /** Vectors of four columns in a panel, and in the last one where it is not full, else 0. */
  readonly vectors: number;
  readonly edgeVectors: number;
  readonly columnPanels: number;
  readonly columnBlocks: number;
  readonly rowPanels: number;
  readonly rowBlocks: number;
  /** Steps of the summed axis in a block. */
  readonly blockDepth: number;
  readonly left: LeftLayout;
  readonly right: RightSource;
}

function cut(problem: Problem, context: LoweringContext): Cut {
  const { m, n, k, batch, axes, left, right } = problem;
  const { threads } = context;
  const tile = tileShape(context);
  let { vectors } = tile;
  while (vectors > tile.fewestVectors && n <= vectors * 2) vectors /= 2;
  const width = vectors * 4;
  let edgeVectors = n % width === 0 ? 0 : tile.fewestVectors;
  while (n % width > edgeVectors * 4) edgeVectors *= 2;
  const columnPanels = Math.ceil(n / width);
  const rowPanels = Math.ceil(m / tile.rows);

  const blockDepth = Math.min(k, (evenPart(k, mostDepth) + 1) & ~1);

  const distinct = distinctRight(axes).count;
  const isNarrow = right.dtype !== "float32";
  const source: RightSource =
    !isNarrow &&
    right.columnStride === 1 &&
    spreads(right.rowStride, k) &&
    (m <= inPlaceRows || k * n <= inPlaceNumbers)
      ? "rows"
      : // Numbers are widened where they are packed: there is never a wide copy of the whole matrix.
        isNarrow || m <= mostOwnRows || (distinct >= fewestOwnMatrices && 4 * k * n <= mostOwnBytes)
        ? "own"
        : "shared";

  // Items: whole rows where there are enough of them, else columns are shared out too.
  const fewestBlocks = Math.ceil(m / Math.min(mostItemRows, mostLeftNumbers / blockDepth));
  const work = 2 * m * n * k;
  const wanted = Math.min((itemsPerThread * threads) / batch, work / leastItemWork);
  const wantedRows = Math.min(wanted, Math.floor(m / leastItemRows));
  let rowBlocks = Math.max(fewestBlocks, Math.ceil(wantedRows / threads) * threads);
  let columnBlocks = 1;
  if (source === "own") {
    rowBlocks = fewestBlocks;
    columnBlocks = Math.ceil((4 * k * n) / mostOwnBytes);
  }
  rowBlocks = Math.min(rowBlocks, rowPanels);
  if (batch * rowBlocks * columnBlocks < 2 * threads) {
    columnBlocks = Math.max(columnBlocks, Math.ceil(wanted / rowBlocks));
  }
  columnBlocks = Math.max(1, Math.min(columnBlocks, Math.floor(n / leastItemColumns)));

  const itemColumns = Math.ceil(columnPanels / columnBlocks) * width;
  const rowsInPlace =
    itemColumns <= inPlaceColumns ||
    m <= tile.rows * 4 ||
    Math.abs(left.rowStride) <= inPlaceStride;
  const layout =
    left.columnStride === 1 && rowsInPlace
      ? "rows"
      : left.rowStride === 1 && spreads(left.columnStride, k)
        ? "columns"
        : "packed";
  return {
    tile,
    vectors,
    edgeVectors,
    columnPanels,
    columnBlocks,
    rowPanels,
    rowBlocks,
    blockDepth,
    left: layout,
    right: source,
  };
}

/**
 * Strides of a dense array that holds one entry for each right matrix that differs: 0 along the axes
 * that share it. Also their number.
 */
function distinctRight(axes: readonly BatchAxis[]): { strides: number[]; count: number } {
  let count = 1;
  const strides = axes.map(() => 0);
  for (let i = axes.length - 1; i >= 0; i--) {
    if (axes[i]!.right === 0) continue;
    strides[i] = count;
    count *= axes[i]!.size;
  }
  return { strides, count };
}

/** The launches of a product by blocks, and whether they apply the epilogue. */
export function lowerBlocked(
  problem: Problem,
  context: LoweringContext,
  epilogue: Epilogue | null,
): { readonly launches: readonly Launch[]; readonly fused: boolean } {
  const { m, n, k, batch, axes, left, right, output } = problem;
  const plan = cut(problem, context);
  const { tile, vectors, edgeVectors, columnPanels, columnBlocks, rowPanels, rowBlocks } = plan;
  const width = vectors * 4;
  const { blockDepth } = plan;

  const distinct = distinctRight(axes);
  const matrixBytes = 4 * k * (n - (n % width) + edgeVectors * 4);
  const packed = plan.right === "shared" ? context.workspace(matrixBytes * distinct.count) : null;
  const rightBytes = bytesPerElement(right.dtype);
  const rightStrides =
    packed === null
      ? axes.map((axis) => axis.right * rightBytes)
      : distinct.strides.map((stride) => stride * matrixBytes);
  const batchWords = loopWords({
    sizes: axes.map(({ size }) => size),
    strides: [axes.map((axis) => axis.left * 4), rightStrides],
  });

  const itemRows = Math.ceil(rowPanels / rowBlocks) * tile.rows;
  const itemColumns = Math.ceil(columnPanels / columnBlocks) * width;
  const ownColumns =
    plan.right === "own" ? itemColumns : plan.right === "rows" ? edgeVectors * 4 : 0;
  const scratchRight = plan.left === "packed" ? align(itemRows * blockDepth * 4) : 0;
  const scratchEdge = scratchRight + align(ownColumns * k * 4);
  const scratchEpilogue = scratchEdge + align(itemRows * edgeVectors * 16);

  const fused = columnBlocks === 1 ? epilogue : null;
  const itemWork = (2 * m * n * k) / (rowBlocks * columnBlocks);
  let grain = Math.max(1, Math.floor(grainWork / itemWork));
  // Items that share packed columns stay with one thread where there is enough for all.
  if (plan.right === "own" && batch * columnBlocks >= 2 * context.threads) {
    grain = Math.ceil(grain / rowBlocks) * rowBlocks;
  }
  const main: Launch = {
    name: `gemm ${batch > 1 ? `${batch}x` : ""}${m}x${n}x${k}`,
    code: blockedCode({
      left: plan.left,
      leftOrder: packOrder(left.rowStride, left.columnStride),
      right: plan.right,
      rightOrder: packOrder(right.columnStride, right.rowStride),
      rightType: right.dtype,
      rows: Math.floor(m / rowPanels),
      mixedRows: m % rowPanels > 0,
      vectors,
      edgeVectors,
      unroll: tile.unroll,
      deep: blockDepth < k,
      epilogue: fused?.code ?? null,
    }),
    arguments: [
      ...argumentWords(blockedArguments, {
        left: startOf(left),
        right: packed === null ? startOf(right) : addressOfBuffer(packed),
        output: addressOfBuffer(output),
        leftRowStride: left.rowStride * 4,
        leftColumnStride: left.columnStride * 4,
        rightRowStride: right.rowStride * rightBytes,
        rightColumnStride: right.columnStride * rightBytes,
        m,
        n,
        k,
        blockDepth,
        rowPanels,
        tallPanels: m % rowPanels,
        rowBlocks,
        columnPanels,
        columnBlocks,
        scratchRight,
        scratchEdge,
        scratchEpilogue,
        epilogueArguments: 4 * (blockedArguments.length + batchWords.length),
      }),
      ...batchWords,
      ...(fused?.arguments ?? []),
    ],
    items: batch * rowBlocks * columnBlocks,
    grain,
    scratchBytes: scratchEpilogue + (fused?.scratchBytes ?? 0),
    reads: [left.buffer, packed ?? right.buffer, ...(fused?.reads ?? [])],
    writes: [output, ...(fused?.writes ?? [])],
    work: 2 * batch * m * n * k + (fused?.work ?? 0),
  };
  const launches =
    packed === null ? [main] : [packLaunch(problem, plan, packed, matrixBytes), main];
  return { launches, fused: fused !== null };
}

// Numbers that one item of the packing launch copies, about.
const packNumbers = 16 * 1024;

function packLaunch(problem: Problem, plan: Cut, packed: number, matrixBytes: number): Launch {
  const { n, k, axes, right } = problem;
  const { vectors, edgeVectors } = plan;
  const order = packOrder(right.columnStride, right.rowStride);
  const width = vectors * 4;
  // Rows that are contiguous are read whole, columns that are contiguous likewise.
  const wholeColumns = Math.ceil(n / width) * width;
  const [blockDepth, blockColumns] =
    order === "across"
      ? [Math.min(k, 16 * Math.ceil(packNumbers / (16 * n))), wholeColumns]
      : [k, Math.min(wholeColumns, width * Math.ceil(packNumbers / (width * k)))];
  const depthBlocks = Math.ceil(k / blockDepth);
  const columnBlocks = Math.ceil(n / blockColumns);
  const distinctAxes = axes.filter((axis) => axis.right !== 0);
  const { count } = distinctRight(axes);
  return {
    name: `gemm pack ${count > 1 ? `${count}x` : ""}${k}x${n}`,
    code: packRightCode({ vectors, edgeVectors, order }),
    arguments: [
      ...argumentWords(packRightArguments, {
        right: startOf(right),
        packed: addressOfBuffer(packed),
        n,
        k,
        rowStride: right.rowStride * 4,
        columnStride: right.columnStride * 4,
        blockDepth,
        depthBlocks,
        blockColumns,
        columnBlocks,
        matrixBytes,
      }),
      ...loopWords({
        sizes: distinctAxes.map(({ size }) => size),
        strides: [distinctAxes.map((axis) => axis.right * 4)],
      }),
    ],
    items: count * depthBlocks * columnBlocks,
    grain: 1,
    scratchBytes: 0,
    reads: [right.buffer],
    writes: [packed],
    work: count * n * k,
  };
}
