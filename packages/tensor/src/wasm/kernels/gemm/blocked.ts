/**
 * The product of matrices in blocks: the kernel around the tiles.
 *
 * A work item is a block of rows (times a block of columns, times a batch index). It walks the
 * summed axis in blocks that fit the caches; for each it packs its rows of the left matrix, and for
 * each panel of columns calls the tiles of all its rows. The right matrix is packed by a launch
 * before, by the item itself, or read in place. Every number of the output is summed in an order
 * that follows from the shape alone.
 */

import {
  type FunctionBuilder,
  i32,
  type I32,
  kernelSignature,
  type Local,
  type ModuleBuilder,
  f32,
  v128,
} from "../../assembler/index.js";
import type { DType } from "../../../tensor/dtype.js";
import type { KernelCode } from "../../launch.js";
import { argumentOffset, endOfArguments } from "../arguments.js";
import { offsetsAt } from "../strided.js";
import { kernelFunction } from "./epilogue.js";
import { packBlock, type PackOrder } from "./pack.js";
import { type LeftLayout, tileFunction } from "./tile.js";

/** Where the tiles read the right matrix. */
export type RightSource =
  /** Panels that a launch before has packed. */
  | "shared"
  /** Panels that the thread packs into its scratch memory when it meets new columns. */
  | "own"
  /** In place; rows must be contiguous. */
  | "rows";

/** What makes the code of the kernel. */
export interface BlockedSpec {
  readonly left: LeftLayout;
  /** How the left matrix is packed, for `"packed"`. */
  readonly leftOrder: PackOrder;
  readonly right: RightSource;
  /** How the right matrix is packed, for `"own"`. */
  readonly rightOrder: PackOrder;
  /** What the numbers of the right matrix are kept as; only `"own"` takes another than float32. */
  readonly rightType: DType;
  /** Rows of the tiles: the first panels may have one row more than the others. */
  readonly rows: number;
  /** Whether there are panels with one row more. */
  readonly mixedRows: boolean;
  /** Vectors of four columns in a tile. */
  readonly vectors: number;
  /** Vectors in the tile of the last columns where they do not fill a panel, or 0. */
  readonly edgeVectors: number;
  readonly unroll: number;
  /** Whether the summed axis is walked in more than one block. */
  readonly deep: boolean;
  /** Called for the rows of every item; then items span all columns. */
  readonly epilogue: KernelCode | null;
}

/** The argument words; the loops of the batch and the arguments of the epilogue follow. */
export const blockedArguments = [
  "left",
  // The matrices themselves, or the panels they were packed into.
  "right",
  "output",
  "leftRowStride",
  "leftColumnStride",
  "rightRowStride",
  "rightColumnStride",
  "m",
  "n",
  "k",
  // Steps of the summed axis in a block.
  "blockDepth",
  // Panels of rows, how many of them have a row more, and the blocks they are shared out over.
  "rowPanels",
  "tallPanels",
  "rowBlocks",
  "columnPanels",
  "columnBlocks",
  // Offsets in the scratch memory; the packed rows come first.
  "scratchRight",
  "scratchEdge",
  "scratchEpilogue",
  // Offset of the arguments of the epilogue.
  "epilogueArguments",
] as const;

/** The code of a blocked product. */
export function blockedCode(spec: BlockedSpec): KernelCode {
  const key = [
    "gemm",
    spec.left === "packed" ? `${spec.left} ${spec.leftOrder}` : spec.left,
    spec.right === "own" ? `own ${spec.rightOrder} ${spec.rightType}` : spec.right,
    `${spec.rows}${spec.mixedRows ? "+" : ""}x${spec.vectors * 4}/${spec.edgeVectors * 4}`,
    `unroll ${spec.unroll}`,
    spec.deep ? "deep" : "flat",
    ...(spec.epilogue ? [`then ${spec.epilogue.key}`] : []),
  ].join(" ");
  return {
    key,
    emit: (module) => {
      module.function(key, kernelSignature, (f, args, begin, end, scratch) => {
        new BlockedKernel(module, f, spec, args, scratch).emit(begin, end);
      });
    },
  };
}

