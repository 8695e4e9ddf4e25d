/** The kernel that packs right matrices for all threads, ahead of the blocked product. */

import { i32, type I32, kernelSignature, type Local } from "../../assembler/index.js";
import type { KernelCode } from "../../launch.js";
import { argumentOffset, endOfArguments } from "../arguments.js";
import { offsetsAt } from "../strided.js";
import { packBlock, type PackOrder } from "./pack.js";

/** What makes the code of the kernel. */
export interface PackRightSpec {
  /** Vectors of four columns in a panel. */
  readonly vectors: number;
  /** Vectors in the last panel where columns do not fill one, or 0. */
  readonly edgeVectors: number;
  readonly order: PackOrder;
}

/**
 * The argument words; the loops over the right matrices follow. An item packs `blockDepth` steps of
 * `blockColumns` columns, a multiple of the panel's width.
 */
export const packRightArguments = [
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
] as const;

/** The code that packs right matrices. */
export function packRightCode(spec: PackRightSpec): KernelCode {
  const { vectors, edgeVectors, order } = spec;
  const width = vectors * 4;
  const key = `gemm pack ${order} ${width}/${edgeVectors * 4}`;
  return {
    key,
    emit: (module) => {
      module.function(key, kernelSignature, (f, args, begin, end) => {
        const word = (name: (typeof packRightArguments)[number]): I32 =>
          i32.load(args, argumentOffset(packRightArguments, name));
        f.for(begin, begin, end, 1, () => {
          const columnBlock = f.let(begin.remainderUnsigned(word("columnBlocks")));
          const rest = f.let(begin.divideUnsigned(word("columnBlocks")));
          const depthBlock = f.let(rest.remainderUnsigned(word("depthBlocks")));
          const matrix = f.let(rest.divideUnsigned(word("depthBlocks")));
          const loops = endOfArguments(packRightArguments, args);
          const [offset] = offsetsAt(f, loops, matrix, 1) as [Local<I32>];
          const right = f.let(word("right").add(offset));
          const packed = f.let(word("packed").add(matrix.multiply(word("matrixBytes"))));

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
