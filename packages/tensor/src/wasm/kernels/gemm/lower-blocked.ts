/** Lowers a product to the blocked kernel: chooses tiles, blocks and what is packed where. */

import type { Launch, LaunchArgument } from "../../launch.js";
import type { LoweringContext } from "../../native.js";
import { batchWords, distinctRight } from "./batch.js";
import { blockedArguments, blockedCode, type BlockedSpec, type RightSource } from "./blocked.js";
import type { Epilogue } from "./epilogue.js";
import { packOrder } from "./pack.js";
import { packRightArguments, packRightCode } from "./pack-right.js";
import type { MatrixView, Problem } from "./problem.js";
import type { LeftLayout } from "./tile.js";

/** The shape of the tiles that suit an engine. */
export interface TileShape {
  /** Most rows of a tile. */
  readonly rows: number;
  /** Vectors of four columns. */
  readonly vectors: number;
  /** Fewest vectors of a tile that the engine computes at full speed. */
  readonly fewestVectors: number;
  readonly unroll: number;
}

/** The tile shape for what the engine can do. */
export function tileShape({ relaxed, revectorized }: LoweringContext): TileShape {
  // Without a fused multiply-add a product needs a register, and older V8 moves all loads of an
  // unrolled loop to its front: fewer rows and no unrolling keep everything in registers.
  if (!relaxed) return { rows: 4, vectors: 2, fewestVectors: 1, unroll: 1 };
  if (revectorized) return { rows: 6, vectors: 4, fewestVectors: 2, unroll: 2 };
  return { rows: 6, vectors: 2, fewestVectors: 1, unroll: 2 };
}

// Bytes of the first- and second-level cache that blocks are made for.

export const tuning = {
  firstLevel: 24 * 1024,
  rowsPerBlock: 72,
  directRightBytes: 128 * 1024,
  directLeftColumns: 64,
  own: -1,
};

/** Shares `total` out over as few parts as `most` allows, all but the last equal. */
function evenBlock(total: number, most: number): number {
  const parts = Math.ceil(total / most);
  return Math.ceil(total / parts);
}

function viewArgument({ buffer, offset }: MatrixView): LaunchArgument {
  return { kind: "buffer", buffer, offset };
}

