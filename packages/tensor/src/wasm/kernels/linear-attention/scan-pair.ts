/**
 * Two reverse scans in one: the gradients of keys and of values.
 *
 * Both take the same columns, with keys and values exchanged, and so their states are each other's
 * transpose: one of them is kept up to date, and copied for the other after every chunk. That saves one
 * of the two products that update states; the numbers are those of two scans.
 */

import {
  type FunctionBuilder,
  i32,
  type I32,
  type ModuleBuilder,
  v128,
  type V128,
} from "../../assembler/index.js";
import { procedure, transposed } from "../attention/pack.js";
import { panelColumns, panelRowBytes } from "../attention/register-tile.js";
import type { ChunkSizes, Visibility } from "./products.js";
import { scanArguments, type ScanSpec, scanScratchBytes, twinOf } from "./scan-spec.js";
import { ScanSteps } from "./scan-steps.js";

/** Writes the steps of a pair of scans. The second one's arguments follow those of the first. */
export class PairedSteps extends ScanSteps {
  readonly #twin: ScanSteps;

  constructor(module: ModuleBuilder, f: FunctionBuilder, spec: ScanSpec, args: I32, scratch: I32) {
    super(module, f, spec, args, scratch);
    const words = f.let(args.add(scanArguments.length * 4));
    const beyond = f.let(scratch.add(scanScratchBytes(spec)));
    this.#twin = new ScanSteps(module, f, twinOf(spec), words, beyond, this);
  }

  override begin(item: I32): void {
    super.begin(item);
    this.#twin.begin(item);
    this.#copyState();
  }

  override packRows(start: I32, count: I32): void {
    super.packRows(start, count);
    this.#twin.packRows(start, count);
  }

  override packColumns(start: I32, count: I32): void {
    super.packColumns(start, count);
    this.#twin.packColumns(start, count);
  }

  override scores(visibility: Visibility, rowCount: I32, columnCount: I32): void {
    super.scores(visibility, rowCount, columnCount);
    this.#twin.scores(visibility, rowCount, columnCount);
  }

  override compute(
    visibility: Visibility | null,
    state: boolean,
    rowCount: I32,
    columnCount?: I32,
  ): void {
    super.compute(visibility, state, rowCount, columnCount);
    this.#twin.compute(visibility, state, rowCount, columnCount);
  }

  override unpack(start: I32, count: I32): void {
    super.unpack(start, count);
    this.#twin.unpack(start, count);
  }

  override update(count: I32): void {
    super.update(count);
    this.#copyState();
  }

  #copyState(): void {
    const copy = transposeFunction(this.module, this.spec);
    this.f.call(copy, this.scratch.state, this.#twin.scratch.state);
  }
}

type I = typeof i32;

/** A function `(from, to)` that transposes a state in panels. */
function transposeFunction(
  module: ModuleBuilder,
  { keySize, valueSize }: ChunkSizes,
): ReturnType<typeof procedure<readonly [I, I]>> {
  const key = `linear-attention/transpose ${keySize}x${valueSize}`;
  const blockBytes = panelColumns * panelRowBytes;
  return procedure(module, key, [i32, i32], (f, from, to) => {
    const [row, panel, source] = [f.local(i32), f.local(i32), f.local(i32)];
    const [start, target] = [f.local(i32), f.local(i32)];
    // Eight rows of a panel become eight rows of another. Where a size is not a multiple of eight,
    // rows that are none are written over by the next panel, in this order.
    f.for(row, 0, Math.ceil(keySize / 8), 1, () => {
      f.set<I32>(source, from.add(row.multiply(blockBytes)));
      f.set<I32>(start, to.add(row.multiply(valueSize * panelRowBytes)));
      f.set<I32>(target, start);
      f.for(panel, 0, Math.ceil(valueSize / 8), 1, () => {
        transposeEight(f, source, target);
        f.increment(source, keySize * panelRowBytes);
        f.increment(target, blockBytes);
      });
    });
  });
}

/** Transposes eight rows of eight numbers. */
function transposeEight(f: FunctionBuilder, from: I32, to: I32): void {
  for (const rows of [0, 4]) {
    for (const columns of [0, 4]) {
      const vectors = [0, 1, 2, 3].map((i) =>
        f.let<V128>(v128.load(from, (rows + i) * panelRowBytes + columns * 4)),
      );
      transposed(f, vectors).forEach((vector, i) => {
        f.storeV128(to, vector, (columns + i) * panelRowBytes + rows * 4);
      });
    }
  }
}
