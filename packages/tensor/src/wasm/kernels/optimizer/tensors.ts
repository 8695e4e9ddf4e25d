/**
 * One walk over all tensors of a parameter group: they are taken as if they lay one behind the
 * other, and cut into equal pieces, so that a few large and many small ones are shared out evenly.
 */

import type { Attributes, Node } from "../../../graph/node.js";
import { sizeOf } from "../../../tensor/shape.js";
import { i32, type I32, v128, type V128 } from "../../assembler/index.js";
import type { KernelCode } from "../../launch.js";
import type { MathContext } from "../../math/index.js";
import type { NativeKernel } from "../../native.js";
import { addressOf, addressOfBuffer, launchOf, type Word, WordReader } from "../arguments.js";
import { kernelCode, smaller } from "../code.js";
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

const pieceElements = 1 << 13;

// Words: the numbers and the total; then for each tensor where it starts, its inputs and its outputs;
// then the total again. An item is a piece.
function codeOf(definition: TensorUpdate, attributes: Attributes): KernelCode {
  const { op, flags, numbers, states } = definition;
  const key = ["optimizer", op, ...flags.filter((flag) => attributes[flag] === true)].join("/");
  const [inputs, outputs] = [states + 2, states + 1];
  const entryBytes = 4 * (1 + inputs + outputs);
  return kernelCode(key, (c, words) => {
    const { f } = c;
    const read = new WordReader(f, words);
    const [address, total] = read.words(2);
    const values = Array.from({ length: numbers }, (_, i) =>
      f.let<V128>(v128.load32Splat(address, 4 * i)),
    );
    const entry = f.let(read.address);
    const next = f.let(i32.load(entry, entryBytes));
    return (item) => {
      const at = f.let(item.multiply(pieceElements));
      const stop = smaller(f, at.add(pieceElements), total);
      f.while(at.less(stop), () => {
        f.while(next.lessEqual(at), () => {
          f.increment(entry, entryBytes);
          f.set<I32>(next, i32.load(entry, entryBytes));
        });
        const end = smaller(f, next, stop);
        const offset = f.let(at.subtract(i32.load(entry)).shiftLeft(2));
        const pointers = Array.from({ length: inputs + outputs }, (_, i): I32 =>
          f.let(i32.load(entry, 4 + 4 * i).add(offset)),
        );
        rowSweep(f, end.subtract(at), 2).over(pointers, (lanes) => {
          const elements = Array.from({ length: inputs }, (_, i) => f.let(lanes.load(i)));
          const results = definition.update(c, values, elements, attributes);
          results.forEach((result, i) => {
            lanes.store(inputs + i, result);
          });
        });
        f.set<I32>(at, end);
      });
    };
  });
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
      const table: Word[] = [];
      let total = 0;
      for (let i = 0; i * inputCount < tensors.length; i++) {
        const own = tensors.slice(i * inputCount, (i + 1) * inputCount);
        const size = sizeOf(own[0]!.shape);
        table.push(total, ...own.map(addressOf));
        for (let k = 0; k < outputCount; k++) {
          const result = outputs[i * outputCount + k] ?? context.workspace(size * 4);
          table.push(addressOfBuffer(result));
        }
        total += size;
      }
      const words = [addressOf(numbers!), total, ...table, total];
      const items = Math.ceil(total / pieceElements);
      return [launchOf(op, codeOf(definition, node.attributes), words, items, total * work)];
    },
  };
}