// The kernel while it is written: locals that several of its parts use.
class BlockedKernel {
  private readonly module: ModuleBuilder;
  private readonly f: FunctionBuilder;
  private readonly spec: BlockedSpec;
  private readonly args: Local<I32>;
  private readonly scratch: Local<I32>;
  private readonly width: number;
  // Matrices of the batch index at hand, and the first row of the item in each.
  private readonly left: Local<I32>;
  private readonly right: Local<I32>;
  private readonly output: Local<I32>;
  // Rows of the item: the first, and the number of panels of each height.
  private readonly firstRow: Local<I32>;
  private readonly tall: Local<I32>;
  private readonly short: Local<I32>;
  // Panels of columns of the item, and the end of those that are full.
  private readonly firstPanel: Local<I32>;
  private readonly endPanel: Local<I32>;
  private readonly fullEnd: Local<I32>;
  // Block of the summed axis.
  private readonly step: Local<I32>;
  private readonly depth: Local<I32>;
  // Bytes between panels of the right matrix.
  private readonly panelStride: Local<I32>;
  private readonly outputStride: Local<I32>;
  private readonly edgeWidth: Local<I32>;

  constructor(
    module: ModuleBuilder,
    f: FunctionBuilder,
    spec: BlockedSpec,
    args: Local<I32>,
    scratch: Local<I32>,
  ) {
    this.module = module;
    this.f = f;
    this.spec = spec;
    this.args = args;
    this.scratch = scratch;
    this.width = spec.vectors * 4;
    this.left = f.local(i32);
    this.right = f.local(i32);
    this.output = f.local(i32);
    this.firstRow = f.local(i32);
    this.tall = f.local(i32);
    this.short = f.local(i32);
    this.firstPanel = f.local(i32);
    this.endPanel = f.local(i32);
    this.fullEnd = f.local(i32);
    this.step = f.local(i32);
    this.depth = f.local(i32);
    this.panelStride = f.let(
      spec.right === "rows" ? i32.const(this.width * 4) : this.word("k").multiply(this.width * 4),
    );
    this.outputStride = f.let(this.word("n").shiftLeft(2));
    this.edgeWidth = f.let(this.word("n").and(this.width - 1));
  }

  private word(name: (typeof blockedArguments)[number]): I32 {
    return i32.load(this.args, argumentOffset(blockedArguments, name));
  }

  emit(begin: Local<I32>, end: Local<I32>): void {
    const { f, spec } = this;
    const columnsIndex = f.local(i32);
    const packedFor = f.letI32(-1);
    f.for(begin, begin, end, 1, () => {
      const rowBlock = f.let(begin.remainderUnsigned(this.word("rowBlocks")));
      f.set<I32>(columnsIndex, begin.divideUnsigned(this.word("rowBlocks")));
      const columnBlock = f.let(columnsIndex.remainderUnsigned(this.word("columnBlocks")));
      const batch = f.let(columnsIndex.divideUnsigned(this.word("columnBlocks")));
      this.findMatrices(batch);
      this.findRows(rowBlock);
      this.findColumns(columnBlock);
      if (spec.right !== "shared") {
        f.if(columnsIndex.notEqual(packedFor), () => {
          this.packRight();
          f.set<I32>(packedFor, columnsIndex);
        });
      }
      f.for(this.step, 0, this.word("k"), this.word("blockDepth"), () => {
        const rest = f.let(this.word("k").subtract(this.step));
        const block = f.let(this.word("blockDepth"));
        f.set<I32>(this.depth, rest.minimum(block));
        this.computeBlock();
      });
      if (spec.edgeVectors > 0) {
        f.if(this.endPanel.greater(this.fullEnd), () => {
          this.copyEdge();
        });
      }
      if (spec.epilogue) {
        const first = f.let(batch.multiply(this.word("m")).add(this.firstRow));
        f.call(
          kernelFunction(this.module, spec.epilogue),
          this.args.add(this.word("epilogueArguments")),
          first,
          first.add(this.rowCount()),
          this.scratch.add(this.word("scratchEpilogue")),
        );
      }
    });
  }

  private findMatrices(batch: I32): void {
    const { f } = this;
    const loops = endOfArguments(blockedArguments, this.args);
    const [left, right] = offsetsAt(f, loops, batch, 2) as [Local<I32>, Local<I32>];
    f.set<I32>(this.left, this.word("left").add(left));
    f.set<I32>(this.right, this.word("right").add(right));
    const rows = batch.multiply(this.word("m"));
    f.set<I32>(this.output, this.word("output").add(rows.multiply(this.outputStride)));
  }

  // First and end of part `part` when `count` panels are shared out evenly over `parts`.
  private share(count: I32, part: I32, parts: I32): [Local<I32>, Local<I32>] {
    const { f } = this;
    return [
      f.let(part.multiply(count).divideUnsigned(parts)),
      f.let(part.add(1).multiply(count).divideUnsigned(parts)),
    ];
  }

