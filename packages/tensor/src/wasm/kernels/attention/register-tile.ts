/**
 * A tile of a matrix product in vector registers, for products of small matrices whose sizes are
 * known when code is made.
 *
 * The order of the instructions matters: V8 on x86-64 has 15 vector registers to give away and keeps
 * the order in which code is emitted. A step loads the vectors of the right matrix; then, for each
 * row, it splats one number of the left matrix and multiply-adds it to the row's accumulators. With
 * `rows · vectors + vectors + 1 ≤ 15` nothing is spilled.
 */

import {
  f32x4,
  type FunctionBuilder,
  i32,
  type I32,
  type Local,
  type ModuleBuilder,
  v128,
  type V128,
} from "../../assembler/index.js";

/** Columns of a panel: matrices in scratch memory are kept in panels of this many columns. */
export const panelColumns = 8;

/** Bytes of a row of a panel. */
export const panelRowBytes: number = panelColumns * 4;

/** Rows of the tiles. Matrices and lists of numbers a row are filled up to a multiple of it. */
export const tileRows = 4;

/** Where the numbers of the left matrix are: element (r, s) at `address + r · row + s · step`. */
export interface LeftMatrix {
  readonly address: I32;
  /** Bytes between the tile's rows. */
  readonly row: number;
  /** Bytes between the steps of the sum. */
  readonly step: number;
}

/** Where the numbers of the right matrix are: one panel, its rows are the steps of the sum. */
export interface RightMatrix {
  readonly address: I32;
}

/** The accumulators of one tile of `rows` rows and one panel's columns. */
export class RegisterTile {
  readonly rows: number;
  readonly #module: ModuleBuilder;
  readonly #f: FunctionBuilder;
  readonly #sums: readonly (readonly Local<V128>[])[];
  readonly #right: readonly Local<V128>[];
  readonly #splat: Local<V128>;
  readonly #leftAt: Local<I32>;
  readonly #rightAt: Local<I32>;
  readonly #rightEnd: Local<I32>;

  constructor(module: ModuleBuilder, f: FunctionBuilder, rows: number) {
    this.rows = rows;
    this.#module = module;
    this.#f = f;
    const vectors = panelColumns / 4;
    this.#sums = Array.from({ length: rows }, () => f.localArray(v128, vectors));
    this.#right = f.localArray(v128, vectors);
    this.#splat = f.local(v128);
    this.#leftAt = f.local(i32);
    this.#rightAt = f.local(i32);
    this.#rightEnd = f.local(i32);
  }

  /** Sets all sums to 0. */
  clear(): void {
    for (const row of this.#sums) for (const sum of row) this.#f.set<V128>(sum, v128.zero());
  }

  /** Loads the sums; rows are `rowBytes` apart. */
  load(address: I32, rowBytes: number): void {
    this.#sums.forEach((row, r) => {
      row.forEach((sum, i) => {
        this.#f.set<V128>(sum, v128.load(address, r * rowBytes + i * 16));
      });
    });
  }

  /** Multiplies each row by its number in a list. */
  multiply(factors: I32): void {
    this.#sums.forEach((row, r) => {
      this.#f.set<V128>(this.#splat, v128.load32Splat(factors, r * 4));
      for (const sum of row) this.#f.set<V128>(sum, f32x4.multiply(sum, this.#splat));
    });
  }

  /** Stores the sums; rows are `rowBytes` apart. */
  store(address: I32, rowBytes: number): void {
    this.#sums.forEach((row, r) => {
      row.forEach((sum, i) => {
        this.#f.storeV128(address, sum, r * rowBytes + i * 16);
      });
    });
  }

  /** One step of the sum for the rows `from … to - 1`. */
  step(left: LeftMatrix, right: RightMatrix, step = 0, from = 0, to: number = this.rows): void {
    const f = this.#f;
    this.#right.forEach((vector, i) => {
      f.set<V128>(vector, v128.load(right.address, step * panelRowBytes + i * 16));
    });
    for (let r = from; r < to; r++) {
      f.set<V128>(this.#splat, v128.load32Splat(left.address, r * left.row + step * left.step));
      this.#sums[r]!.forEach((sum, i) => {
        f.set<V128>(sum, this.#module.madd(this.#splat, this.#right[i]!, sum));
      });
    }
  }

  /** `count ≥ 1` steps. */
  steps(left: LeftMatrix, right: RightMatrix, count: number): void {
    this.#walk(left, right, i32.const(count * panelRowBytes), 0, this.rows, false);
  }

  /** `count ≥ 0` steps for the rows `from … to - 1`. */
  dynamicSteps(
    left: LeftMatrix,
    right: RightMatrix,
    count: I32,
    from = 0,
    to: number = this.rows,
  ): void {
    this.#walk(left, right, count.multiply(panelRowBytes), from, to, true);
  }

  #walk(
    left: LeftMatrix,
    right: RightMatrix,
    bytes: I32,
    from: number,
    to: number,
    maybeEmpty: boolean,
  ): void {
    const f = this.#f;
    f.set<I32>(this.#leftAt, left.address);
    f.set<I32>(this.#rightAt, right.address);
    f.set<I32>(this.#rightEnd, this.#rightAt.add(bytes));
    // One step a turn: unrolled, Node 20 moves the multiplications away from their additions and
    // spills what is in between; newer engines do not care.
    const turn = (): void => {
      this.step({ ...left, address: this.#leftAt }, { address: this.#rightAt }, 0, from, to);
      f.increment(this.#leftAt, left.step);
      f.increment(this.#rightAt, panelRowBytes);
    };
    const more = this.#rightAt.notEqual(this.#rightEnd);
    if (maybeEmpty) f.while(more, turn);
    else f.doWhile(turn, more);
  }
}
