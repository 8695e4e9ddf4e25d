/** The steps that scans are made of; see `scan.ts`. */

import { i32, type I32 } from "../../assembler/index.js";
import type { MathContext } from "../../math/index.js";
import { type View, WordReader } from "../arguments.js";
import {
  layOut,
  type Layout,
  type Matrix,
  matricesOf,
  roundUp,
  tileRows,
} from "../attention/matrix.js";
import { pack, packColumns, type Rows, unpack } from "../attention/pack.js";
import { multiply } from "../attention/product.js";
import { hideUnseen, tileRange } from "../attention/visibility.js";
import { divide, entryAt, integers } from "../code.js";
import type { ScanOrder, ScanSteps } from "./traversal.js";

/** What makes the code of a scan. */
export interface ScanSpec extends ScanOrder {
  /** Numbers in a row and in a key. */
  readonly keySize: number;
  /** Numbers in a value that an item computes. */
  readonly valueSize: number;
  /** How the first state is stored: by rows, transposed, or not at all (zeros). */
  readonly state: "rows" | "columns" | null;
}

type Part = "rows" | "columns" | "values" | "scores" | "state" | "output" | "lows" | "highs";

/** Scratch memory of a scan. */
export function scanLayout({ keySize, valueSize, capacity }: ScanSpec): Layout<Part> {
  return layOut({
    rows: [capacity, keySize],
    columns: [keySize, capacity],
    values: [capacity, valueSize],
    scores: [capacity, capacity],
    state: [keySize, valueSize],
    output: [capacity, valueSize],
    lows: [1, capacity],
    highs: [1, capacity],
  });
}

/** The spec of the scan that runs beside a reverse scan: its keys are the other's values. */
export function twinOf(spec: ScanSpec): ScanSpec {
  const { keySize, valueSize } = spec;
  return { ...spec, keySize: valueSize, valueSize: keySize, state: null, finalState: false };
}

/** Words of a scan; `kernel.ts` lists them. */
export const scanWords = 34;

/** The steps of a scan whose state another may copy. */
interface LeadingSteps extends ScanSteps {
  readonly state: Matrix;
}

/** With `leader`: a scan that takes the same columns at the same time, with keys and values exchanged. */
export function scanSteps(
  c: MathContext,
  spec: ScanSpec,
  words: I32,
  scratch: I32,
  leader?: LeadingSteps,
): LeadingSteps {
  const { f } = c;
  const { direction, mode, keySize, valueSize } = spec;
  const isForward = direction === "forward";
  const read = new WordReader(f, words);
  const [rows, keys, values, firstState] = [read.view(4), read.view(4), read.view(4), read.view(4)];
  const [rowScale, keyScale, valueScale, output, finalState] = read.words(5);
  const [order, counts, starts, rowCount, columnCount] = read.words(5);
  const [keyHeads, groups, outputSize, blocks] = read.words(4);
  const at = matricesOf(f, scratch, scanLayout(spec));
  const lists = leader?.lists ?? ([at.lows, at.highs] as const);
  const group = leader?.group ?? f.local(i32);
  const [head, batch, keyHead, column, isFinite] = integers(f, 5);
  const none = i32.const(0);
  const outputStride = f.let(outputSize.shiftLeft(2));

  // Query heads are those of rows when forward, those of columns in reverse; a mask sorts queries.
  const orderOf = (isRow: boolean, start: I32): I32 | undefined =>
    isRow === isForward && mode === "mask" ? entryAt(order, start) : undefined;
  /** Rows of a view from number `start` on. */
  const place = (view: View, start: I32, count: I32, isRow: boolean, from: I32 = none): Rows => {
    const number = isRow === isForward ? keyHead.multiply(groups).add(group) : keyHead;
    const sorted = orderOf(isRow, start);
    const address = view.at(batch, number, sorted ? none : start, from);
    return [address, view.strides[2]!, count, sorted];
  };

  return {
    lists,
    group,
    groups,
    rowCount,
    columnCount,
    counts,
    starts,
    state: at.state,

    begin: (item) => {
      const [whole, block] = divide(f, item, blocks);
      f.set<I32>(head, whole);
      const [own, number] = divide(f, head, keyHeads);
      f.set<I32>(batch, own);
      f.set<I32>(keyHead, number);
      f.set<I32>(column, block.multiply(valueSize));
      if (leader) return;
      const stride = firstState.strides[2]!;
      if (spec.state === null) {
        const [address, rowBytes] = at.state;
        f.memoryFill(address, 0, roundUp(keySize, tileRows) * rowBytes);
      } else if (spec.state === "rows") {
        const from = firstState.at(batch, keyHead, none, column);
        pack(c, valueSize, [from, stride, keySize], at.state);
      } else {
        const from = firstState.at(batch, keyHead, column);
        packColumns(c, keySize, [from, stride, valueSize], at.state);
      }
    },

    end: () => {
      if (!spec.finalState) return;
      const to = finalState.add(head.multiply(keySize).multiply(outputStride));
      unpack(c, valueSize, at.state, [entryAt(to, column), outputStride, keySize]);
    },

    packRows: (start, count) => {
      pack(c, keySize, place(rows, start, count, true), at.rows, rowScale);
    },

    packColumns: (start, count) => {
      packColumns(c, keySize, place(keys, start, count, false), at.columns, keyScale);
      const from = place(values, start, count, false, column);
      f.set<I32>(isFinite, pack(c, valueSize, from, at.values, valueScale, mode !== "full"));
    },

    stateTerm: (count) => {
      const matrices = [at.rows, at.state, at.output] as const;
      multiply(c, { start: "zero" }, matrices, [count, valueSize, keySize]);
    },

    chunkTerm: (count) => {
      const toScores = [at.rows, at.columns, at.scores] as const;
      multiply(c, { start: "zero", limits: "columns" }, toScores, [count, 0, keySize], lists);
      const row = f.local(i32);
      const [scores, rowBytes] = at.scores;
      f.for(row, 0, count, 1, () => {
        const scoresAt = f.let(scores.add(row.multiply(rowBytes)));
        const own = [lists[0][0], lists[1][0]] as const;
        hideUnseen(f, row, scoresAt, tileRange(f, row, own), own, 0);
      });
      const toOutput = [at.scores, at.values, at.output] as const;
      const sums = { start: "output", limits: "depth" } as const;
      multiply(c, sums, toOutput, [count, valueSize], lists, isFinite);
    },

    update: (count) => {
      if (leader) packColumns(c, keySize, [...leader.state, valueSize], at.state);
      else {
        const matrices = [at.columns, at.values, at.state] as const;
        multiply(c, { start: "output" }, matrices, [keySize, valueSize, count]);
      }
    },

    unpack: (start, count) => {
      const number = isForward ? head.multiply(groups).add(group) : head;
      const sorted = orderOf(true, start);
      const before = number.multiply(rowCount).add(sorted ? none : start);
      const to = entryAt(output.add(before.multiply(outputStride)), column);
      unpack(c, valueSize, at.output, [to, outputStride, count, sorted]);
    },
  };
}