  private findRows(rowBlock: I32): void {
    const { f, spec } = this;
    const [first, end] = this.share(this.word("rowPanels"), rowBlock, this.word("rowBlocks"));
    if (spec.mixedRows) {
      const tallPanels = f.let(this.word("tallPanels"));
      f.set<I32>(this.firstRow, first.multiply(spec.rows).add(first.minimum(tallPanels)));
      f.set<I32>(this.tall, f.let(end.minimum(tallPanels)).subtract(first));
      f.set<I32>(this.tall, this.tall.maximum(0));
      f.set<I32>(this.short, end.subtract(first).subtract(this.tall));
    } else {
      f.set<I32>(this.firstRow, first.multiply(spec.rows));
      f.set<I32>(this.short, end.subtract(first));
    }
    f.increment(this.output, this.firstRow.multiply(this.outputStride));
    f.increment(this.left, this.firstRow.multiply(this.word("leftRowStride")));
  }

  private findColumns(columnBlock: I32): void {
    const { f, spec } = this;
    const columnPanels = f.let(this.word("columnPanels"));
    const [first, end] = this.share(columnPanels, columnBlock, this.word("columnBlocks"));
    f.set<I32>(this.firstPanel, first);
    f.set<I32>(this.endPanel, end);
    if (spec.edgeVectors > 0) {
      const fullPanels = f.let(columnPanels.subtract(1));
      f.set<I32>(this.fullEnd, end.minimum(fullPanels));
    } else {
      f.set<I32>(this.fullEnd, end);
    }
  }

  // Rows of the item.
  private rowCount(): I32 {
    const { rows, mixedRows } = this.spec;
    const short = this.short.multiply(rows);
    return mixedRows ? this.tall.multiply(rows + 1).add(short) : short;
  }

  private get ownPanels(): I32 {
    return this.scratch.add(this.word("scratchRight"));
  }

  // Packs the columns of the item, or only the last ones where full panels are read in place.
  private packRight(): void {
    const { f, spec, width } = this;
    const columnStride = this.word("rightColumnStride");
    const pack = (panelWidth: number, order: PackOrder, panel: I32, to: I32, count: I32): void => {
      packBlock(f, this.module, {
        width: panelWidth,
        order,
        dtype: spec.rightType,
        from: this.right.add(panel.multiply(columnStride.multiply(width))),
        to,
        depth: this.word("k"),
        count,
        widthStride: columnStride,
        depthStride: this.word("rightRowStride"),
        panelStride: this.panelStride,
      });
    };
    if (spec.right === "own") {
      const full = f.let(this.fullEnd.subtract(this.firstPanel));
      f.if(full, () => {
        pack(width, spec.rightOrder, this.firstPanel, this.ownPanels, full.multiply(width));
      });
    }
    if (spec.edgeVectors > 0) {
      const order = spec.right === "own" ? spec.rightOrder : "across";
      f.if(this.endPanel.greater(this.fullEnd), () => {
        pack(spec.edgeVectors * 4, order, this.fullEnd, this.packedEdge(), this.edgeWidth);
      });
    }
  }

  // Address of the packed last columns.
  private packedEdge(): I32 {
    const { right } = this.spec;
    if (right === "shared") return this.right.add(this.fullEnd.multiply(this.panelStride));
    if (right === "rows") return this.ownPanels;
    return this.ownPanels.add(this.fullEnd.subtract(this.firstPanel).multiply(this.panelStride));
  }

  private computeBlock(): void {
    const { f, spec, width } = this;
    const leftAt = f.let(this.packLeft());
    const panel = f.local(i32);
    const rightAt = f.local(i32);
    const outputAt = f.let(this.output.add(this.firstPanel.multiply(width * 4)));
    if (spec.right === "rows") {
      const start = this.right.add(this.step.multiply(this.word("rightRowStride")));
      f.set<I32>(rightAt, start.add(this.firstPanel.multiply(width * 4)));
    } else {
      const panels =
        spec.right === "own"
          ? this.ownPanels
          : this.right.add(this.firstPanel.multiply(this.panelStride));
      f.set<I32>(rightAt, panels.add(this.step.multiply(width * 4)));
    }
    f.for(panel, this.firstPanel, this.fullEnd, 1, () => {
      this.tiles(spec.vectors, leftAt, rightAt, outputAt, this.outputStride, false);
      f.increment(rightAt, this.panelStride);
      f.increment(outputAt, width * 4);
    });
    if (spec.edgeVectors > 0) {
      f.if(this.endPanel.greater(this.fullEnd), () => {
        const bytes = spec.edgeVectors * 16;
        const at = f.let(this.packedEdge().add(this.step.multiply(bytes)));
        const to = f.let(this.edge);
        this.tiles(spec.edgeVectors, leftAt, at, to, f.letI32(bytes), true);
      });
    }
  }

