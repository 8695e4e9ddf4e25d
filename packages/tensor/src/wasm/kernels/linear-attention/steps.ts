/** The steps that scans are made of; see `scan.ts`. */

import { i32, type I32, type Local } from "../../assembler/index.js";
import type { LinearAttentionMode } from "../../../ops/linear-attention.js";
import type { MathContext } from "../../math/index.js";
import { type View, WordReader } from "../arguments.js";
import { addressesOf, layOut, type Layout } from "../attention/block.js";
import {
  copyColumns,
  copyRows,
  matrixRowBytes,
  roundUp,
  tileColumns,
  tileRows,
  unit,
} from "../attention/pack.js";
import { multiply, type ProductSpec } from "../attention/product.js";
import { hideUnseen, tileRange } from "../attention/visibility.js";
import { divide, entryAt, integers } from "../code.js";

/** What makes the code of a scan. */
export interface ScanSpec {
  readonly direction: "forward" | "reverse";
  readonly mode: LinearAttentionMode;
  /** Numbers in a row and in a key. */
  readonly keySize: number;
  /** Numbers in a value that an item computes. */
  readonly valueSize: number;
  /** Rows, and columns, of a chunk; a multiple of eight. */
  readonly capacity: number;
  /** How the first state is stored: by rows, transposed, or not at all (zeros). */
  readonly state: "rows" | "columns" | null;
  /** Whether the last state is an output. */
  readonly finalState: boolean;
}

type Part = "rows" | "columns" | "values" | "scores" | "state" | "output" | "lows" | "highs";

/** Scratch memory of a scan. */
export function scanLayout({ keySize, valueSize, capacity }: ScanSpec): Layout<Part> {
  const [keyBytes, valueBytes] = [matrixRowBytes(keySize), matrixRowBytes(valueSize)];
  const keys = roundUp(keySize, tileRows);
  return layOut({
    rows: capacity * keyBytes,
    columns: keys * matrixRowBytes(capacity),
    values: capacity * valueBytes,
    scores: capacity * matrixRowBytes(capacity),
    state: keys * valueBytes,
    output: capacity * valueBytes,
    lows: capacity * 4,
    highs: capacity * 4,
  });
}

/** The spec of the scan that runs beside a reverse scan: its keys are the other's values. */
export function twinOf(spec: ScanSpec): ScanSpec {
  const { keySize, valueSize } = spec;
  return { ...spec, keySize: valueSize, valueSize: keySize, state: null, finalState: false };
}

/** Words of a scan; `kernel.ts` lists them. */
export const scanWords = 34;

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
  /** The state in scratch memory, and the bytes between its rows. */
  readonly state: readonly [I32, number];
  /** For each row of the chunk the first column that it sees, and the one after the last. */
  readonly lists: readonly [Local<I32>, Local<I32>];
  /** The number of the query head within the group, its limit, and both lengths. */
  readonly group: Local<I32>;
  readonly groups: I32;
  readonly rowCount: I32;
  readonly columnCount: I32;
  /** The lists of sorted queries; see `order.ts`. */
  readonly counts: I32;
  readonly starts: I32;
}

