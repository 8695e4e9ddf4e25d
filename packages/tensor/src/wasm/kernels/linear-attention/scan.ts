/**
 * The scan: linear attention chunk by chunk, with the state of one head in scratch memory.
 *
 * A scan has rows, which are given an output, and columns, which have a key and a value:
 *
 *   output_i = row_i · (state + Σ_j key_j valueᵀ_j) over the columns j that row i sees.
 *
 * Forward, a row sees columns that come first; in reverse, those that come last. One scan computes the
 * output of cumulative linear attention and three compute its gradients:
 *
 *   scan                rows  keys  values  state
 *   forward  → y        q     k     v       S
 *   forward  → dq       dy    v     k       Sᵀ
 *   reverse  → dk       v     dy    q       dSᵀ
 *   reverse  → dv       k     q     dy      dS
 *
 * The keys are cut into chunks. A query is taken with the chunk of the last key that it sees: what it
 * sees of the chunk's keys comes from their scores, the rest from the state. With a mask the queries are
 * taken in the order of what they see, so the work is linear in the length for every mask.
 *
 * A work item is one head's whole sequence, or one block of its values' columns: the blocks share
 * nothing but the scores, so the numbers do not depend on how many there are.
 *
 * Where whole heads are work items, the two reverse scans are one. Both take the same columns, with
 * keys and values exchanged, and so their states are each other's transpose: one of them is kept up to
 * date, and copied for the other after every chunk.
 *
 * To apply a feature map to rows or keys, change them where they are packed.
 */

import { i32, type I32, type Local } from "../../assembler/index.js";
import type { KernelCode } from "../../launch.js";
import { roundUpI32, tileRows } from "../attention/matrix.js";
import { entry, entryAt, integers, kernelCode, limit, smaller } from "../code.js";
import {
  scanLayout,
  type ScanSpec,
  type ScanSteps,
  scanSteps,
  scanWords,
  twinOf,
} from "./steps.js";

/**
 * The code of a scan, or of a pair of them; a work item is one block of one key head of one batch.
 */
