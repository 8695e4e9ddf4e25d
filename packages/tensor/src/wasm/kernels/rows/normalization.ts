/** Layer norm and RMS norm: rows brought to mean 0 and variance 1, or to mean square 1. */

import type { Attributes, Node } from "../../../graph/node.js";
import { sizeOf } from "../../../tensor/shape.js";
import {
  f32x4,
  i32,
  type I32,
  kernelSignature,
  type ModuleBuilder,
  v128,
  type V128,
} from "../../assembler/index.js";
import type { KernelCode } from "../../launch.js";
import { float, type MathContext } from "../../math/index.js";
import type { NativeKernel } from "../../native.js";
import {
  addressOf,
  addressOfBuffer,
  argumentOffset,
  argumentWords,
  floatArgument,
  integerArgument,
  readArguments,
} from "../arguments.js";
import { rowSweep, total } from "./sweep.js";

/** Which of the two, and what is learned; each combination is a code of its own. */
export interface NormForm {
  /** Layer norm subtracts the mean, RMS norm does not. */
  readonly centred: boolean;
  readonly hasWeight: boolean;
  readonly hasBias: boolean;
}

/** A text for the form. */
export function formKey({ centred, hasWeight, hasBias }: NormForm): string {
  return `${centred ? "layer" : "rms"}${hasWeight ? "/weight" : ""}${hasBias ? "/bias" : ""}`;
}

/** The form of a node with `hasWeight` and `hasBias` attributes. */
export function formOf(centred: boolean, attributes: Attributes): NormForm {
  return {
    centred,
    hasWeight: attributes.hasWeight === true,
    hasBias: attributes.hasBias === true,
  };
}

/** The rows of a node's first input, normalised over its last `axes` axes. */
export function rowsOf(node: Node): { readonly rows: number; readonly size: number } {
  const { shape } = node.inputs[0]!;
  const split = shape.length - (node.attributes.axes as number);
  return { rows: sizeOf(shape.slice(0, split)), size: sizeOf(shape.slice(split)) };
}

const names = [
  "x",
  "y",
  "weight",
  "bias",
  "mean",
  "rstd",
  "size",
  "share", // 1 / size
  "eps",
] as const;

function emitRow(
  c: MathContext,
  form: NormForm,
  row: Readonly<Record<"x" | "y" | "weight" | "bias" | "mean" | "rstd" | "size", I32>>,
  share: V128,
  eps: V128,
): void {
  const { f, module } = c;
  const sweep = rowSweep(f, row.size, 4);
  let mean: V128 | null = null;
  if (form.centred) {
    const [sum] = total(sweep, [row.x], (lanes) => lanes.load(0));
    mean = f.let(f32x4.multiply(sum!, share));
    f.storeLane(32, row.mean, mean, 0);
  }
  const centre = (x: V128): V128 => (mean === null ? x : f32x4.subtract(x, mean));
  const [power] = total(sweep, [row.x], (lanes) => {
    const centred = f.let(centre(lanes.load(0)));
    return f32x4.multiply(centred, centred);
  });
  const variance = module.madd(power!, share, eps);
  const rstd = f.let(f32x4.divide(float(c, 1), f32x4.sqrt(variance)));
  f.storeLane(32, row.rstd, rstd, 0);
  sweep.over([row.x, row.y, row.weight, row.bias], (lanes) => {
    let y = f32x4.multiply(centre(lanes.load(0)), rstd);
    if (form.hasWeight && form.hasBias) y = module.madd(y, lanes.load(2), lanes.load(3));
    else if (form.hasWeight) y = f32x4.multiply(y, lanes.load(2));
    else if (form.hasBias) y = f32x4.add(y, lanes.load(3));
    lanes.store(1, y);
  });
}

function normCode(form: NormForm): KernelCode {
  const key = `norm/${formKey(form)}`;
  return {
    key,
    emit: (module: ModuleBuilder) => {
      module.function(key, kernelSignature, (f, address, begin, end) => {
        const a = readArguments(f, address, names);
        const share = f.let(v128.load32Splat(address, argumentOffset(names, "share")));
        const eps = f.let(v128.load32Splat(address, argumentOffset(names, "eps")));
        const item = f.local(i32);
        f.for(item, begin, end, 1, () => {
          const offset = f.let(item.multiply(a.size).shiftLeft(2));
          const own = f.let(item.shiftLeft(2));
          const row = {
            ...a,
            x: f.let(a.x.add(offset)),
            y: f.let(a.y.add(offset)),
            mean: a.mean.add(own),
            rstd: a.rstd.add(own),
          };
          emitRow({ module, f }, form, row, share, eps);
        });
      });
    },
  };
}

function normKernel(op: string, centred: boolean): NativeKernel {
  return {
    op,
    supports: (node) => !node.inputs[0]!.shape.includes(0),
    lower: ({ node, inputs, outputs }, context) => {
      const form = formOf(centred, node.attributes);
      const { rows, size } = rowsOf(node);
      const [x, ...affine] = inputs;
      const weight = form.hasWeight ? affine[0]! : null;
      const bias = form.hasBias ? affine[form.hasWeight ? 1 : 0]! : null;
      const buffer = (output: number): number => outputs[output] ?? context.workspace(rows * 4);
      const y = outputs[0] ?? context.workspace(rows * size * 4);
      const mean = centred ? buffer(1) : null;
      const rstd = buffer(centred ? 2 : 1);
      const nothing = integerArgument(0);
      return [
        {
          name: op,
          code: normCode(form),
          arguments: argumentWords(names, {
            x: addressOf(x!),
            y: addressOfBuffer(y),
            weight: weight === null ? nothing : addressOf(weight),
            bias: bias === null ? nothing : addressOf(bias),
            mean: mean === null ? nothing : addressOfBuffer(mean),
            rstd: addressOfBuffer(rstd),
            size,
            share: floatArgument(1 / size),
            eps: floatArgument(node.attributes.eps as number),
          }),
          items: rows,
          grain: Math.max(1, Math.floor((1 << 14) / size)),
          scratchBytes: 0,
          reads: inputs.map((input) => input.buffer),
          writes: mean === null ? [y, rstd] : [y, mean, rstd],
          work: rows * size * 8,
        },
      ];
    },
  };
}

/** The kernel of `layerNorm`. */
export const layerNormKernel: NativeKernel = normKernel("layerNorm", true);

/** The kernel of `rmsNorm`. */
export const rmsNormKernel: NativeKernel = normKernel("rmsNorm", false);
