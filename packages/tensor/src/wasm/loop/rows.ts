/** Fused loops whose work items are the rows of a matrix, to be called for rows that are in the cache. */

import type { LoopKernel } from "../../plan/loop.js";
import type { KernelCode } from "../launch.js";
import { codeOf } from "./code.js";
import { normalize, withLoops } from "./normalize.js";
import { mapStrategy } from "./strategy.js";

/**
 * The code of an elementwise loop whose items are `rows` rows of equal size, in row-major order, or
 * `null` where its loops do not fall into rows.
 */
export function rowCode(kernel: LoopKernel, rows: number): KernelCode | null {
  const normal = normalize(kernel);
  const { extents, outputRank } = normal;
  let count = 1;
  for (let loop = 0; loop < extents.length; loop++) {
    if (count === rows) return codeOf(mapStrategy(normal, loop));
    const extent = extents[loop]!;
    const missing = rows / count;
    if (extent > missing && extent % missing === 0) {
      // A loop over several rows is split.
      const size = extent / missing;
      const split = withLoops(
        normal,
        extents.toSpliced(loop, 1, missing, size),
        outputRank + 1,
        (strides) => strides.toSpliced(loop, 1, strides[loop]! * size, strides[loop]!),
      );
      return codeOf(mapStrategy(split, loop + 1));
    }
    count *= extent;
  }
  return null;
}