export function scanCode(spec: ScanSpec, isPair: boolean): KernelCode {
  const { mode, capacity } = spec;
  const key = `linear-attention/${isPair ? "pair" : "scan"} ${Object.values(spec).join(" ")}`;
  return kernelCode(key, (c, words, scratch) => {
    const { f } = c;
    const scan = scanSteps(c, spec, words, scratch);
    const scans = [scan];
    if (isPair) {
      const [beyond, room] = [words.add(scanWords * 4), scratch.add(scanLayout(spec).bytes)];
      scans.push(scanSteps(c, twinOf(spec), f.let(beyond), f.let(room), scan));
    }
    const isForward = spec.direction === "forward";
    const { rowCount, columnCount, counts, starts, lists } = scan;
    const [queries, keys] = isForward ? [rowCount, columnCount] : [columnCount, rowCount];
    const none = i32.const(0);
    const [[lows], [highs]] = lists;

    // For each query how many keys it sees, and how many queries see fewer than so many keys.
    const before = f.let(keys.subtract(queries));
    const countOf = (query: I32): I32 =>
      mode === "mask" ? entry(counts, query) : query.add(before).add(1);
    const startOf = (count: I32): Local<I32> => {
      if (mode === "mask") return f.let<I32>(entry(starts, count));
      const start = f.local(i32);
      limit(f, start, count.subtract(1).subtract(before), queries);
      return start;
    };

    /** `body(at, count)` for pieces of at most the capacity, up or down. */
    const pieces = (
      from: I32,
      to: I32,
      body: (at: Local<I32>, count: Local<I32>) => void,
      isDown = false,
    ): void => {
      const at = f.local(i32);
      const end = f.let(to);
      const last = f.let(end.subtract(1).divide(capacity).multiply(capacity));
      const step = isDown ? -capacity : capacity;
      const piece = (): void => {
        body(at, smaller(f, end.subtract(at), capacity));
      };
      if (isDown) f.if(end.greater(0), () => f.for(at, last, -1, step, piece));
      else f.for(at, from, end, step, piece);
    };
    const forGroup = (body: () => void): void => {
      f.for(scan.group, 0, scan.groups, 1, body);
    };
    const both = (step: (own: ScanSteps) => void): void => {
      scans.forEach(step);
    };
    /** `body` for pieces of the queries whose last key is among `count` keys. */
    const seeing = (
      at: Local<I32>,
      count: I32,
      seeingAll: I32,
      body: (position: Local<I32>, count: Local<I32>) => void,
    ): void => {
      if (mode === "full") return;
      const [first, last] = integers(f, 2);
      const end = f.let(at.add(count));
      f.set<I32>(first, none);
      f.if(at, () => {
        f.set<I32>(first, startOf(at.add(1)));
      });
      f.set<I32>(last, seeingAll);
      f.if(end.less(keys), () => {
        f.set<I32>(last, startOf(end.add(1)));
      });
      pieces(first, last, body);
    };
    const [row, next, number] = integers(f, 3);

    const forward = (seeingAll: I32): void => {
      pieces(none, keys, (at, count) => {
        both((own) => own.packColumns(at, count));
        seeing(at, count, seeingAll, (position, queryCount) => {
          // Tiles need whole rows: the last repeats.
          const last = f.let(queryCount.subtract(1));
          f.for(row, 0, roundUpI32(queryCount, tileRows), 1, () => {
            f.set<I32>(number, row.minimum(last));
            limit(f, number, countOf(position.add(number)).subtract(at), count);
            f.storeI32(entryAt(lows, row), 0);
            f.storeI32(entryAt(highs, row), number);
          });
          forGroup(() => {
            both((own) => {
              own.packRows(position, queryCount);
              own.stateTerm(queryCount);
              own.chunkTerm(queryCount);
              own.unpack(position, queryCount);
            });
          });
        });
        const update = (): void => both((own) => own.update(count));
        // When causal nobody reads the state after the last chunk.
        if (mode !== "causal" || spec.finalState) update();
        else f.if(at.add(count).less(keys), update);
      });
      pieces(seeingAll, queries, (at, count) => {
        forGroup(() => {
          both((own) => {
            own.packRows(at, count);
            own.stateTerm(count);
            own.unpack(at, count);
          });
        });
      });
    };

    const reverse = (seeingAll: I32): void => {
      pieces(seeingAll, queries, (at, count) => {
        forGroup(() => {
          both((own) => own.packColumns(at, count));
          both((own) => own.update(count));
        });
      });
      const body = (at: Local<I32>, count: Local<I32>): void => {
        both((own) => {
          own.packRows(at, count);
          own.stateTerm(count);
        });
        seeing(at, count, seeingAll, (position, queryCount) => {
          // For each key the number of the first query that sees it.
          f.set<I32>(next, none);
          f.for(row, 0, roundUpI32(count, tileRows), 1, () => {
            f.block((found) => {
              f.loop((again) => {
                f.branch(found, next.greaterEqual(queryCount));
                f.branch(found, countOf(position.add(next)).subtract(at).greater(row));
                f.increment(next, 1);
                f.branch(again);
              });
            });
            f.storeI32(entryAt(lows, row), next);
            f.storeI32(entryAt(highs, row), queryCount);
          });
          forGroup(() => {
            both((own) => {
              own.packColumns(position, queryCount);
              own.chunkTerm(count);
            });
            const update = (): void => both((own) => own.update(queryCount));
            if (spec.finalState) update();
            else f.if(at, update);
          });
        });
        both((own) => own.unpack(at, count));
      };
      pieces(none, keys, body, true);
    };

    return (item) => {
      both((own) => own.begin(item));
      if (isPair) scans[1]!.update(none);
      // The first of the queries that see every key; the rest of a causal sequence is in the chunks.
      const isInChunks = mode === "causal" ? keys.notEqual(0) : none;
      const sorted = mode === "mask" ? startOf(keys) : none;
      const seeingAll = f.let(isInChunks.select<I32>(queries, sorted));
      (isForward ? forward : reverse)(seeingAll);
      both((own) => own.end());
    };
  });
}
