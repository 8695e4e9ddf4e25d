/**
 * The first elements of an order. A few out of many are selected: a short sorted list is kept, and
 * what does not come before its last element is passed over. Otherwise all are sorted.
 */

import type { NativeKernel } from "../../native.js";
import { i32, type I32 } from "../../assembler/index.js";
import { readKey } from "./key.js";
import { insertPair } from "./pairs.js";
import { orderLaunch, type OrderLane, sortLaunch } from "./sort.js";

/** Orders the first elements of a lane. Scratch: a list of one pair more than are wanted. */
const selectLane: OrderLane = ({ f }, form, [x, stride, size, count], scratch) => {
  const [at, end, index] = [f.let<I32>(x), f.let<I32>(scratch), f.local(i32)];
  const full = f.let(scratch.add(count.shiftLeft(3)));
  f.for(index, 0, size, 1, () => {
    const key = readKey(f, form, at);
    f.block((passed) => {
      const isFull = f.let(end.equal(full));
      // Of equal elements the first stays. (The list is not empty: at least one is wanted.)
      f.branch(
        passed,
        isFull.and(key.greaterEqualUnsigned(i32.load(end.subtract(isFull.shiftLeft(3))))),
      );
      f.storeI32(end, key);
      f.storeI32(end, index, 4);
      insertPair(f, scratch, end);
      f.increment(end, isFull.isZero().shiftLeft(3));
    });
    f.increment(at, stride);
  });
  return f.let<I32>(scratch);
};

// Beyond, inserting costs more than sorting.
const mostSelected = 64;
const leastRatio = 32;

/** The kernel of `topk`. */
export const topkKernel: NativeKernel = {
  op: "topk",
  supports: (node) => node.attributes.k !== 0,
  lower: (step) => {
    const { attributes } = step.node;
    const k = attributes.k as number;
    const size = step.inputs[0]!.shape[attributes.axis as number]!;
    const descending = attributes.largest === true;
    if (k > mostSelected || k * leastRatio > size) return [sortLaunch(step, descending, k)];
    return [
      orderLaunch(step, descending, k, {
        name: "select",
        order: selectLane,
        scratchBytes: 8 * (k + 1),
        work: size * 3 + k * 16,
      }),
    ];
  },
};
