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
 * The columns are cut into chunks. A row is computed with the chunk of the last column that it sees:
 * from the state at the start of the chunk, and from the scores of the chunk's own columns. With a
 * mask the rows (in reverse: the columns) are taken in the order of what they see, so the work is
 * linear in the length for every mask.
 *
 * A work item is one head's whole sequence, or one block of its values' columns: the blocks share
 * nothing but the scores, so the numbers do not depend on how many there are.
 *
 * Where whole heads are work items, the two reverse scans are one; see `scan-pair.ts`.
 *
 * To apply a feature map to rows or keys, change them where they are packed.
 */

import { i32, type I32, kernelSignature, type Local } from "../../assembler/index.js";
import type { KernelCode } from "../../launch.js";
import { tileRows } from "../attention/register-tile.js";
import type { ScanSpec } from "./scan-spec.js";
import { PairedSteps } from "./scan-pair.js";
import { ScanSteps } from "./scan-steps.js";

/**
 * The code of a scan, or of a pair of them; a work item is one block of one key head of one batch.
 */
export function scanCode(spec: ScanSpec, paired = false): KernelCode {
  const { direction, mode, keySize, valueSize, capacity, state, finalState, grouped } = spec;
  const key =
    `linear-attention/${paired ? "pair" : "scan"} ${direction} ${mode} scaled ${spec.scaled} ` +
    `${keySize}x${valueSize}x${capacity} from ${state}` +
    `${finalState ? " final" : ""}${grouped ? " grouped" : ""}`;
  return {
    key,
    emit: (module) => {
      module.function(key, kernelSignature, (f, args, begin, end, scratch) => {
        const item = f.local(i32);
        const scan = new (paired ? PairedSteps : ScanSteps)(module, f, spec, args, scratch);
        const run = { causal, full, mask: masked }[mode];
        f.for(item, begin, end, 1, () => {
          scan.begin(item);
          run(scan);
          scan.end();
        });
      });
    },
  };
}

function full(scan: ScanSteps): void {
  scan.stateColumns(i32.const(0), scan.word("columnCount"));
  scan.stateRows(i32.const(0), scan.word("rowCount"));
}

/**
 * Queries and keys are lined up at the end. What stands before the shorter of the two has no
 * counterpart: keys there are seen by all queries, queries there see no key.
 */
function causal(scan: ScanSteps): void {
  const f = scan.f;
  const rows = f.let(scan.word("rowCount"));
  const columns = f.let(scan.word("columnCount"));
  const length = f.let(rows.minimum(columns));
  const rowsBefore = f.let(rows.subtract(length));
  const columnsBefore = f.let(columns.subtract(length));
  const { finalState } = scan.spec;
  if (scan.isForward) {
    scan.stateRows(i32.const(0), rowsBefore);
    scan.stateColumns(i32.const(0), columnsBefore);
    scan.pieces(i32.const(0), length, (at, count) => {
      scan.packColumns(columnsBefore.add(at), count);
      scan.forGroup(() => {
        scan.packRows(rowsBefore.add(at), count);
        scan.scores("before", count, count);
        scan.compute("before", true, count, count);
        scan.unpack(rowsBefore.add(at), count);
      });
      // Nobody reads the state after the last chunk.
      if (finalState) scan.update(count);
      else f.if(at.add(count).less(length), () => scan.update(count));
    });
    return;
  }
  scan.piecesDown(length, (at, count) => {
    scan.packRows(rowsBefore.add(at), count);
    scan.forGroup(() => {
      scan.packColumns(columnsBefore.add(at), count);
      scan.scores("after", count, count);
      scan.computeFirst("after", count, count);
      if (finalState) scan.update(count);
      else f.if(at.add(rowsBefore).greater(0), () => scan.update(count));
    });
    scan.unpack(rowsBefore.add(at), count);
  });
  scan.stateRows(i32.const(0), rowsBefore);
  if (finalState) scan.stateColumns(i32.const(0), columnsBefore);
}

