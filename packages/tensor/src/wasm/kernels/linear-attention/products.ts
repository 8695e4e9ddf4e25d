/**
 * The three products of a chunk, on packed matrices in scratch memory:
 *
 * - scores = rows · columnsᵀ, where a row may see a column
 * - output = scores · values + rows · state
 * - state += columnsᵀ · values
 *
 * A hidden score is neither computed into a result nor multiplied by 0, so a key that a row must not
 * see has no influence on it, not even as NaN.
 */

import {
  type FunctionBuilder,
  type FunctionReference,
  i32,
  type I32,
  type Local,
  type ModuleBuilder,
} from "../../assembler/index.js";
import { procedure, roundUp, roundUpI32 } from "../attention/pack.js";
import { panelColumns, panelRowBytes, RegisterTile, tileRows } from "../attention/register-tile.js";

/** Sizes of a chunk's matrices. */
export interface ChunkSizes {
  /** Numbers in a row and in a column: the axis that scores sum over. */
  readonly keySize: number;
  /** Numbers in a value that this item computes. */
  readonly valueSize: number;
  /** Rows, and columns, that fit in scratch memory; a multiple of eight. */
  readonly capacity: number;
}

/**
 * What a row of a chunk sees.
 *
 * - `"before"`: the columns up to its own number
 * - `"after"`: the columns from its own number on
 * - `"limits"`: the columns below its entry in a list that rises
 * - `"starts"`: the columns from its entry in a list that rises
 */
export type Visibility = "before" | "after" | "limits" | "starts";

const name = ({ keySize, valueSize, capacity }: ChunkSizes): string =>
  `${keySize}x${valueSize}x${capacity}`;

type I = typeof i32;
type ScoreParameters = readonly [I, I, I, I, I, I];

const scoreParameters: ScoreParameters = [i32, i32, i32, i32, i32, i32];

/** `(rows, columns, scores, rowCount, columnCount, list)`. */
export type ScoresFunction = FunctionReference<ScoreParameters, null>;

/** An entry of the list of limits or starts. */
function entry(list: I32, row: I32, offset: number): I32 {
  return i32.load(list.add(row.shiftLeft(2)), offset * 4);
}

/** Rows times transposed columns. */
export function scoresFunction(
  module: ModuleBuilder,
  sizes: ChunkSizes,
  visibility: Visibility,
): ScoresFunction {
  const { keySize, capacity } = sizes;
  const key = `linear-attention/scores ${visibility} ${keySize}x${capacity}`;
  return procedure(
    module,
    key,
    scoreParameters,
    (f, rows, columns, scores, rowCount, columnCount, list) => {
      const tile = new RegisterTile(module, f, tileRows);
      const [row, panel, left] = [f.local(i32), f.local(i32), f.local(i32)];
      const [right, to] = [f.local(i32), f.local(i32)];
      const end = f.let(columnCount.add(7).shiftRight(3));
      f.set<I32>(left, rows);
      f.for(row, 0, rowCount, tileRows, () => {
        const last = tileRows - 1;
        const first =
          visibility === "after"
            ? row.shiftRight(3)
            : visibility === "starts"
              ? entry(list, row, 0).shiftRight(3)
              : i32.const(0);
        const limit =
          visibility === "before"
            ? row.add(last + 8).shiftRight(3)
            : visibility === "limits"
              ? entry(list, row, last).add(7).shiftRight(3)
              : end;
        f.set<I32>(panel, first);
        f.set<I32>(right, columns.add(panel.multiply(keySize * panelRowBytes)));
        f.set<I32>(to, scores.add(row.multiply(capacity * 4)).add(panel.multiply(panelRowBytes)));
        f.for(panel, panel, limit, 1, () => {
          tile.clear();
          tile.steps({ address: left, row: keySize * 4, step: 4 }, { address: right }, keySize);
          tile.store(to, capacity * 4);
          f.increment(right, keySize * panelRowBytes);
          f.increment(to, panelRowBytes);
        });
        f.increment(left, tileRows * keySize * 4);
      });
      if (visibility === "after") clearPadding(f, sizes, scores, rowCount, columnCount);
    },
  );
}

