/** Fused loops whose work items are the rows of a matrix, to be called for rows that are in the cache. */

import type { LoopKernel } from "../../plan/loop.js";
import type { KernelCode } from "../launch.js";
import { codeOf } from "./code.js";
import { mapKernel, normalize, type NormalKernel } from "./normalize.js";
import { mapStrategy } from "./strategy.js";

/**
 * The code of an elementwise loop whose items are `rows` rows of equal size, in row-major order, or
 * `null` where its loops do not fall into rows.
 */
export function rowCode(kernel: LoopKernel, rows: number): KernelCode | null {
  const divided = divideAt(normalize(kernel), rows);
  return divided === null ? null : codeOf(mapStrategy(divided.kernel, divided.rowLoops));
}

/** The kernel with its first `rowLoops` loops counting rows; a loop over several rows is split. */
function divideAt(
  kernel: NormalKernel,
  rows: number,
): { kernel: NormalKernel; rowLoops: number } | null {
  const { extents } = kernel;
  let count = 1;
  for (let loop = 0; loop < extents.length; loop++) {
    if (count === rows) return { kernel, rowLoops: loop };
    const extent = extents[loop]!;
    const missing = rows / count;
    if (extent > missing && extent % missing === 0) {
      const size = extent / missing;
      const split = mapKernel(kernel, ({ offset, strides }) => ({
        offset,
        strides: strides.flatMap((stride, l) => (l === loop ? [stride * size, stride] : [stride])),
      }));
      return {
        kernel: {
          ...split,
          extents: extents.flatMap((n, l) => (l === loop ? [missing, size] : [n])),
          outputRank: kernel.outputRank + 1,
        },
        rowLoops: loop + 1,
      };
    }
    count *= extent;
  }
  return null;
}
