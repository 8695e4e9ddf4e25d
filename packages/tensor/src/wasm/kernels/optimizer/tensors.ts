/**
 * One walk over all tensors of a parameter group: they are taken as if they lay one behind the
 * other, and cut into equal pieces, so that a few large and many small ones are shared out evenly.
 */

import type { Attributes, Node } from "../../../graph/node.js";
import { sizeOf } from "../../../tensor/shape.js";
import { i32, type I32, kernelSignature, v128, type V128 } from "../../assembler/index.js";
import type { KernelCode, LaunchArgument } from "../../launch.js";
import type { MathContext } from "../../math/index.js";
import type { NativeKernel } from "../../native.js";
import {
  addressOf,
  addressOfBuffer,
  argumentWords,
  endOfArguments,
  integerArgument,
  readArguments,
} from "../arguments.js";
import { rowSweep } from "../rows/sweep.js";

/** What is done to the elements of one parameter. */
export interface TensorUpdate {
  /** The operation: numbers first, then for each parameter itself, its gradient and its states. */
  readonly op: string;
  /** How many numbers the first input holds. */
  readonly numbers: number;
  readonly states: number;
  /** Attributes that change the code. */
  readonly flags: readonly string[];
  /** Floating-point operations an element. */
  readonly work: number;
  /** From numbers and elements (parameter, gradient, states) to the new parameter and states. */
  readonly update: (
    c: MathContext,
    numbers: readonly V128[],
    elements: readonly V128[],
    attributes: Attributes,
  ) => readonly V128[];
}

const names = ["numbers", "total"] as const;

const pieceElements = 1 << 13;

// Behind the words: for each tensor where it starts, its inputs and its outputs; then the total.
function codeOf(definition: TensorUpdate, attributes: Attributes): KernelCode {
  const { op, flags, numbers, states } = definition;
  const key = ["optimizer", op, ...flags.filter((flag) => attributes[flag] === true)].join("/");
  const [inputs, outputs] = [states + 2, states + 1];
  const entryBytes = 4 * (1 + inputs + outputs);
  return {
    key,
    emit: (module) => {
      module.function(key, kernelSignature, (f, address, begin, end) => {
        const c = { module, f };
        const a = readArguments(f, address, names);
        const values = Array.from({ length: numbers }, (_, i) =>
          f.let(v128.load32Splat(a.numbers, 4 * i)),
        );
        const at = f.let(begin.multiply(pieceElements));
        const stop = f.let(end.multiply(pieceElements));
        f.set(stop, stop.minimum(a.total));
        const entry = f.let(endOfArguments(names, address));
        f.while(i32.load(entry, entryBytes).lessEqual(at), () => {
          f.increment(entry, entryBytes);
        });
        f.while(at.less(stop), () => {
          const next = f.let(i32.load(entry, entryBytes));
          f.set(next, next.minimum(stop));
          const offset = f.let(at.subtract(i32.load(entry)).shiftLeft(2));
          const pointers = Array.from({ length: inputs + outputs }, (_, i): I32 =>
            f.let(i32.load(entry, 4 + 4 * i).add(offset)),
          );
          rowSweep(f, next.subtract(at), 2).over(pointers, (lanes) => {
            const elements = Array.from({ length: inputs }, (_, i) => f.let(lanes.load(i)));
            const results = definition.update(c, values, elements, attributes);
            results.forEach((result, i) => {
              lanes.store(inputs + i, result);
            });
          });
          f.set(at, next);
          f.increment(entry, entryBytes);
        });
      });
    },
  };
}

const isFloat32 = (node: Node): boolean =>
  node.inputs.every((input) => input.dtype === "float32") && node.inputs.length > 1;

/** The kernel of an update. */
export function updateKernel(definition: TensorUpdate): NativeKernel {
  const { op, states, work } = definition;
  const [inputCount, outputCount] = [states + 2, states + 1];
  return {
    op,
    supports: isFloat32,
    lower: ({ node, inputs, outputs }, context) => {
      const [numbers, ...tensors] = inputs;
      const table: LaunchArgument[] = [];
      const writes: number[] = [];
      let total = 0;
      for (let i = 0; i * inputCount < tensors.length; i++) {
        const own = tensors.slice(i * inputCount, (i + 1) * inputCount);
        const size = sizeOf(own[0]!.shape);
        const results = Array.from(
          { length: outputCount },
          (_, k) => outputs[i * outputCount + k] ?? context.workspace(size * 4),
        );
        writes.push(...results);
        table.push(
          integerArgument(total),
          ...own.map(addressOf),
          ...results.map((buffer) => addressOfBuffer(buffer)),
        );
        total += size;
      }
      return [
        {
          name: op,
          code: codeOf(definition, node.attributes),
          arguments: [
            ...argumentWords(names, { numbers: addressOf(numbers!), total }),
            ...table,
            integerArgument(total),
          ],
          items: Math.ceil(total / pieceElements),
          grain: 1,
          scratchBytes: 0,
          reads: inputs.map((input) => input.buffer),
          writes,
          work: total * work,
        },
      ];
    },
  };
}
