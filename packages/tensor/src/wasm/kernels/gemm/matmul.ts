/** Matrix products on the CPU device: which kernels compute a product. */

import type { LoopStep, NativeStep } from "../../../plan/schedule.js";
import { sizeOf } from "../../../tensor/shape.js";
import { i32, kernelSignature } from "../../assembler/index.js";
import type { KernelCode, Launch } from "../../launch.js";
import { loopArguments, lowerLoop } from "../../loop/index.js";
import { rowCode } from "../../loop/rows.js";
import type { LoweringContext, NativeKernel } from "../../native.js";
import { addressOfBuffer, integerArgument } from "../arguments.js";
import type { Epilogue } from "./epilogue.js";
import { lowerBlocked } from "./lower-blocked.js";
import { lowerVector } from "./lower-vector.js";
import { matrixProblem, type Problem } from "./problem.js";

/**
 * The kernel of the operation `matmul`. It reads any view: packing and strides take care of it. Right
 * matrices may be kept as float16 or int8 and are widened as they are loaded.
 */
export const matmulKernel: NativeKernel = {
  op: "matmul",
  acceptsView: (_node, input, view) => input === 1 || view.dtype === "float32",
  widens: (_node, input) => input === 1,
  takesEpilogue: true,
  lower: (step, context) => {
    const { epilogue } = step;
    if (epilogue === null) return lowerMatmul(step, context);
    const inRows = rowEpilogue(step, epilogue);
    return inRows === null
      ? [...lowerMatmul(step, context), ...lowerLoop(epilogue, context)]
      : lowerMatmul(step, context, inRows);
  },
};

/** A fused loop as work on rows, where its loops fall into the rows of the product. */
function rowEpilogue(step: NativeStep, loop: LoopStep): Epilogue | null {
  const shape = step.node.outputs[0]!.shape;
  const rows = sizeOf(shape.slice(0, -1));
  const code = rowCode(loop.kernel, rows);
  const output = step.outputs[0]!;
  return code === null
    ? null
    : {
        name: loop.name,
        code,
        arguments: loopArguments(loop),
        scratchBytes: 0,
        reads: loop.buffers.filter((buffer) => buffer !== output),
        writes: [output],
        work: sizeOf(shape) * loop.kernel.body.length,
      };
}

/**
 * The launches of a matrix product, followed by what `epilogue` does to its rows: in the same launch
 * where a thread computes whole rows, else in one of its own.
 */
export function lowerMatmul(
  step: NativeStep,
  context: LoweringContext,
  epilogue: Epilogue | null = null,
): readonly Launch[] {
  const [left, right] = step.inputs;
  const output = step.outputs[0]!;
  const problem = matrixProblem(left!, right!, output);
  const { m, n, k, batch } = problem;
  if (batch * m * n === 0) return [];
  const plain = k === 0 ? [zeroLaunch(problem)] : lowerVector(problem);
  if (plain) return epilogue ? [...plain, epilogueLaunch(problem, epilogue)] : plain;
  const { launches, fused } = lowerBlocked(problem, context, epilogue);
  return epilogue && !fused ? [...launches, epilogueLaunch(problem, epilogue)] : launches;
}

const zeroCode: KernelCode = {
  key: "gemm zero",
  emit: (module) => {
    module.function("gemm zero", kernelSignature, (f, args, begin, end) => {
      const rowBytes = f.let(i32.load(args, 4));
      f.memoryFill(
        i32.load(args).add(begin.multiply(rowBytes)),
        0,
        end.subtract(begin).multiply(rowBytes),
      );
    });
  },
};

// Bytes of output that one item of the launches below is worth.
const grainBytes = 64 * 1024;

// Rows, counted through the batch, that a thread takes at a time.
function rowGrain({ n }: Problem): number {
  return Math.max(1, Math.floor(grainBytes / (4 * n)));
}

/** Sums over nothing are zero. */
function zeroLaunch(problem: Problem): Launch {
  const { m, n, batch, output } = problem;
  return {
    name: `gemm zero ${batch * m}x${n}`,
    code: zeroCode,
    arguments: [addressOfBuffer(output), integerArgument(n * 4)],
    items: batch * m,
    grain: rowGrain(problem),
    scratchBytes: 0,
    reads: [],
    writes: [output],
    work: batch * m * n,
  };
}

function epilogueLaunch(problem: Problem, epilogue: Epilogue): Launch {
  const { m, batch, output } = problem;
  return {
    name: `gemm epilogue, ${epilogue.name}`,
    code: epilogue.code,
    arguments: epilogue.arguments,
    items: batch * m,
    grain: rowGrain(problem),
    scratchBytes: epilogue.scratchBytes,
    reads: [output, ...epilogue.reads],
    writes: [output, ...epilogue.writes],
    work: epilogue.work,
  };
}
