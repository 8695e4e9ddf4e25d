/**
 * Cross entropy of rows of logits with classes, and its gradient: each row is read while it is in
 * cache, and neither probabilities nor one-hot targets are ever written.
 */

import type { Attributes, Node } from "../../../graph/node.js";
import type { Operand } from "../../../plan/schedule.js";
import { sizeOf } from "../../../tensor/shape.js";
import {
  f32,
  f32x4,
  type F32,
  type FunctionBuilder,
  i32,
  type I32,
  kernelSignature,
  type Local,
  v128,
  type V128,
} from "../../assembler/index.js";
import type { KernelCode, Launch, LaunchArgument } from "../../launch.js";
import { expOfNegative, type MathContext } from "../../math/index.js";
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
import { logSumExp } from "./softmax.js";
import { rowSweep, total } from "./sweep.js";

// What changes the code.
interface Form {
  readonly hasWeight: boolean;
  readonly smooths: boolean;
}

function formOf(attributes: Attributes): Form {
  return {
    hasWeight: attributes.hasWeight === true,
    smooths: (attributes.labelSmoothing as number) > 0,
  };
}

function codeFor(name: string, form: Form, emitRow: EmitRow): KernelCode {
  const { hasWeight, smooths } = form;
  const key = `${name}${hasWeight ? "/weight" : ""}${smooths ? "/smoothing" : ""}`;
  return {
    key,
    emit: (module) => {
      module.function(key, kernelSignature, (f, address, begin, end) => {
        const a = readArguments(f, address, names);
        const item = f.local(i32);
        const float = (name: "hit" | "each"): Local<F32> =>
          f.let(f32.load(address, argumentOffset(names, name)));
        const row = emitRow({ module, f }, form, a, { hit: float("hit"), each: float("each") });
        f.for(item, begin, end, 1, () => {
          row(item);
        });
      });
    },
  };
}

const names = [
  "logits",
  "target",
  "weight",
  "loss", // the result, or its cotangent
  "lse",
  "dLogits",
  "size",
  "ignored",
  "hit", // 1 - label smoothing
  "each", // label smoothing / size
] as const;

type Words = Readonly<Record<(typeof names)[number], Local<I32>>>;
interface Factors {
  readonly hit: Local<F32>;
  readonly each: Local<F32>;
}

/** Writes what comes before the rows; gives what writes the code of one row. */
type EmitRow = (
  c: MathContext,
  form: Form,
  words: Words,
  factors: Factors,
) => (item: Local<I32>) => void;

/** The class of a row, whether it is one, and the byte offset of its element. */
function targetOf(
  f: FunctionBuilder,
  words: Words,
  item: I32,
): { readonly target: Local<I32>; readonly isClass: Local<I32>; readonly offset: Local<I32> } {
  const target = f.let(i32.load(words.target.add(item.shiftLeft(2))));
  const isClass = f.let(target.lessUnsigned(words.size));
  const offset = f.let(isClass.select<I32>(target.shiftLeft(2), i32.const(0)));
  return { target, isClass, offset };
}

const zero = (): F32 => f32.const(0);

const forward: EmitRow = (c, { hasWeight, smooths }, words, { hit, each }) => {
  const { f } = c;
  return (item) => {
    const { target, isClass, offset } = targetOf(f, words, item);
    const x = f.let(words.logits.add(item.multiply(words.size).shiftLeft(2)));
    const sweep = rowSweep(f, words.size, 2);
    const lse = logSumExp(c, sweep, x)[0]!;
    f.storeLane(32, words.lse.add(item.shiftLeft(2)), lse, 0);
    const chosen = isClass.select(f32.load(x.add(offset)), zero());
    const loss = f.let(f32x4.extractLane(lse, 0).subtract(chosen));
    if (hasWeight) {
      const own = isClass.select(f32.load(words.weight.add(offset)), zero());
      f.set(loss, loss.multiply(own));
    }
    if (smooths) {
      const [sum] = total(sweep, [x, words.weight], (lanes) => {
        const surprise = f32x4.subtract(lse, lanes.load(0));
        return hasWeight ? f32x4.multiply(surprise, lanes.load(1)) : surprise;
      });
      const others = f32x4.extractLane(sum!, 0).multiply(each);
      f.set(loss, loss.multiply(hit).add(others));
    }
    const counts = target.notEqual(words.ignored);
    f.storeF32(words.loss.add(item.shiftLeft(2)), counts.select<F32>(loss, zero()));
  };
};

