/** Along an axis, the element that each index names. */

import type { Operand } from "../../../plan/schedule.js";
import { bytesPerElement } from "../../../tensor/dtype.js";
import { sizeOf } from "../../../tensor/shape.js";
import { i32, kernelSignature } from "../../assembler/index.js";
import type { KernelCode } from "../../launch.js";
import type { NativeKernel } from "../../native.js";
import {
  addressOf,
  addressOfBuffer,
  argumentWords,
  endOfArguments,
  readArguments,
} from "../arguments.js";
import { copyElement } from "../move/block.js";
import { fillWithZeros } from "../move/fill.js";
import { collapseLoops, iterations, loopWords, offsetsAt, splitInnermost } from "../strided.js";
import { readIndex } from "./clamp.js";

const names = [
  "target",
  "x",
  "index",
  "last", // largest index
  "axisStride", // from index to index in x
  "size", // elements of the innermost loop
  "groupSize", // elements in a group of it
  "groups",
  "xStride", // from element to element of the innermost loop
  "indexStride",
] as const;

const itemElements = 1 << 13;

function gatherCode(bytes: 1 | 2 | 4): KernelCode {
  const key = `indexing/gather/${bytes}`;
  return {
    key,
    emit: (module) => {
      module.function(key, kernelSignature, (f, address, begin, end) => {
        const a = readArguments(f, address, names);
        const [item, place] = [f.local(i32), f.local(i32)];
        f.for(item, begin, end, 1, () => {
          const outer = f.let(item.divideUnsigned(a.groups));
          const first = f.let(item.subtract(outer.multiply(a.groups)).multiply(a.groupSize));
          const [xOuter, indexOuter] = offsetsAt(f, endOfArguments(names, address), outer, 2);
          const x = f.let(a.x.add(xOuter!).add(first.multiply(a.xStride)));
          const at = f.let(a.index.add(indexOuter!).add(first.multiply(a.indexStride)));
          const to = f.let(a.target.add(outer.multiply(a.size).add(first).multiply(bytes)));
          const left = f.let(a.size.subtract(first));
          f.set(left, left.minimum(a.groupSize));
          f.while(left, () => {
            readIndex(f, place, at, a.last);
            copyElement(f, to, x.add(place.multiply(a.axisStride)), bytes);
            f.increment(x, a.xStride);
            f.increment(at, a.indexStride);
            f.increment(to, bytes);
            f.increment(left, -1);
          });
        });
      });
    },
  };
}

/** The kernel of `gather`. */
export const gatherKernel: NativeKernel = {
  op: "gather",
  acceptsView: () => true,
  lower: ({ node, inputs, outputs: [target] }) => {
    const axis = node.attributes.axis as number;
    const [x, index] = inputs as [Operand, Operand];
    const bytes = bytesPerElement(x.dtype) as 1 | 2 | 4;
    const count = sizeOf(index.shape);
    // There is nothing to gather: any number will do.
    if (x.shape[axis] === 0) return fillWithZeros("gather", target!, count * bytes);
    const loops = collapseLoops({
      sizes: index.shape,
      strides: [
        x.strides.map((stride, d) => (d === axis ? 0 : stride * bytes)),
        index.strides.map((stride) => stride * 4),
      ],
    });
    const { outer, size, strides } = splitInnermost(loops);
    const groupSize = Math.min(size, itemElements);
    const groups = Math.ceil(size / groupSize);
    return [
      {
        name: "gather",
        code: gatherCode(bytes),
        arguments: [
          ...argumentWords(names, {
            target: addressOfBuffer(target!),
            x: addressOf(x),
            index: addressOf(index),
            last: x.shape[axis]! - 1,
            axisStride: x.strides[axis]! * bytes,
            size,
            groupSize,
            groups,
            xStride: strides[0]!,
            indexStride: strides[1]!,
          }),
          ...loopWords(outer),
        ],
        items: iterations(outer) * groups,
        grain: Math.max(1, Math.floor(itemElements / groupSize)),
        scratchBytes: 0,
        reads: [x.buffer, index.buffer],
        writes: [target!],
        work: count * 2,
      },
    ];
  },
};