/** Scores of columns that are only there to fill up a tile must be 0 even where a row is not finite. */
function clearPadding(
  f: FunctionBuilder,
  { capacity }: ChunkSizes,
  scores: I32,
  rowCount: I32,
  columnCount: I32,
): void {
  const [row, column, at] = [f.local(i32), f.local(i32), f.let(scores)];
  const end = f.let(roundUpI32(columnCount, tileRows));
  f.if(end.notEqual(columnCount), () => {
    f.for(row, 0, rowCount, 1, () => {
      f.for(column, columnCount, end, 1, () => {
        f.storeI32(at.add(column.shiftLeft(2)), 0);
      });
      f.increment(at, capacity * 4);
    });
  });
}

/** Which terms the output has. */
export interface OutputTerms {
  /** What rows see of the chunk; `null`: nothing. */
  readonly visibility: Visibility | null;
  /** Whether rows see the state. If not, the chunk's term is added to the output. */
  readonly state: boolean;
}

type OutputParameters = readonly [I, I, I, I, I, I, I, I];

const outputParameters: OutputParameters = [i32, i32, i32, i32, i32, i32, i32, i32];

/** `(rows, scores, values, state, output, rowCount, columnCount, list)`. */
export type OutputFunction = FunctionReference<OutputParameters, null>;

/** Bytes of a row of the output in scratch memory. */
export function outputRowBytes({ valueSize }: ChunkSizes): number {
  return roundUp(valueSize, panelColumns) * 4;
}

/** Scores times values plus rows times state. */
export function outputFunction(
  module: ModuleBuilder,
  sizes: ChunkSizes,
  terms: OutputTerms,
): OutputFunction {
  const { keySize, capacity } = sizes;
  const { visibility, state: seesState } = terms;
  const rowBytes = outputRowBytes(sizes);
  const key = `linear-attention/output ${visibility ?? "none"}${seesState ? " state" : ""} ${name(sizes)}`;
  return procedure(
    module,
    key,
    outputParameters,
    (f, rows, scores, values, state, output, rowCount, columnCount, list) => {
      const tile = new RegisterTile(module, f, tileRows);
      const row = f.local(i32);
      const [left, score] = [f.local(i32), f.local(i32)];
      const [value, store] = [f.let(values), f.let(state)];
      const [panel, to] = [f.local(i32), f.local(i32)];
      f.for(panel, 0, rowBytes, panelRowBytes, () => {
        f.set<I32>(left, rows);
        f.set<I32>(score, scores);
        f.set<I32>(to, output.add(panel));
        f.for(row, 0, rowCount, tileRows, () => {
          if (seesState) tile.clear();
          else tile.load(to, rowBytes);
          if (visibility !== null) {
            chunkTerm(f, tile, { visibility, capacity, row, score, value, columnCount, list });
          }
          if (seesState) {
            tile.steps({ address: left, row: keySize * 4, step: 4 }, { address: store }, keySize);
          }
          tile.store(to, rowBytes);
          f.increment(left, tileRows * keySize * 4);
          f.increment(score, tileRows * capacity * 4);
          f.increment(to, tileRows * rowBytes);
        });
        f.increment(value, capacity * panelRowBytes);
        f.increment(store, keySize * panelRowBytes);
      });
    },
  );
}

interface ChunkTerm {
  readonly visibility: Visibility;
  readonly capacity: number;
  /** First row of the tile. */
  readonly row: Local<I32>;
  /** Its scores. */
  readonly score: I32;
  /** The panel of values. */
  readonly value: I32;
  readonly columnCount: I32;
  readonly list: I32;
}

