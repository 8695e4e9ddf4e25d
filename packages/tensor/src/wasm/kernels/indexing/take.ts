/** Rows picked by index, as an embedding does. */

import type { Operand } from "../../../plan/schedule.js";
import { bytesPerElement } from "../../../tensor/dtype.js";
import { sizeOf } from "../../../tensor/shape.js";
import { i32, type I32, kernelSignature } from "../../assembler/index.js";
import type { KernelCode } from "../../launch.js";
import type { NativeKernel } from "../../native.js";
import {
  addressOf,
  addressOfBuffer,
  argumentWords,
  endOfArguments,
  readArguments,
} from "../arguments.js";
import { copyBlock } from "../move/block.js";
import { fillWithZeros } from "../move/fill.js";
import { collapseLoops, hasDenseBlocks, iterations, loopWords, offsetsAt } from "../strided.js";
import { readIndex } from "./clamp.js";

const names = [
  "target",
  "x",
  "index",
  "count", // indices
  "last", // largest index
  "bytes", // of a block
  "pieceBytes", // of a piece of a block
  "pieces", // per block
  "groupSize", // indices in a group
  "groups", // of indices
  "stride", // from index to index in x
] as const;

// About what a thread copies in some ten microseconds.
const itemBytes = 1 << 16;

const key = "indexing/take";

// An item is a piece of the blocks of a group of indices.
const code: KernelCode = {
  key,
  emit: (module) => {
    module.function(key, kernelSignature, (f, address, begin, end) => {
      const a = readArguments(f, address, names);
      const [item, place] = [f.local(i32), f.local(i32)];
      f.for(item, begin, end, 1, () => {
        const rest = f.let(item.divideUnsigned(a.pieces));
        const pieceOffset = f.let(item.subtract(rest.multiply(a.pieces)).multiply(a.pieceBytes));
        const outer = f.let(rest.divideUnsigned(a.groups));
        const first = f.let(rest.subtract(outer.multiply(a.groups)).multiply(a.groupSize));
        const [fromOuter] = offsetsAt(f, endOfArguments(names, address), outer, 1);
        const bytes = f.let(a.bytes.subtract(pieceOffset));
        f.set<I32>(bytes, bytes.lessUnsigned(a.pieceBytes).select<I32>(bytes, a.pieceBytes));
        const source = f.let(a.x.add(fromOuter!).add(pieceOffset));
        const row = f.let(outer.multiply(a.count).add(first));
        const to = f.let(a.target.add(row.multiply(a.bytes)).add(pieceOffset));
        const left = f.let(a.count.subtract(first));
        f.set<I32>(left, left.minimum(a.groupSize));
        const at = f.let(a.index.add(first.shiftLeft(2)));
        const eachIndex = (copy: (from: I32) => void): void => {
          f.while(left, () => {
            readIndex(f, place, at, a.last);
            copy(source.add(place.multiply(a.stride)));
            f.increment(to, a.bytes);
            f.increment(at, 4);
            f.increment(left, -1);
          });
        };
        f.if(
          bytes.equal(4),
          () => {
            eachIndex((from) => {
              f.storeI32(to, i32.load(from));
            });
          },
          () => {
            eachIndex((from) => {
              copyBlock(module, f, to, from, bytes);
            });
          },
        );
      });
    });
  },
};

/** The kernel of `take`. */
export const takeKernel: NativeKernel = {
  op: "take",
  acceptsView: (node, input, view) =>
    input === 0 && hasDenseBlocks(view, node.attributes.axis as number),
  lower: ({ node, inputs, outputs: [target] }) => {
    const axis = node.attributes.axis as number;
    const [x, index] = inputs as [Operand, Operand];
    const elementBytes = bytesPerElement(x.dtype);
    const size = sizeOf(node.outputs[0]!.shape) * elementBytes;
    // There is nothing to take: any number will do.
    if (x.shape[axis] === 0) return fillWithZeros("take", target!, size);
    const count = sizeOf(index.shape);
    const bytes = sizeOf(x.shape.slice(axis + 1)) * elementBytes;
    const pieces = Math.ceil(bytes / itemBytes);
    const pieceBytes = pieces === 1 ? bytes : itemBytes;
    const groupSize = Math.max(1, Math.min(count, Math.floor(itemBytes / Math.max(bytes, 32))));
    const groups = Math.ceil(count / groupSize);
    const outer = collapseLoops({
      sizes: x.shape.slice(0, axis),
      strides: [x.strides.slice(0, axis).map((stride) => stride * elementBytes)],
    });
    const items = iterations(outer) * groups * pieces;
    return [
      {
        name: "take",
        code,
        arguments: [
          ...argumentWords(names, {
            target: addressOfBuffer(target!),
            x: addressOf(x),
            index: addressOf(index),
            count,
            last: x.shape[axis]! - 1,
            bytes,
            pieceBytes,
            pieces,
            groupSize,
            groups,
            stride: x.strides[axis]! * elementBytes,
          }),
          ...loopWords(outer),
        ],
        items,
        grain: Math.max(1, Math.floor((itemBytes * items) / Math.max(size, 1))),
        scratchBytes: 0,
        reads: [x.buffer, index.buffer],
        writes: [target!],
        work: size / 4,
      },
    ];
  },
};
