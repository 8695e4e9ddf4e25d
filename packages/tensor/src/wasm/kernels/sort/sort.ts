/** Sorting along an axis, one lane after the other. */

import type { NativeStep } from "../../../plan/schedule.js";
import { sizeOf } from "../../../tensor/shape.js";
import {
  type FunctionBuilder,
  i32,
  type I32,
  kernelSignature,
  type Local,
  type ModuleBuilder,
} from "../../assembler/index.js";
import type { KernelCode, Launch } from "../../launch.js";
import type { NativeKernel } from "../../native.js";
import {
  addressOf,
  addressOfBuffer,
  argumentWords,
  integerArgument,
  readArguments,
} from "../arguments.js";
import { type KeyForm, keyFormOf, keyFormText, readKey } from "./key.js";
import { countBytes, sortPairs } from "./pairs.js";

const names = [
  "x",
  "values",
  "indices",
  "size", // elements of a lane
  "count", // sorted elements that are wanted
  "inner", // neighbouring lanes
] as const;

type Words = Readonly<Record<(typeof names)[number], Local<I32>>>;

/**
 * Writes the ordering of a lane: `x` is its first element, `stride` the bytes to the next one; gives
 * the address of sorted pairs (key, position), of which at least `words.count` must be right.
 */
export type OrderLane = (
  c: { readonly module: ModuleBuilder; readonly f: FunctionBuilder },
  form: KeyForm,
  words: Words,
  lane: { readonly x: I32; readonly stride: I32; readonly scratch: I32 },
) => Local<I32>;

/** Orders a lane by sorting all of it. Scratch: two lists of pairs and the counts. */
const sortLane: OrderLane = ({ module, f }, form, { size }, { x, stride, scratch }) => {
  const pairs = f.let(scratch.add(countBytes));
  const other = f.let(pairs.add(size.shiftLeft(3)));
  const [at, to, index] = [f.let<I32>(x), f.let<I32>(pairs), f.local(i32)];
  f.for(index, 0, size, 1, () => {
    f.storeI32(to, readKey(f, form, at));
    f.storeI32(to, index, 4);
    f.increment(at, stride);
    f.increment(to, 8);
  });
  return f.let(sortPairs(module, pairs, other, size, scratch));
};

function orderCode(name: string, form: KeyForm, reads: string, order: OrderLane): KernelCode {
  const key = `${name}/${keyFormText(form)}/${reads}`;
  return {
    key,
    emit: (module) => {
      module.function(key, kernelSignature, (f, address, begin, end, scratch) => {
        const a = readArguments(f, address, names);
        const stride = f.let(a.inner.shiftLeft(2));
        const [item, left] = [f.local(i32), f.local(i32)];
        f.for(item, begin, end, 1, () => {
          const outer = f.let(item.divideUnsigned(a.inner));
          const column = f.let(item.subtract(outer.multiply(a.inner)));
          const elements = outer.multiply(a.size).multiply(a.inner).add(column);
          const x = f.let(a.x.add(elements.shiftLeft(2)));
          const to = outer.multiply(a.count).multiply(a.inner).add(column).shiftLeft(2);
          const offset = f.let(to);
          const pair = order({ module, f }, form, a, { x, stride, scratch });
          f.set<I32>(left, a.count);
          f.while(left, () => {
            const from = f.let(i32.load(pair, 4));
            if (reads.includes("i")) f.storeI32(a.indices.add(offset), from);
            if (reads.includes("v")) {
              f.storeI32(a.values.add(offset), i32.load(x.add(from.multiply(stride))));
            }
            f.increment(offset, stride);
            f.increment(pair, 8);
            f.increment(left, -1);
          });
        });
      });
    },
  };
}

/** The launch that orders lanes along attribute `axis` and gives the first `count` elements of each. */
export function orderLaunch(
  { node, inputs, outputs }: NativeStep,
  descending: boolean,
  count: number,
  way: {
    readonly name: string;
    readonly order: OrderLane;
    readonly scratchBytes: number;
    readonly work: number;
  },
): Launch {
  const x = inputs[0]!;
  const axis = node.attributes.axis as number;
  const size = x.shape[axis]!;
  const inner = sizeOf(x.shape.slice(axis + 1));
  const lanes = sizeOf(x.shape.slice(0, axis)) * inner;
  const [values = null, indices = null] = outputs;
  const reads = `${values === null ? "" : "v"}${indices === null ? "" : "i"}`;
  return {
    name: node.op.name,
    code: orderCode(way.name, keyFormOf(x.dtype, descending), reads, way.order),
    arguments: argumentWords(names, {
      x: addressOf(x),
      values: values === null ? integerArgument(0) : addressOfBuffer(values),
      indices: indices === null ? integerArgument(0) : addressOfBuffer(indices),
      size,
      count,
      inner,
    }),
    items: lanes,
    grain: Math.max(1, Math.floor((1 << 14) / way.work)),
    scratchBytes: way.scratchBytes,
    reads: [x.buffer],
    writes: [values, indices].filter((buffer) => buffer !== null),
    work: lanes * way.work,
  };
}

/** The launch that sorts lanes and gives the first `count` elements of each. */
export function sortLaunch(step: NativeStep, descending: boolean, count: number): Launch {
  const size = step.inputs[0]!.shape[step.node.attributes.axis as number]!;
  return orderLaunch(step, descending, count, {
    name: "sort",
    order: sortLane,
    scratchBytes: countBytes + 16 * size,
    work: size * 16 + 512,
  });
}

/** The kernel of `sort`. */
export const sortKernel: NativeKernel = {
  op: "sort",
  lower: (step) => {
    const { axis, descending } = step.node.attributes;
    const count = step.inputs[0]!.shape[axis as number]!;
    return [sortLaunch(step, descending === true, count)];
  },
};
