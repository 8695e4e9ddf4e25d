/**
 * Sorts queries by the number of keys they see, in linear time.
 *
 * From the last visible key of each query it makes
 *
 * - `order`: the numbers of the queries, those that see fewer keys first
 * - `counts`: how many keys each of them sees, in that order
 * - `starts`: for c = 0 … keys + 1, how many queries see fewer than c keys
 */

import { i32, type I32, kernelSignature, type Local } from "../../assembler/index.js";
import type { KernelCode } from "../../launch.js";

/** The argument words of the sort: addresses, the mask's stride in bytes, and two lengths. */
export const orderArguments = [
  "mask",
  "stride",
  "order",
  "counts",
  "starts",
  "queries",
  "keys",
] as const;

/** The code of the sort; it is one work item. */
export const orderCode: KernelCode = {
  key: "linear-attention/order",
  emit: (module) => {
    module.function("linear-attention/order", kernelSignature, (f, args) => {
      const word = (name: (typeof orderArguments)[number]): Local<I32> =>
        f.let<I32>(i32.load(args, orderArguments.indexOf(name) * 4));
      const [mask, stride, order, counts] = [
        word("mask"),
        word("stride"),
        word("order"),
        word("counts"),
      ];
      const [starts, queries, keys] = [word("starts"), word("queries"), word("keys")];
      const [query, from, count] = [f.local(i32), f.local(i32), f.local(i32)];
      const [at, position] = [f.local(i32), f.local(i32)];
      const last = f.let(keys.subtract(1));
      const start = (offset = 0): I32 => i32.load(at, offset);
      const seen = (): void => {
        f.set<I32>(count, i32.load(from));
        f.set<I32>(count, count.minimum(last).add(1));
        f.set<I32>(count, count.maximum(0));
        f.set<I32>(at, starts.add(count.shiftLeft(2)));
        f.increment(from, stride);
      };
      f.memoryFill(starts, 0, keys.add(2).shiftLeft(2));
      f.set<I32>(from, mask);
      f.for(query, 0, queries, 1, () => {
        seen();
        f.storeI32(at, start(4).add(1), 4);
      });
      f.set<I32>(at, starts);
      f.for(count, 0, keys, 1, () => {
        f.storeI32(at, start(4).add(start()), 4);
        f.increment(at, 4);
      });
      f.storeI32(at, queries, 4);
      // Each start moves on as queries take their places, and so becomes the next one.
      f.set<I32>(from, mask);
      f.for(query, 0, queries, 1, () => {
        seen();
        f.set<I32>(position, start().shiftLeft(2));
        f.storeI32(at, start().add(1));
        f.storeI32(order.add(position), query);
        f.storeI32(counts.add(position), count);
      });
      f.memoryCopy(starts.add(4), starts, keys.add(1).shiftLeft(2));
      f.storeI32(starts, 0);
    });
  },
};