/** With `leader`: a scan that takes the same columns at the same time, with keys and values exchanged. */
export function scanSteps(
  c: MathContext,
  spec: ScanSpec,
  words: I32,
  scratch: I32,
  leader?: ScanSteps,
): ScanSteps {
  const { module, f } = c;
  const { direction, mode, keySize, valueSize, capacity } = spec;
  const isForward = direction === "forward";
  const read = new WordReader(f, words);
  const [rows, keys, values, firstState] = [read.view(4), read.view(4), read.view(4), read.view(4)];
  const [rowScale, keyScale, valueScale, output, finalState] = read.words(5);
  const [order, counts, starts, rowCount, columnCount] = read.words(5);
  const [keyHeads, groups, outputSize, blocks] = read.words(4);
  const at = addressesOf(f, scratch, scanLayout(spec));
  const lists = leader?.lists ?? ([at.lows, at.highs] as const);
  const group = leader?.group ?? f.local(i32);
  const [head, batch, keyHead, column, isFinite] = integers(f, 5);
  const [none, one] = [i32.const(0), i32.const(unit)];
  const [keyBytes, valueBytes, scoreBytes] = [
    matrixRowBytes(keySize),
    matrixRowBytes(valueSize),
    matrixRowBytes(capacity),
  ];
  const [keyStride, valueStride] = [i32.const(keyBytes), i32.const(valueBytes)];
  const [keyCount, columns] = [i32.const(keySize), i32.const(roundUp(valueSize, tileColumns))];
  const outputStride = f.let(outputSize.shiftLeft(2));

  /** Where rows of a view are from number `start` on: address, stride, and their order if any. */
  const place = (view: View, start: I32, isRow: boolean, from: I32 = none): [I32, I32, I32] => {
    // Query heads are those of rows when forward, those of columns in reverse.
    const isQuery = isRow === isForward;
    const number = isQuery ? keyHead.multiply(groups).add(group) : keyHead;
    const isSorted = isQuery && mode === "mask";
    return [
      view.at(batch, number, isSorted ? none : start, from),
      view.strides[2]!,
      isSorted ? entryAt(order, start) : none,
    ];
  };
  const gathers = (isRow: boolean): boolean => isRow === isForward && mode === "mask";

  return {
    lists,
    group,
    groups,
    rowCount,
    columnCount,
    counts,
    starts,
    state: [at.state, valueBytes],

    begin: (item) => {
      const [whole, block] = divide(f, item, blocks);
      f.set<I32>(head, whole);
      const [own, number] = divide(f, head, keyHeads);
      f.set<I32>(batch, own);
      f.set<I32>(keyHead, number);
      f.set<I32>(column, block.multiply(valueSize));
      if (leader) return;
      const rowStride = firstState.strides[2]!;
      if (spec.state === null) {
        f.memoryFill(at.state, 0, roundUp(keySize, tileRows) * valueBytes);
      } else if (spec.state === "rows") {
        const from = firstState.at(batch, keyHead, none, column);
        const copy = copyRows(module, { size: valueSize });
        f.call(copy, from, rowStride, keyCount, at.state, valueStride, none, one);
      } else {
        const from = firstState.at(batch, keyHead, column);
        const copy = copyColumns(module, { size: keySize }, valueBytes);
        f.call(copy, from, rowStride, i32.const(valueSize), at.state, none, none, one);
      }
    },

    end: () => {
      if (!spec.finalState) return;
      const to = finalState.add(head.multiply(keyCount).multiply(outputStride));
      const unpack = copyRows(module, { size: valueSize }, true);
      const target = entryAt(to, column);
      f.call(unpack, at.state, valueStride, keyCount, target, outputStride, none, one);
    },

    packRows: (start, count) => {
      const [from, stride, sorted] = place(rows, start, true);
      const pack = copyRows(module, { size: keySize, gather: gathers(true) });
      f.call(pack, from, stride, count, at.rows, keyStride, sorted, rowScale);
    },

    packColumns: (start, count) => {
      const gather = gathers(false);
      const [key, keyStep, sorted] = place(keys, start, false);
      const packKeys = copyColumns(module, { size: keySize, gather }, scoreBytes);
      f.call(packKeys, key, keyStep, count, at.columns, none, sorted, keyScale);
      const [value, valueStep] = place(values, start, false, column);
      const packValues = copyRows(module, { size: valueSize, gather, check: mode !== "full" });
      const operands = [value, valueStep, count, at.values, valueStride, sorted, valueScale];
      f.set<I32>(isFinite, packValues.call(...operands));
    },

    stateTerm: (count) => {
      const product: ProductSpec = {
        left: keyBytes,
        step: 4,
        right: valueBytes,
        output: valueBytes,
        start: "zero",
      };
      multiply(c, product, [at.rows, at.state, at.output, count, columns, keyCount]);
    },

    chunkTerm: (count) => {
      const scores: ProductSpec = {
        left: keyBytes,
        step: 4,
        right: scoreBytes,
        output: scoreBytes,
        limits: "columns",
        start: "zero",
      };
      multiply(c, scores, [at.rows, at.columns, at.scores, count, none, keyCount, ...lists]);
      const row = f.local(i32);
      f.for(row, 0, count, 1, () => {
        const scoresAt = f.let(at.scores.add(row.multiply(scoreBytes)));
        hideUnseen(f, row, scoresAt, tileRange(f, row, lists), lists, 0);
      });
      const sums: ProductSpec = {
        left: scoreBytes,
        step: 4,
        right: valueBytes,
        output: valueBytes,
        limits: "depth",
        start: "output",
      };
      const operands = [at.scores, at.values, at.output, count, columns, none, ...lists];
      multiply(c, sums, operands, isFinite);
    },

    update: (count) => {
      if (leader) {
        const [from, stride] = leader.state;
        const copy = copyColumns(module, { size: keySize }, valueBytes);
        f.call(copy, from, i32.const(stride), i32.const(valueSize), at.state, none, none, one);
        return;
      }
      const product: ProductSpec = {
        left: scoreBytes,
        step: 4,
        right: valueBytes,
        output: valueBytes,
        start: "output",
      };
      multiply(c, product, [at.columns, at.values, at.state, keyCount, columns, count]);
    },

    unpack: (start, count) => {
      const gather = gathers(true);
      const number = isForward ? head.multiply(groups).add(group) : head;
      const before = number.multiply(rowCount).add(gather ? none : start);
      const to = entryAt(output.add(before.multiply(outputStride)), column);
      const unpack = copyRows(module, { size: valueSize, gather }, true);
      const sorted = gather ? entryAt(order, start) : none;
      f.call(unpack, at.output, valueStride, count, to, outputStride, sorted, one);
    },
  };
}
