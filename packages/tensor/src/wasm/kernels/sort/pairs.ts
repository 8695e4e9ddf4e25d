/**
 * Sorting pairs of a key and a position, eight bytes each, by key. Both ways are stable.
 *
 * Short lists are sorted by insertion, longer ones by radix: four passes over eight bits, of which
 * those are left out whose eight bits are the same everywhere.
 */

import {
  type FunctionBuilder,
  i32,
  type I32,
  type ModuleBuilder,
  v128,
} from "../../assembler/index.js";
import { entryAt, type Routine, routine } from "../code.js";

const passes = 4;
const buckets = 256;

/** Bytes of the counts that `sortPairs` needs. */
export const countBytes: number = passes * buckets * 4;

// Up to here insertion is faster.
const short = 40;

function movePair(f: FunctionBuilder, to: I32, from: I32): void {
  f.storeLane(64, to, v128.load64Zero(from), 0);
}

/**
 * Where the pair at `at` belongs among the sorted ones before it, back to `first`: they make room,
 * and it is put there.
 */
export function insertPair(f: FunctionBuilder, first: I32, at: I32): void {
  const pair = f.let(v128.load64Zero(at));
  const key = f.let(i32.load(at));
  const place = f.let(at);
  f.block((found) => {
    f.loop((again) => {
      f.branch(found, place.lessEqualUnsigned(first));
      f.branch(found, i32.load(place.subtract(8)).lessEqualUnsigned(key));
      movePair(f, place, place.subtract(8));
      f.increment(place, -8);
      f.branch(again);
    });
  });
  f.storeLane(64, place, pair, 0);
}

/**
 * Sorts `count` pairs at `pairs`, with as much room at `other` and `countBytes` at `counts`; gives
 * where the sorted pairs are: at `pairs` or at `other`. A function `(pairs, other, count, counts)`.
 */
export function sortFunction(module: ModuleBuilder): Routine {
  return routine(module, "sort/pairs", (f, pairs, other, count, counts) => {
    const bytes = f.let(count.shiftLeft(3));
    const end = f.let(pairs.add(bytes));
    const at = f.local(i32);
    f.if(count.lessEqual(short), () => {
      f.forAddress(at, pairs.add(8), end, 8, () => {
        insertPair(f, pairs, at);
      });
      f.return(pairs);
    });
    f.memoryFill(counts, 0, countBytes);
    const bucketOf = (value: I32, pass: number): I32 =>
      entryAt(counts, (pass === 0 ? value : value.shiftRightUnsigned(8 * pass)).and(0xff));
    f.forAddress(at, pairs, end, 8, () => {
      const value = f.let(i32.load(at));
      for (let pass = 0; pass < passes; pass++) {
        const bucket = f.let(bucketOf(value, pass));
        const offset = pass * buckets * 4;
        f.storeI32(bucket, i32.load(bucket, offset).add(1), offset);
      }
    });
    const next = f.local(i32);
    for (let pass = 0; pass < passes; pass++) {
      const offset = pass * buckets * 4;
      const isSorted = i32.load(bucketOf(i32.load(pairs), pass), offset).equal(count);
      f.if(isSorted.isZero(), () => {
        // Counts become addresses: where the next pair of each bucket goes.
        f.set<I32>(next, other);
        f.forAddress(at, counts, counts.add(buckets * 4), 4, () => {
          const here = f.let(i32.load(at, offset));
          f.storeI32(at, next, offset);
          f.increment(next, here.shiftLeft(3));
        });
        f.forAddress(at, pairs, f.let(pairs.add(bytes)), 8, () => {
          const bucket = f.let(bucketOf(i32.load(at), pass));
          const to = f.let(i32.load(bucket, offset));
          movePair(f, to, at);
          f.storeI32(bucket, to.add(8), offset);
        });
        f.set<I32>(next, pairs);
        f.set<I32>(pairs, other);
        f.set<I32>(other, next);
      });
    }
    return pairs;
  });
}
