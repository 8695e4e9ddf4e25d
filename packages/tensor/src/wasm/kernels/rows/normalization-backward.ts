/**
 * Gradients of layer norm and RMS norm.
 *
 * With n = (x − mean) · rstd and h = g · weight, dx = rstd (h − mean(h) − n · mean(h n)), where RMS
 * norm lacks the first mean. The gradients of weight and bias, Σ g n and Σ g over the rows, are
 * taken over blocks of rows whose number depends on the shape only, and then over the blocks.
 */

import type { Operand } from "../../../plan/schedule.js";
import {
  f32x4,
  i32,
  type I32,
  kernelSignature,
  type Local,
  v128,
  type V128,
} from "../../assembler/index.js";
import type { KernelCode, Launch } from "../../launch.js";
import type { MathContext } from "../../math/index.js";
import type { LoweringContext, NativeKernel } from "../../native.js";
import {
  addressOf,
  addressOfBuffer,
  argumentOffset,
  argumentWords,
  floatArgument,
  integerArgument,
  readArguments,
} from "../arguments.js";
import { laneLaunch, type LaneProgram } from "./lanes.js";
import { formKey, formOf, type NormForm, rowsOf } from "./normalization.js";
import { rowSweep, total } from "./sweep.js";

const names = [
  "x",
  "g",
  "dx",
  "weight",
  "mean",
  "rstd",
  "dWeight", // a row for each block
  "dBias",
  "rows",
  "blockRows",
  "size",
  "share", // 1 / size
] as const;

type Row = Readonly<
  Record<"x" | "g" | "dx" | "weight" | "mean" | "rstd" | "dWeight" | "dBias" | "size", I32>
>;

const parts = 2;

function emitRow(c: MathContext, form: NormForm, row: Row, share: V128): void {
  const { f, module } = c;
  const sweep = rowSweep(f, row.size, parts);
  const rstd = f.let(v128.load32Splat(row.rstd));
  const mean = form.centred ? f.let(v128.load32Splat(row.mean)) : null;
  const normalise = (x: V128): V128 =>
    f32x4.multiply(mean === null ? x : f32x4.subtract(x, mean), rstd);
  const accumulators = (): Local<V128>[] => Array.from({ length: parts }, () => f.let(v128.zero()));
  const sums = accumulators();
  const products = accumulators();
  sweep.over([row.x, row.g, row.weight, row.dWeight, row.dBias], (lanes, part) => {
    const normal = f.let(normalise(lanes.load(0)));
    const g = f.let(lanes.load(1));
    if (form.hasWeight) lanes.store(3, module.madd(g, normal, lanes.load(3)));
    if (form.hasBias) lanes.store(4, f32x4.add(lanes.load(4), g));
    const h = f.let(lanes.keep(form.hasWeight ? f32x4.multiply(g, lanes.load(2)) : g));
    if (form.centred) f.set(sums[part]!, f32x4.add(sums[part]!, h));
    f.set(products[part]!, module.madd(h, lanes.keep(normal), products[part]!));
  });
  const meanOf = (values: readonly V128[]): V128 => {
    const [sum] = sweep.join(values, (a, b) => f32x4.add(a, b));
    return f.let(f32x4.multiply(sum!, share));
  };
  const level = form.centred ? meanOf(sums) : null;
  const along = meanOf(products);
  sweep.over([row.x, row.g, row.weight, row.dx], (lanes) => {
    const h = form.hasWeight ? f32x4.multiply(lanes.load(1), lanes.load(2)) : lanes.load(1);
    const centred = level === null ? h : f32x4.subtract(h, level);
    const rest = module.nmadd(normalise(lanes.load(0)), along, centred);
    lanes.store(3, f32x4.multiply(rest, rstd));
  });
}

