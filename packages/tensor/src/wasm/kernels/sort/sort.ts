/** Sorting along an axis, one lane after the other. */

import type { NativeStep } from "../../../plan/schedule.js";
import { sizeOf } from "../../../tensor/shape.js";
import { i32, type I32, type Local } from "../../assembler/index.js";
import type { KernelCode, Launch } from "../../launch.js";
import type { MathContext } from "../../math/index.js";
import type { NativeKernel } from "../../native.js";
import { addressOf, addressOrNone, launchOf, WordReader } from "../arguments.js";
import { divide, entryAt, kernelCode } from "../code.js";
import { type KeyForm, keyFormOf, keyFormText, readKey } from "./key.js";
import { countBytes, sortFunction } from "./pairs.js";

/**
 * Writes the ordering of a lane: `x` is its first element, `stride` the bytes to the next one; gives
 * the address of sorted pairs (key, position), of which at least `count` of `size` must be right.
 */
export type OrderLane = (
  c: MathContext,
  form: KeyForm,
  lane: readonly [x: I32, stride: I32, size: I32, count: I32],
  scratch: I32,
) => Local<I32>;

/** Orders a lane by sorting all of it. Scratch: two lists of pairs and the counts. */
const sortLane: OrderLane = ({ module, f }, form, [x, stride, size], scratch) => {
  const pairs = f.let(scratch.add(countBytes));
  const other = f.let(pairs.add(size.shiftLeft(3)));
  const [at, to, index] = [f.let<I32>(x), f.let<I32>(pairs), f.local(i32)];
  f.for(index, 0, size, 1, () => {
    f.storeI32(to, readKey(f, form, at));
    f.storeI32(to, index, 4);
    f.increment(at, stride);
    f.increment(to, 8);
  });
  return f.let(sortFunction(module).call(pairs, other, size, scratch));
};

function orderCode(name: string, form: KeyForm, outputs: string, order: OrderLane): KernelCode {
  const key = `${name}/${keyFormText(form)}/${outputs}`;
  return kernelCode(key, (c, words, scratch) => {
    const { f } = c;
    const [elements, values, indices, size, count, inner] = new WordReader(f, words).words(6);
    const stride = f.let(inner.shiftLeft(2));
    const left = f.local(i32);
    return (item) => {
      const [outer, column] = divide(f, item, inner);
      const lane = (length: I32): I32 => outer.multiply(length).multiply(inner).add(column);
      const x = f.let(entryAt(elements, lane(size)));
      const offset = f.let(lane(count).shiftLeft(2));
      const pair = order(c, form, [x, stride, size, count], scratch);
      f.set<I32>(left, count);
      f.while(left, () => {
        const from = f.let(i32.load(pair, 4));
        if (outputs.includes("i")) f.storeI32(indices.add(offset), from);
        if (outputs.includes("v")) {
          f.storeI32(values.add(offset), i32.load(x.add(from.multiply(stride))));
        }
        f.increment(offset, stride);
        f.increment(pair, 8);
        f.increment(left, -1);
      });
    };
  });
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
  const kind = `${values === null ? "" : "v"}${indices === null ? "" : "i"}`;
  return launchOf(
    node.op.name,
    orderCode(way.name, keyFormOf(x.dtype, descending), kind, way.order),
    [addressOf(x), addressOrNone(values), addressOrNone(indices), size, count, inner],
    lanes,
    lanes * way.work,
    (1 << 14) / way.work,
    way.scratchBytes,
  );
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