/** Queries in the order of what they see; see `order.ts` for the lists. */
function masked(scan: ScanSteps): void {
  const f = scan.f;
  const queries = scan.word(scan.isForward ? "rowCount" : "columnCount");
  const keys = f.let(scan.word(scan.isForward ? "columnCount" : "rowCount"));
  const starts = f.let(scan.word("starts"));
  const startOf = (count: I32): I32 => i32.load(starts.add(count.shiftLeft(2)));
  const seeingAll = f.let(startOf(keys));
  // The queries whose last key is in a chunk; those that see every key are left to the end.
  const range = (at: Local<I32>, count: I32): [Local<I32>, Local<I32>] => {
    const end = f.let(at.add(count));
    const first = f.local(i32);
    f.if(
      at,
      () => f.set<I32>(first, startOf(at.add(1))),
      () => f.set<I32>(first, i32.const(0)),
    );
    return [first, f.let(end.equal(keys).select(seeingAll, startOf(end.add(1))))];
  };
  if (scan.isForward) {
    scan.pieces(i32.const(0), keys, (at, count) => {
      scan.packColumns(at, count);
      const [first, last] = range(at, count);
      scan.pieces(first, last, (position, rows) => {
        listLimits(scan, position, rows, at);
        scan.forGroup(() => {
          scan.packRows(position, rows);
          scan.scores("limits", rows, count);
          scan.compute("limits", true, rows, count);
          scan.unpack(position, rows);
        });
      });
      scan.update(count);
    });
    scan.stateRows(seeingAll, queries);
    return;
  }
  scan.stateColumns(seeingAll, queries);
  scan.piecesDown(keys, (at, count) => {
    scan.packRows(at, count);
    const [first, last] = range(at, count);
    f.if(first.equal(last), () => scan.compute(null, true, count));
    scan.pieces(first, last, (position, columns) => {
      listStarts(scan, position, columns, at, count);
      scan.forGroup(() => {
        scan.packColumns(position, columns);
        scan.scores("starts", count, columns);
        scan.computeFirst("starts", count, columns, position.equal(first));
        scan.update(columns);
      });
    });
    scan.unpack(at, count);
  });
}

/** How many keys of the chunk at `at` each query sees; tiles need whole rows, so the last repeats. */
function listLimits(scan: ScanSteps, position: I32, rows: I32, at: I32): void {
  const f = scan.f;
  const [i, limit] = [f.local(i32), f.local(i32)];
  const counts = f.let(scan.word("counts").add(position.shiftLeft(2)));
  const end = rows.add(tileRows - 1).and(-tileRows);
  f.for(i, 0, end, 1, () => {
    f.if(i.less(rows), () => {
      f.set<I32>(limit, i32.load(counts.add(i.shiftLeft(2))).subtract(at));
    });
    f.storeI32(scan.scratch.list.add(i.shiftLeft(2)), limit);
  });
}

/** For each key of the chunk at `at`, the number of the first query that sees it. */
function listStarts(scan: ScanSteps, position: I32, columns: I32, at: I32, count: I32): void {
  const f = scan.f;
  const [j, next] = [f.local(i32), f.local(i32)];
  const counts = f.let(scan.word("counts").add(position.shiftLeft(2)));
  const end = count.add(tileRows - 1).and(-tileRows);
  f.set<I32>(next, i32.const(0));
  f.for(j, 0, end, 1, () => {
    f.block((found) => {
      f.loop((again) => {
        f.branch(found, next.greaterEqual(columns));
        f.branch(
          found,
          i32
            .load(counts.add(next.shiftLeft(2)))
            .subtract(at)
            .greater(j),
        );
        f.increment(next, 1);
        f.branch(again);
      });
    });
    f.storeI32(scan.scratch.list.add(j.shiftLeft(2)), next);
  });
}
