/** Matrix products on the GPU device: which way a product is computed. */

import type { Launch } from "../../launch.js";
import { lowerLoop } from "../../loop/index.js";
import type { KernelStep, LoweringContext, NativeKernel } from "../../native.js";
import { lowerDirect } from "./direct.js";
import { problemOf, type Problem } from "./problem.js";
import { lowerTiled } from "./tiled.js";
import { tilingsFor } from "./tiling.js";
import { lowerVector, mostVectors, takesNorms } from "./vector.js";

/** Multiplications up to which a product is small. */
const smallProduct = 2 ** 16;
/** Sums up to this length are short. */
const shortSum = 64;

/** The kernel of `matmul`; it reads any view, and float16 and int8 as they are. */
export const matmulKernel: NativeKernel = {
  op: "matmul",
  acceptsView: () => true,
  widens: () => true,
  takesEpilogue: true,
  takesPrologues: (step, context) => takesNorms(problemOf(step), context),
  lower: (step, context) => {
    const { epilogue } = step;
    const used = [step.outputs[0]!, ...step.inputs.map(({ buffer }) => buffer)];
    const buffers = new Set([...used, ...(epilogue?.buffers ?? [])]);
    if (epilogue === null || buffers.size <= context.mostBuffers)
      return lowerProduct(step, context);
    return [...lowerProduct({ ...step, epilogue: null }, context), ...lowerLoop(epilogue, context)];
  },
};

function lowerProduct(step: KernelStep, context: LoweringContext): readonly Launch[] {
  const problem = problemOf(step);
  const { m, n, k, norms } = problem;
  const isThin = Math.min(m, n) <= mostVectors;
  if (norms.left !== null || norms.right !== null) return [lowerVector(problem, context)];
  if (k <= shortSum && (isThin || m * n * k <= smallProduct))
    return [lowerDirect(problem, context)];
  if (isThin) return [lowerVector(problem, context)];
  const tiling = context.choose(classOf(problem), tilingsFor(problem, context));
  return lowerTiled(problem, tiling, context);
}

/** What the best tiling depends on, besides the device. */
function classOf({ m, n, k, batch, left, right }: Problem): string {
  const form = [left, right].map(({ dtype, strides }) => {
    const [far, near] = strides.slice(-2) as [number, number];
    return `${dtype}${Math.abs(near) <= Math.abs(far) ? "" : "ᵀ"}`;
  });
  return `matmul ${batch}x${m}x${n}x${k} ${form.join(" ")}`;
}
