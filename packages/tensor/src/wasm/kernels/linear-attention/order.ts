/**
 * Sorts queries by the number of keys they see, in linear time.
 *
 * From the last visible key of each query it makes
 *
 * - `order`: the numbers of the queries, those that see fewer keys first
 * - `counts`: how many keys each of them sees, in that order
 * - `starts`: for c = 0 … keys + 1, how many queries see fewer than c keys
 */

import { i32, type I32 } from "../../assembler/index.js";
import type { KernelCode } from "../../launch.js";
import { WordReader } from "../arguments.js";
import { entryAt, integers, kernelCode, limit } from "../code.js";

/**
 * The code of the sort; it is one work item. Its words: the mask and its stride in bytes, order, counts,
 * starts, and the numbers of queries and keys.
 */
export const orderCode = (): KernelCode =>
  kernelCode("linear-attention/order", ({ f }, words) => {
    const [mask, stride, order, counts, starts, queries, keys] = new WordReader(f, words).words(7);
    const [query, from, count, at, position] = integers(f, 5);
    return () => {
      const start = (offset = 0): I32 => i32.load(at, offset);
      const eachQuery = (body: () => void): void => {
        f.set<I32>(from, mask);
        f.for(query, 0, queries, 1, () => {
          // The last key is limited before 1 is added, which may overflow.
          f.set<I32>(count, i32.load(from));
          f.set<I32>(count, count.minimum(keys));
          limit(f, count, count.add(1), keys);
          f.set<I32>(at, entryAt(starts, count));
          body();
          f.increment(from, stride);
        });
      };
      f.memoryFill(starts, 0, keys.add(2).shiftLeft(2));
      eachQuery(() => {
        f.storeI32(at, start(4).add(1), 4);
      });
      f.set<I32>(at, starts);
      f.for(count, 0, keys, 1, () => {
        f.storeI32(at, start(4).add(start()), 4);
        f.increment(at, 4);
      });
      f.storeI32(at, queries, 4);
      // Each start moves on as queries take their places, and so becomes the next one.
      eachQuery(() => {
        f.set<I32>(position, start().shiftLeft(2));
        f.storeI32(at, start().add(1));
        f.storeI32(order.add(position), query);
        f.storeI32(counts.add(position), count);
      });
      f.memoryCopy(starts.add(4), starts, keys.add(1).shiftLeft(2));
      f.storeI32(starts, 0);
    };
  });
