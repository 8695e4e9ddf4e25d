/** The kernel that packs right matrices for all threads, ahead of the blocked product. */

import { kernelSignature } from "../../assembler/index.js";
import type { KernelCode } from "../../launch.js";
import { ArgumentLayout } from "./arguments.js";
import { moveToBatch } from "./batch.js";
import { packBlock, type PackOrder } from "./pack.js";

/** What makes the code of the kernel. */
export interface PackRightSpec {
  /** Vectors of four columns in a panel. */
  readonly vectors: number;
  /** Vectors in the last panel where columns do not fill one, or 0. */
  readonly edgeVectors: number;
  readonly order: PackOrder;
  readonly batchAxes: number;
}

/**
 * The argument words; those of the batch axes follow. An item packs `blockDepth` steps of
 * `blockColumns` columns, a multiple of the panel's width.
 */
export const packRightArguments: ArgumentLayout<
  | "right"
  | "packed"
  | "n"
  | "k"
  | "rowStride"
  | "columnStride"
  | "blockDepth"
  | "depthBlocks"
  | "blockColumns"
  | "columnBlocks"
  | "matrixBytes"
> = new ArgumentLayout([
  "right",
  "packed",
  "n",
  "k",
  "rowStride",
  "columnStride",
  "blockDepth",
  "depthBlocks",
  "blockColumns",
  "columnBlocks",
  "matrixBytes",
]);

/** The code that packs right matrices. */
export function packRightCode(spec: PackRightSpec): KernelCode {
  const { vectors, edgeVectors, order, batchAxes } = spec;
  const width = vectors * 4;
  const key = `gemm pack ${order} ${width}/${edgeVectors * 4} batch ${batchAxes}`;
  return {
    key,
    emit: (module) => {
      module.function(key, kernelSignature, (f, args, begin, end) => {
        const word = (name: Parameters<typeof packRightArguments.load>[1]) =>
          packRightArguments.load(args, name);
        f.for(begin, begin, end, 1, () => {
          const columnBlock = f.let(begin.remainderUnsigned(word("columnBlocks")));
          const rest = f.let(begin.divideUnsigned(word("columnBlocks")));
          const depthBlock = f.let(rest.remainderUnsigned(word("depthBlocks")));
          const matrix = f.let(rest.divideUnsigned(word("depthBlocks")));
          const right = f.let(word("right"));
          const packed = f.let(word("packed").add(matrix.multiply(word("matrixBytes"))));
          const words = args.add(packRightArguments.bytes);
          moveToBatch(f, words, batchAxes, matrix, [null, right, null]);

          const step = f.let(depthBlock.multiply(word("blockDepth")));
          const stepsLeft = f.let(word("k").subtract(step));
          const blockDepth = f.let(word("blockDepth"));
          const depth = f.let(stepsLeft.minimum(blockDepth));
          const column = f.let(columnBlock.multiply(word("blockColumns")));
          const columnsLeft = f.let(word("n").subtract(column));
          const blockColumns = f.let(word("blockColumns"));
          const columns = f.let(columnsLeft.minimum(blockColumns));
          const full = edgeVectors > 0 ? f.let(columns.and(-width)) : columns;
          const stepAt = f.let(right.add(step.multiply(word("rowStride"))));
          const pack = (panelWidth: number, first: typeof column, count: typeof column): void => {
            packBlock(f, module, {
              width: panelWidth,
              order,
              from: stepAt.add(first.multiply(word("columnStride"))),
              to: packed.add(first.multiply(word("k")).add(step.multiply(panelWidth)).shiftLeft(2)),
              depth,
              count,
              widthStride: word("columnStride"),
              depthStride: word("rowStride"),
              panelStride: word("k").multiply(panelWidth * 4),
            });
          };
          f.if(full, () => {
            pack(width, column, full);
          });
          if (edgeVectors > 0) {
            const edge = f.let(columns.subtract(full));
            f.if(edge, () => {
              pack(edgeVectors * 4, f.let(column.add(full)), edge);
            });
          }
        });
      });
    },
  };
}