  // Where the tiles of the last columns are put, all of their vectors, before the valid are copied.
  private get edge(): I32 {
    return this.scratch.add(this.word("scratchEdge"));
  }

  // Packs the rows of the item for the block at hand and gives the address tiles start from.
  private packLeft(): I32 {
    const { f, spec } = this;
    const rowStride = this.word("leftRowStride");
    const columnStride = this.word("leftColumnStride");
    const from = f.let(this.left.add(this.step.multiply(columnStride)));
    if (spec.left !== "packed") return from;
    const pack = (rows: number, count: Local<I32>, start: I32, to: I32): void => {
      f.if(count, () => {
        packBlock(f, this.module, {
          width: rows,
          order: spec.leftOrder,
          from: start,
          to,
          depth: this.depth,
          count: count.multiply(rows),
          widthStride: rowStride,
          depthStride: columnStride,
          panelStride: this.depth.multiply(rows * 4),
        });
      });
    };
    if (spec.mixedRows) {
      const tallRows = f.let(this.tall.multiply(spec.rows + 1));
      pack(spec.rows + 1, this.tall, from, this.scratch);
      pack(
        spec.rows,
        this.short,
        from.add(tallRows.multiply(rowStride)),
        this.scratch.add(tallRows.multiply(this.depth).shiftLeft(2)),
      );
    } else {
      pack(spec.rows, this.short, from, this.scratch);
    }
    return this.scratch;
  }

  // All tiles of the item's rows for one panel of columns.
  private tiles(
    vectors: number,
    leftAt: I32,
    rightAt: I32,
    to: I32,
    toStride: I32,
    packedRight: boolean,
  ): void {
    const { f, module, spec } = this;
    const call = (accumulate: boolean): void => {
      const group = (rows: number, panels: Local<I32>, left: I32, output: I32): void => {
        const tile = tileFunction(module, {
          rows,
          vectors,
          unroll: spec.unroll,
          left: spec.left,
          right: spec.right === "rows" && !packedRight ? "rows" : "packed",
          accumulate,
        });
        const leftStride =
          spec.left === "rows" ? this.word("leftRowStride") : this.word("leftColumnStride");
        f.if(panels, () => {
          const rightStride = this.word("rightRowStride");
          f.call(
            tile,
            left,
            rightAt,
            output,
            toStride,
            this.depth,
            panels,
            leftStride,
            rightStride,
          );
        });
      };
      if (!spec.mixedRows) {
        group(spec.rows, this.short, leftAt, to);
        return;
      }
      group(spec.rows + 1, this.tall, leftAt, to);
      const tallRows = f.let(this.tall.multiply(spec.rows + 1));
      const rowBytes =
        spec.left === "packed" ? this.depth.shiftLeft(2) : this.word("leftRowStride");
      group(
        spec.rows,
        this.short,
        leftAt.add(tallRows.multiply(rowBytes)),
        to.add(tallRows.multiply(toStride)),
      );
    };
    if (!spec.deep) {
      call(false);
      return;
    }
    f.if(
      this.step,
      () => {
        call(true);
      },
      () => {
        call(false);
      },
    );
  }

  private copyEdge(): void {
    const { f, spec } = this;
    const [row, from, to] = [f.local(i32), f.let(this.edge), f.local(i32)];
    const column = f.local(i32);
    const vectorsEnd = f.let(this.edgeWidth.and(-4));
    f.set<I32>(to, this.output.add(this.fullEnd.multiply(this.width * 4)));
    f.for(row, 0, this.rowCount(), 1, () => {
      if (spec.edgeVectors > 1) {
        f.for(column, 0, vectorsEnd, 4, () => {
          const offset = column.shiftLeft(2);
          f.storeV128(to.add(offset), v128.load(from.add(offset)));
        });
      }
      f.for(column, spec.edgeVectors > 1 ? vectorsEnd : 0, this.edgeWidth, 1, () => {
        const offset = column.shiftLeft(2);
        f.storeF32(to.add(offset), f32.load(from.add(offset)));
      });
      f.increment(from, spec.edgeVectors * 16);
      f.increment(to, this.outputStride);
    });
  }
}
