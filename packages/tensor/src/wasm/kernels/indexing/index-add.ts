/**
 * Rows added where an index names a row: the gradient of an embedding.
 *
 * Rows with one place are added in the order of the indices by one thread: threads share out the
 * columns, and where there are few columns the places, each walking over all indices.
 */

import type { NativeStep, Operand } from "../../../plan/schedule.js";
import { sizeOf, stridesOf } from "../../../tensor/shape.js";
import {
  type FunctionBuilder,
  i32,
  type I32,
  kernelSignature,
  type Local,
} from "../../assembler/index.js";
import type { KernelCode, Launch } from "../../launch.js";
import type { LoweringContext, NativeKernel } from "../../native.js";
import { addressOf, addressOfBuffer, argumentWords, readArguments } from "../arguments.js";
import { copyBase } from "../move/base.js";
import { readIndex } from "./clamp.js";
import { addOf, type Combine, combineBytes, combineElement, combineVector } from "./combine.js";

const names = [
  "target",
  "index",
  "source",
  "count", // indices
  "last", // largest index
  "rows", // places
  "rowBytes",
  "sliceBytes", // of a row that an item adds
  "slices", // per row
  "rangeSize", // places in a range
  "ranges", // of places
] as const;

// A slice is at least a cache line and a range at least some rows, so that threads do not share lines.
const lineBytes = 64;

function addSlice(
  f: FunctionBuilder,
  combine: Combine,
  to: Local<I32>,
  from: Local<I32>,
  left: Local<I32>,
): void {
  const advance = (bytes: number, body: () => void): void => {
    f.while(left.greaterEqual(bytes), () => {
      body();
      f.increment(to, bytes);
      f.increment(from, bytes);
      f.increment(left, -bytes);
    });
  };
  advance(lineBytes, () => {
    for (let offset = 0; offset < lineBytes; offset += 16) {
      combineVector(f, combine, to, from, offset);
    }
  });
  advance(16, () => {
    combineVector(f, combine, to, from, 0);
  });
  advance(combineBytes(combine), () => {
    combineElement(f, combine, to, from);
  });
}

// An item is a slice of the columns and a range of the places of one outer position.
function indexAddCode(combine: Combine): KernelCode {
  const key = `indexing/indexAdd/${combine}`;
  return {
    key,
    emit: (module) => {
      module.function(key, kernelSignature, (f, address, begin, end) => {
        const a = readArguments(f, address, names);
        const [item, place, to, from, left] = [
          f.local(i32),
          f.local(i32),
          f.local(i32),
          f.local(i32),
          f.local(i32),
        ];
        f.for(item, begin, end, 1, () => {
          const rest = f.let(item.divideUnsigned(a.ranges));
          const range = f.let(item.subtract(rest.multiply(a.ranges)).multiply(a.rangeSize));
          const outer = f.let(rest.divideUnsigned(a.slices));
          const column = f.let(rest.subtract(outer.multiply(a.slices)).multiply(a.sliceBytes));
          const bytes = f.let(a.rowBytes.subtract(column));
          f.set<I32>(bytes, bytes.lessUnsigned(a.sliceBytes).select<I32>(bytes, a.sliceBytes));
          const target = f.let(
            a.target.add(outer.multiply(a.rows).add(range).multiply(a.rowBytes)).add(column),
          );
          const source = f.let(
            a.source.add(outer.multiply(a.count).multiply(a.rowBytes)).add(column),
          );
          const at = f.let(a.index);
          const indices = f.let(a.count);
          f.while(indices, () => {
            readIndex(f, place, at, a.last);
            f.set<I32>(place, place.subtract(range));
            f.if(place.lessUnsigned(a.rangeSize), () => {
              f.set<I32>(to, target.add(place.multiply(a.rowBytes)));
              f.set<I32>(from, source);
              f.set<I32>(left, bytes);
              addSlice(f, combine, to, from, left);
            });
            f.increment(source, a.rowBytes);
            f.increment(at, 4);
            f.increment(indices, -1);
          });
        });
      });
    },
  };
}

// How the work of one outer position is shared out over about `wanted` items.
function split(
  wanted: number,
  rows: number,
  rowBytes: number,
): { sliceBytes: number; rangeSize: number } {
  const slices = Math.max(1, Math.min(wanted, Math.floor(rowBytes / (4 * lineBytes))));
  const sliceBytes = Math.ceil(rowBytes / slices / lineBytes) * lineBytes;
  const smallest = Math.ceil(lineBytes / rowBytes);
  const ranges = slices > 1 ? 1 : Math.max(1, Math.min(wanted, Math.floor(rows / smallest)));
  return { sliceBytes, rangeSize: Math.ceil(rows / ranges) };
}

function lower(step: NativeStep, context: LoweringContext): readonly Launch[] {
  const { node, inputs, outputs } = step;
  const axis = node.attributes.axis as number;
  const [base, index, source] = inputs as [Operand, Operand, Operand];
  const target = outputs[0]!;
  const copy = copyBase(step);
  if (sizeOf(source.shape) === 0) return copy;
  const combine = addOf(base.dtype);
  const count = sizeOf(index.shape);
  const outer = sizeOf(base.shape.slice(0, axis));
  const rows = base.shape[axis]!;
  const rowBytes = stridesOf(base.shape)[axis]! * combineBytes(combine);
  const work = sizeOf(source.shape);
  const wanted = work < 1 << 14 ? 1 : Math.ceil(context.threads / outer);
  const { sliceBytes, rangeSize } = split(wanted, rows, rowBytes);
  const slices = Math.ceil(rowBytes / sliceBytes);
  const ranges = Math.ceil(rows / rangeSize);
  const items = outer * slices * ranges;
  return [
    ...copy,
    {
      name: "indexAdd",
      code: indexAddCode(combine),
      arguments: argumentWords(names, {
        target: addressOfBuffer(target),
        index: addressOf(index),
        source: addressOf(source),
        count,
        last: rows - 1,
        rows,
        rowBytes,
        sliceBytes,
        slices,
        rangeSize,
        ranges,
      }),
      items,
      grain: Math.max(1, Math.floor((items * (1 << 13)) / work)),
      scratchBytes: 0,
      reads: [index.buffer, source.buffer, target],
      writes: [target],
      work,
    },
  ];
}

/** The kernel of `indexAdd`. */
export const indexAddKernel: NativeKernel = { op: "indexAdd", lower };