/** Adds the columns that the tile's rows see: first those that all see, then row by row. */
function chunkTerm(f: FunctionBuilder, tile: RegisterTile, term: ChunkTerm): void {
  const { visibility, capacity, row, score, value, columnCount, list } = term;
  const from = (column: I32): [{ address: I32; row: number; step: number }, { address: I32 }] => [
    { address: score.add(column.shiftLeft(2)), row: capacity * 4, step: 4 },
    { address: value.add(column.multiply(panelRowBytes)) },
  ];
  const last = tileRows - 1;
  if (visibility === "before" || visibility === "after") {
    const isBefore = visibility === "before";
    const [left, right] = from(row);
    const [scoreAt, valueAt] = [f.let(left.address), f.let(right.address)];
    const diagonal = [{ ...left, address: scoreAt }, { address: valueAt }] as const;
    if (isBefore) tile.dynamicSteps(...from(i32.const(0)), row);
    for (let i = 0; i < tileRows; i++) {
      tile.step(...diagonal, i, isBefore ? i : 0, isBefore ? tileRows : i + 1);
    }
    if (!isBefore) {
      const next = f.let(row.add(tileRows));
      f.if(next.less(columnCount), () => {
        tile.dynamicSteps(...from(next), columnCount.subtract(next));
      });
    }
  } else if (visibility === "limits") {
    const common = f.let(entry(list, row, 0));
    tile.dynamicSteps(...from(i32.const(0)), common);
    for (let r = 1; r < tileRows; r++) {
      tile.dynamicSteps(...from(common), entry(list, row, r).subtract(common), r, r + 1);
    }
  } else {
    const common = f.let(entry(list, row, last));
    const start = f.local(i32);
    for (let r = 0; r < last; r++) {
      f.set<I32>(start, entry(list, row, r));
      tile.dynamicSteps(...from(start), common.subtract(start), r, r + 1);
    }
    tile.dynamicSteps(...from(common), columnCount.subtract(common));
  }
}

type UpdateParameters = readonly [I, I, I, I];

const updateParameters: UpdateParameters = [i32, i32, i32, i32];

/** `(columns, values, state, count)`. */
export type UpdateFunction = FunctionReference<UpdateParameters, null>;

/** Adds transposed columns times values to the state. */
export function updateFunction(module: ModuleBuilder, sizes: ChunkSizes): UpdateFunction {
  const { keySize, valueSize, capacity } = sizes;
  const key = `linear-attention/update ${name(sizes)}`;
  return procedure(module, key, updateParameters, (f, columns, values, state, count) => {
    const [panel, row, turn] = [f.local(i32), f.local(i32), f.local(i32)];
    const [store, value, left, right] = [f.let(state), f.let(values), f.local(i32), f.local(i32)];
    const turns = f.let(count.add(7).shiftRight(3));
    const add = (rows: number): void => {
      const tile = new RegisterTile(module, f, rows);
      f.set<I32>(left, columns.add(row));
      f.set<I32>(right, value);
      tile.load(store, panelRowBytes);
      f.for(turn, 0, turns, 1, () => {
        const from = { address: left, row: panelRowBytes, step: 4 };
        tile.steps(from, { address: right }, panelColumns);
        f.increment(left, keySize * panelRowBytes);
        f.increment(right, panelColumns * panelRowBytes);
      });
      tile.store(store, panelRowBytes);
      f.increment(store, rows * panelRowBytes);
    };
    const rest = keySize % tileRows;
    f.for(panel, 0, Math.ceil(valueSize / panelColumns), 1, () => {
      f.for(row, 0, (keySize - rest) * panelRowBytes, tileRows * panelRowBytes, () => {
        add(tileRows);
      });
      if (rest > 0) {
        f.set<I32>(row, i32.const((keySize - rest) * panelRowBytes));
        add(rest);
      }
      f.increment(value, capacity * panelRowBytes);
    });
  });
}
