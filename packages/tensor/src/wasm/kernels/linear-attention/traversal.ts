/** The order in which scans take rows and columns; see `scan.ts`. */

import { i32, type I32, type Local } from "../../assembler/index.js";
import type { LinearAttentionMode } from "../../../ops/linear-attention.js";
import type { MathContext } from "../../math/index.js";
import { type Matrix, roundUpI32, tileRows } from "../attention/matrix.js";
import { entry, entryAt, integers, limit, smaller } from "../code.js";

/** What makes the order of a scan. */
export interface ScanOrder {
  readonly direction: "forward" | "reverse";
  readonly mode: LinearAttentionMode;
  /** Rows, and columns, of a chunk; a multiple of eight. */
  readonly capacity: number;
  /** Whether the last state is an output. */
  readonly finalState: boolean;
}

/** Writes the steps of a scan. Starts and counts are numbers of rows or columns. */
export interface ScanSteps {
  /** Turns to one work item: finds its head and block, and loads its state. */
  begin(item: I32): void;
  /** Ends the work item: stores its state where that is an output. */
  end(): void;
  /** Packs rows, or columns, of the current head of the group. */
  packRows(start: I32, count: I32): void;
  packColumns(start: I32, count: I32): void;
  /** The output of rows: what they see of the state. */
  stateTerm(rowCount: I32): void;
  /** Adds what they see of the columns, which `lists` limit. */
  chunkTerm(rowCount: I32): void;
  /** Adds the columns to the state. */
  update(count: I32): void;
  /** Stores the output of rows. */
  unpack(start: I32, count: I32): void;
  /** For each row of the chunk the first column that it sees, and the one after the last. */
  readonly lists: readonly [Matrix, Matrix];
  /** The number of the query head within the group, its limit, and both lengths. */
  readonly group: Local<I32>;
  readonly groups: I32;
  readonly rowCount: I32;
  readonly columnCount: I32;
  /** The lists of sorted queries; see `order.ts`. */
  readonly counts: I32;
  readonly starts: I32;
}

/** How many keys a query sees when not all; `before` keys come before the first query's own. */
export function keysSeen(mode: LinearAttentionMode, query: I32, before: I32, counts: I32): I32 {
  return mode === "mask" ? entry(counts, query) : query.add(before).add(1);
}

/** Writes what is done for a work item of scans that take the same rows and columns together. */
export function scanItems(
  { f }: MathContext,
  { direction, mode, capacity, finalState }: ScanOrder,
  scans: readonly [ScanSteps, ...ScanSteps[]],
): (item: I32) => void {
  const [scan] = scans;
  const isForward = direction === "forward";
  const { rowCount, columnCount, counts, starts, lists } = scan;
  const [queries, keys] = isForward ? [rowCount, columnCount] : [columnCount, rowCount];
  const none = i32.const(0);
  const [[lows], [highs]] = lists;

  // For each query how many keys it sees, and how many queries see fewer than so many keys.
  const before = f.let(keys.subtract(queries));
  const countOf = (query: I32): I32 => keysSeen(mode, query, before, counts);
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
      if (mode !== "causal" || finalState) update();
      else f.if(at.add(count).less(keys), update);
    });
    pieces(seeingAll, queries, (at, count) => {
      f.memoryFill(highs, 0, capacity * 4);
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
          if (finalState) update();
          else f.if(at, update);
        });
      });
      both((own) => own.unpack(at, count));
    };
    pieces(none, keys, body, true);
  };

  return (item) => {
    both((own) => own.begin(item));
    // Others copy the state of the first.
    for (const other of scans.slice(1)) other.update(none);
    // The first of the queries that see every key; the rest of a causal sequence is in the chunks.
    const isInChunks = mode === "causal" ? keys.notEqual(0) : none;
    const sorted = mode === "mask" ? startOf(keys) : none;
    const seeingAll = f.let(isInChunks.select<I32>(queries, sorted));
    (isForward ? forward : reverse)(seeingAll);
    both((own) => own.end());
  };
}