const backward: EmitRow = (c, { hasWeight, smooths }, words, { hit, each }) => {
  const { f, module } = c;
  const sweep = rowSweep(f, words.size, 2);
  const weights =
    hasWeight && smooths
      ? f.let(f32x4.extractLane(total(sweep, [words.weight], (lanes) => lanes.load(0))[0]!, 0))
      : null;
  return (item) => {
    const { target, isClass, offset } = targetOf(f, words, item);
    const bytes = f.let(words.size.shiftLeft(2));
    const x = f.let(words.logits.add(item.multiply(bytes)));
    const dx = f.let(words.dLogits.add(item.multiply(bytes)));
    f.if(
      target.equal(words.ignored),
      () => {
        f.memoryFill(dx, 0, bytes);
      },
      () => {
        const own = item.shiftLeft(2);
        const lse = f.let(v128.load32Splat(words.lse.add(own)));
        const g = f.let(f32.load(words.loss.add(own)));
        // dx = g (all · p − at the target `certain` − weight · each)
        const certain = f.let(hit);
        if (hasWeight) {
          const weight = isClass.select(f32.load(words.weight.add(offset)), zero());
          f.set(certain, certain.multiply(weight));
        }
        let all: F32 = hasWeight ? certain : f32.const(1);
        if (weights !== null) all = all.add(weights.multiply(each));
        const factor = f.let(f32x4.splat(all.multiply(g)));
        const share = smooths ? f.let(f32x4.splat(each.multiply(g))) : null;
        sweep.over([x, words.weight, dx], (lanes) => {
          const p = expOfNegative(c, f32x4.subtract(lanes.load(0), lse));
          lanes.store(
            2,
            withoutShare(f32x4.multiply(p, factor), share, () => lanes.load(1)),
          );
        });
        f.if(isClass, () => {
          const at = f.let(dx.add(offset));
          f.storeF32(at, f32.load(at).subtract(certain.multiply(g)));
        });
      },
    );
  };

  function withoutShare(value: V128, share: V128 | null, weight: () => V128): V128 {
    if (share === null) return value;
    return hasWeight ? module.nmadd(weight(), share, value) : f32x4.subtract(value, share);
  }
};

interface Parts {
  readonly logits: Operand;
  readonly target: Operand;
  readonly weight: Operand | null;
  readonly loss: LaunchArgument;
  readonly lse: LaunchArgument;
  readonly dLogits: LaunchArgument;
}

function launch(
  node: Node,
  code: KernelCode,
  parts: Parts,
  reads: readonly number[],
  writes: readonly number[],
): Launch {
  const { shape } = parts.logits;
  const size = shape.at(-1)!;
  const rows = sizeOf(shape) / size;
  const smoothing = node.attributes.labelSmoothing as number;
  return {
    name: node.op.name,
    code,
    arguments: argumentWords(names, {
      logits: addressOf(parts.logits),
      target: addressOf(parts.target),
      weight: parts.weight === null ? 0 : addressOf(parts.weight),
      loss: parts.loss,
      lse: parts.lse,
      dLogits: parts.dLogits,
      size,
      ignored: node.attributes.ignoreIndex as number,
      hit: floatArgument(1 - smoothing),
      each: floatArgument(smoothing / size),
    }),
    items: rows,
    grain: Math.max(1, Math.floor((1 << 13) / size)),
    scratchBytes: 0,
    reads,
    writes,
    work: rows * size * 20,
  };
}

/** The kernel of `crossEntropy`. */
export const crossEntropyKernel: NativeKernel = {
  op: "crossEntropy",
  lower: ({ node, inputs, outputs }, context) => {
    const [logits, target, weight = null] = inputs as [Operand, Operand, Operand?];
    const rows = sizeOf(target.shape) * 4;
    const [loss, lse] = [
      outputs[0] ?? context.workspace(rows),
      outputs[1] ?? context.workspace(rows),
    ];
    const parts = {
      logits,
      target,
      weight,
      loss: addressOfBuffer(loss),
      lse: addressOfBuffer(lse),
      dLogits: integerArgument(0),
    };
    const code = codeFor("crossEntropy", formOf(node.attributes), forward);
    return [
      launch(
        node,
        code,
        parts,
        inputs.map((input) => input.buffer),
        [loss, lse],
      ),
    ];
  },
};

/** The kernel of `crossEntropyBackward`. */
export const crossEntropyBackwardKernel: NativeKernel = {
  op: "crossEntropyBackward",
  lower: ({ node, inputs, outputs }) => {
    const [logits, target] = inputs as [Operand, Operand];
    const [lse, g] = inputs.slice(-2) as [Operand, Operand];
    const parts = {
      logits,
      target,
      weight: node.attributes.hasWeight === true ? inputs[2]! : null,
      loss: addressOf(g),
      lse: addressOf(lse),
      dLogits: addressOfBuffer(outputs[0]!),
    };
    const code = codeFor("crossEntropyBackward", formOf(node.attributes), backward);
    return [
      launch(
        node,
        code,
        parts,
        inputs.map((input) => input.buffer),
        [outputs[0]!],
      ),
    ];
  },
};