/** The launches of a product by blocks. */
export function lowerBlocked(
  problem: Problem,
  context: LoweringContext,
  epilogue: Epilogue | null,
): { readonly launches: Launch[]; readonly fused: boolean } {
  const { m, n, k, batch, axes, left, right, output } = problem;
  const shape = tileShape(context);
  let { vectors } = shape;
  while (vectors > shape.fewestVectors && n <= vectors * 2) vectors /= 2;
  const width = vectors * 4;
  const edge = n % width;
  let edgeVectors = edge === 0 ? 0 : shape.fewestVectors;
  while (edge > edgeVectors * 4) edgeVectors *= 2;
  const columnPanels = Math.ceil(n / width);

  const rowPanels = Math.ceil(m / shape.rows);
  const rows = Math.floor(m / rowPanels);
  const tallPanels = m % rowPanels;

  const deepest = Math.floor(tuning.firstLevel / (4 * (shape.rows + width))) & ~1;
  const blockDepth = Math.min(k, (evenBlock(k, deepest) + 1) & ~1);
  const deep = blockDepth < k;

  const rightInPlace = right.columnStride === 1 && 4 * k * n <= tuning.directRightBytes;
  const leftLayout: LeftLayout =
    n > tuning.directLeftColumns
      ? "packed"
      : left.columnStride === 1
        ? "rows"
        : left.rowStride === 1
          ? "columns"
          : "packed";

  const rowBlocks = Math.ceil(m / tuning.rowsPerBlock);
  const columnBlocks = 1;
  const itemRows = Math.ceil(rowPanels / rowBlocks) * shape.rows;

  const rightOrder = packOrder(right.columnStride, right.rowStride);
  const source: RightSource = rightInPlace ? "rows" : tuning.own >= 0 ? "own" : "shared";
  const distinct = distinctRight(axes);

  const launches: Launch[] = [];
  let rightArgument = viewArgument(right);
  const matrixBytes = 4 * k * (n - edge + edgeVectors * 4);
  if (source === "shared") {
    const packed = context.workspace(matrixBytes * distinct.count);
    const packAxes = axes
      .filter((axis) => axis.right !== 0)
      .map(({ size, right }) => ({ size, left: 0, right }));
    const blockSteps = rightOrder === "across" ? 16 : k;
    const blockColumns = rightOrder === "across" ? Math.ceil(n / width) * width : width * 4;
    const depthBlocks = Math.ceil(k / blockSteps);
    const columnBlocks = Math.ceil(n / blockColumns);
    launches.push({
      name: `gemm pack ${k}x${n}`,
      code: packRightCode({ vectors, edgeVectors, order: rightOrder, batchAxes: packAxes.length }),
      arguments: [
        ...packRightArguments.write({
          right: rightArgument,
          packed: { kind: "buffer", buffer: packed },
          n,
          k,
          rowStride: right.rowStride * 4,
          columnStride: right.columnStride * 4,
          blockDepth: blockSteps,
          depthBlocks,
          blockColumns,
          columnBlocks,
          matrixBytes,
        }),
        ...batchWords(packAxes, []),
      ],
      items: distinct.count * depthBlocks * columnBlocks,
      grain: 1,
      scratchBytes: 0,
      reads: [right.buffer],
      writes: [packed],
      work: distinct.count * n * k,
    });
    rightArgument = { kind: "buffer", buffer: packed };
  }

  const align = (bytes: number): number => (bytes + 63) & ~63;
  const leftBytes = leftLayout === "packed" ? align(itemRows * blockDepth * 4) : 0;
  const ownColumns =
    source === "own"
      ? Math.ceil(columnPanels / columnBlocks) * width
      : source === "rows"
        ? edgeVectors * 4
        : 0;
  const scratchRight = leftBytes;
  const scratchEdge = scratchRight + align(ownColumns * k * 4);
  const scratchEpilogue = scratchEdge + align(itemRows * edgeVectors * 16);

  const fused = epilogue && columnBlocks === 1 ? epilogue : null;
  const spec: BlockedSpec = {
    left: leftLayout,
    leftOrder: packOrder(left.rowStride, left.columnStride),
    right: source,
    rightOrder,
    rows,
    mixedRows: tallPanels > 0,
    vectors,
    edgeVectors,
    unroll: shape.unroll,
    deep,
    batchAxes: axes.length,
    epilogue: fused?.code ?? null,
  };
  launches.push({
    name: `gemm ${batch > 1 ? `${batch}x` : ""}${m}x${n}x${k}`,
    code: blockedCode(spec),
    arguments: [
      ...blockedArguments.write({
        left: viewArgument(left),
        right: rightArgument,
        output: { kind: "buffer", buffer: output },
        leftRowStride: left.rowStride * 4,
        leftColumnStride: left.columnStride * 4,
        rightRowStride: right.rowStride * 4,
        rightColumnStride: right.columnStride * 4,
        m,
        n,
        k,
        blockDepth,
        rowPanels,
        tallPanels,
        rowBlocks,
        columnPanels,
        columnBlocks,
        scratchRight,
        scratchEdge,
        scratchEpilogue,
      }),
      ...batchWords(
        axes,
        distinct.strides.map((stride) => stride * matrixBytes),
      ),
      ...(fused?.arguments ?? []),
    ],
    items: batch * rowBlocks * columnBlocks,
    grain: 1,
    scratchBytes: scratchEpilogue + (fused?.scratchBytes ?? 0),
    reads: [
      left.buffer,
      source === "shared" ? launches[0]!.writes[0]! : right.buffer,
      ...(fused?.reads ?? []),
    ],
    writes: [output, ...(fused?.writes ?? [])],
    work: 2 * batch * m * n * k,
  });
  return { launches, fused: fused !== null };
}