function backwardCode(form: NormForm): KernelCode {
  const key = `normBackward/${formKey(form)}`;
  return {
    key,
    emit: (module) => {
      module.function(key, kernelSignature, (f, address, begin, end) => {
        const a = readArguments(f, address, names);
        const share = f.let(v128.load32Splat(address, argumentOffset(names, "share")));
        const bytes = f.let(a.size.shiftLeft(2));
        const [block, index] = [f.local(i32), f.local(i32)];
        f.for(block, begin, end, 1, () => {
          const dWeight = f.let(a.dWeight.add(block.multiply(bytes)));
          const dBias = f.let(a.dBias.add(block.multiply(bytes)));
          if (form.hasWeight) f.memoryFill(dWeight, 0, bytes);
          if (form.hasBias) f.memoryFill(dBias, 0, bytes);
          const first = f.let(block.multiply(a.blockRows));
          const last = f.let(first.add(a.blockRows));
          f.for(index, first, f.let(last.minimum(a.rows)), 1, () => {
            const offset = f.let(index.multiply(bytes));
            const own = f.let(index.shiftLeft(2));
            const row = {
              ...a,
              x: f.let(a.x.add(offset)),
              g: f.let(a.g.add(offset)),
              dx: f.let(a.dx.add(offset)),
              mean: a.mean.add(own),
              rstd: a.rstd.add(own),
              dWeight,
              dBias,
            };
            emitRow({ module, f }, form, row, share);
          });
        });
      });
    },
  };
}

const sumProgram: LaneProgram = {
  name: "sum",
  parts: 4,
  emit: (_, sweep, [x], [y]) => {
    sweep.storeResults(
      y!,
      total(sweep, [x!], (lanes) => lanes.load(0)),
    );
  },
};

// Blocks are large enough to be worth a thread's while, and few enough to be summed quickly.
function blockRowsFor(rows: number, size: number): number {
  return Math.max(Math.ceil(rows / 64), Math.ceil((1 << 14) / size));
}

function normBackwardKernel(op: string, centred: boolean): NativeKernel {
  return {
    op,
    supports: (node) => !node.inputs[0]!.shape.includes(0),
    lower: ({ node, inputs, outputs }, context) => {
      const form = formOf(centred, node.attributes);
      const { rows, size } = rowsOf(node);
      const [x, ...others] = inputs as [Operand, ...Operand[]];
      const weight = form.hasWeight ? others.shift()! : null;
      const mean = centred ? others.shift()! : null;
      const [rstd, g] = others as [Operand, Operand];
      const dx = outputs[0] ?? context.workspace(rows * size * 4);
      const blockRows = blockRowsFor(rows, size);
      const blocks = Math.ceil(rows / blockRows);
      const dWeight = form.hasWeight ? partialSums(outputs[1]!, blocks, size, context) : null;
      const biasOutput = outputs[form.hasWeight ? 2 : 1] ?? null;
      const dBias = form.hasBias ? partialSums(biasOutput, blocks, size, context) : null;
      const nothing = integerArgument(0);
      const sums = [dWeight, dBias].filter((sum) => sum !== null);
      return [
        {
          name: op,
          code: backwardCode(form),
          arguments: argumentWords(names, {
            x: addressOf(x),
            g: addressOf(g),
            dx: addressOfBuffer(dx),
            weight: weight === null ? nothing : addressOf(weight),
            mean: mean === null ? nothing : addressOf(mean),
            rstd: addressOf(rstd),
            dWeight: dWeight === null ? nothing : addressOfBuffer(dWeight.buffer),
            dBias: dBias === null ? nothing : addressOfBuffer(dBias.buffer),
            rows,
            blockRows,
            size,
            share: floatArgument(1 / size),
          }),
          items: blocks,
          grain: 1,
          scratchBytes: 0,
          reads: inputs.map((input) => input.buffer),
          writes: [dx, ...sums.map((sum) => sum.buffer)],
          work: rows * size * 16,
        },
        ...sums.flatMap((sum) => sum.launches),
      ];
    },
  };
}

/** Where each block puts its sums, and the launch that sums over the blocks. */
function partialSums(
  target: number | null,
  blocks: number,
  size: number,
  context: LoweringContext,
): { readonly buffer: number; readonly launches: readonly Launch[] } {
  if (blocks === 1 && target !== null) return { buffer: target, launches: [] };
  const buffer = context.workspace(blocks * size * 4);
  if (target === null) return { buffer, launches: [] };
  const launch = laneLaunch({
    name: "sum over rows",
    program: sumProgram,
    lanes: { outer: 1, size: blocks, inner: size },
    reads: [{ buffer, offset: 0 }],
    writes: [],
    results: [target],
    work: 1,
  });
  return { buffer, launches: [launch] };
}

/** The kernel of `layerNormBackward`. */
export const layerNormBackwardKernel: NativeKernel = normBackwardKernel("layerNormBackward", true);

/** The kernel of `rmsNormBackward`. */
export const rmsNormBackwardKernel: NativeKernel = normBackwardKernel("rmsNormBackward", false);
