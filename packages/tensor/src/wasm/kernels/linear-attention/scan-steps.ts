/** The steps that scans are made of, as code of one function. */

import {
  type F32,
  f32,
  type FunctionBuilder,
  i32,
  type I32,
  type Local,
  type ModuleBuilder,
} from "../../assembler/index.js";
import { packColumns, packPanels, packRows, unpackRows } from "../attention/pack.js";
import { panelColumns, panelRowBytes, tileRows } from "../attention/register-tile.js";
import {
  outputFunction,
  outputRowBytes,
  scoresFunction,
  updateFunction,
  type Visibility,
} from "./products.js";
import { scanArguments, type ScanSpec, scratchLayout, type ScratchPart } from "./scan-spec.js";

/** The name of an argument word. */
export type ScanWord = (typeof scanArguments)[number];

/** Writes the steps of a scan, for the head that `begin` has chosen. */
export class ScanSteps {
  /** The module of the function. */
  readonly module: ModuleBuilder;
  /** The function that is written. */
  readonly f: FunctionBuilder;
  /** The scan. */
  readonly spec: ScanSpec;
  readonly #args: I32;
  /** Addresses of the matrices in scratch memory. */
  readonly scratch: Readonly<Record<ScratchPart, Local<I32>>>;
  /** Whether columns are taken from the first to the last. */
  readonly isForward: boolean;
  /** The query head within the group. */
  readonly group: Local<I32>;
  // Addresses of the item's head.
  readonly #rows: Local<I32>;
  readonly #keys: Local<I32>;
  readonly #values: Local<I32>;
  readonly #output: Local<I32>;
  readonly #finalState: Local<I32>;
  readonly #outputStride: Local<I32>;

  /** With `beside`: a scan that takes the same columns at the same time. */
  constructor(
    module: ModuleBuilder,
    f: FunctionBuilder,
    spec: ScanSpec,
    args: I32,
    scratch: I32,
    beside: ScanSteps | null = null,
  ) {
    this.module = module;
    this.f = f;
    this.spec = spec;
    this.#args = args;
    this.isForward = spec.direction === "forward";
    const layout = scratchLayout(spec);
    const at = (part: ScratchPart): Local<I32> => f.let<I32>(scratch.add(layout[part]));
    this.scratch = {
      columns: at("columns"),
      values: at("values"),
      rows: at("rows"),
      scores: at("scores"),
      state: at("state"),
      output: at("output"),
      zeros: at("zeros"),
      list: beside?.scratch.list ?? at("list"),
    };
    this.group = beside?.group ?? f.local(i32);
    this.#rows = f.local(i32);
    this.#keys = f.local(i32);
    this.#values = f.local(i32);
    this.#output = f.local(i32);
    this.#finalState = f.local(i32);
    this.#outputStride = f.let(this.word("outputSize").shiftLeft(2));
  }

  word(name: ScanWord): I32 {
    return i32.load(this.#args, scanArguments.indexOf(name) * 4);
  }

  /** Turns to one work item: finds its head and block, and loads its state. */
  begin(item: I32): void {
    const f = this.f;
    const { valueSize, keySize } = this.spec;
    f.memoryFill(this.scratch.zeros, 0, keySize * 4);
    const blocks = f.let(this.word("blocks"));
    const block = f.let(item.remainderUnsigned(blocks));
    const head = f.let(item.divideUnsigned(blocks));
    const keyHeads = f.let(this.word("keyHeads"));
    const batch = f.let(head.divideUnsigned(keyHeads));
    const headOf = (name: "row" | "key" | "value", grouped: boolean): I32 => {
      const number = head.subtract(batch.multiply(keyHeads));
      const first = grouped ? number.multiply(this.word("group")) : number;
      return batch
        .multiply(this.word(`${name}Batch`))
        .add(first.multiply(this.word(`${name}Head`)));
    };
    const offset = f.let(block.multiply(valueSize * 4));
    f.set<I32>(this.#rows, this.word("rows").add(headOf("row", this.isForward)));
    f.set<I32>(this.#keys, this.word("keys").add(headOf("key", !this.isForward)));
    f.set<I32>(this.#values, this.word("values").add(headOf("value", !this.isForward)).add(offset));
    const rowHeads = this.isForward ? head.multiply(this.word("group")) : head;
    const rowsBefore = rowHeads.multiply(this.word("rowCount"));
    f.set<I32>(
      this.#output,
      this.word("output").add(rowsBefore.multiply(this.#outputStride)).add(offset),
    );
    const statesBefore = head.multiply(keySize).multiply(this.#outputStride);
    f.set<I32>(this.#finalState, this.word("finalState").add(statesBefore).add(offset));
    this.#loadState(head, batch, keyHeads, block);
  }

  /** Ends the work item: stores its state where that is an output. */
  end(): void {
    const { keySize, valueSize, finalState } = this.spec;
    if (!finalState) return;
    const unpack = unpackRows(this.module, {
      size: valueSize,
      gather: false,
      rowBytes: panelRowBytes,
      panelBytes: keySize * panelRowBytes,
    });
    const [from, to, stride] = [this.scratch.state, this.#finalState, this.#outputStride];
    this.f.call(unpack, from, i32.const(keySize), i32.const(0), to, stride);
  }

  #loadState(head: I32, batch: I32, keyHeads: I32, block: I32): void {
    const f = this.f;
    const { state, keySize, valueSize } = this.spec;
    if (state === null) {
      f.memoryFill(this.scratch.state, 0, keySize * outputRowBytes(this.spec));
      return;
    }
    const from = this.word("state")
      .add(batch.multiply(this.word("stateBatch")))
      .add(head.subtract(batch.multiply(keyHeads)).multiply(this.word("stateHead")))
      .add(block.multiply(this.word("stateBlock")));
    const stride = this.word("stateStride");
    const [none, one] = [i32.const(0), f32.const(1)];
    const to = this.scratch.state;
    if (state === "rows") {
      const spec = { size: valueSize, gather: false, capacity: keySize, multiple: 1 };
      f.call(packPanels(this.module, spec), from, stride, i32.const(keySize), none, one, to);
    } else {
      const pack = packColumns(this.module, { size: keySize, gather: false });
      f.call(pack, from, stride, i32.const(valueSize), none, one, to, this.scratch.zeros);
    }
  }

  /** `body(at, count)` for pieces of at most the capacity, from `from` up to `to`. */
  pieces(from: I32, to: I32, body: (at: Local<I32>, count: Local<I32>) => void): void {
    const f = this.f;
    const [at, end] = [f.local(i32), f.let(to)];
    f.for(at, from, end, this.spec.capacity, () => {
      body(at, this.#piece(at, end));
    });
  }

  /** The same from the last piece down to 0. */
  piecesDown(to: I32, body: (at: Local<I32>, count: Local<I32>) => void): void {
    const f = this.f;
    const { capacity } = this.spec;
    const [at, end] = [f.local(i32), f.let(to)];
    const last = end.subtract(1).divide(capacity).multiply(capacity);
    f.if(end.greater(0), () => {
      f.for(at, last, -1, -capacity, () => {
        body(at, this.#piece(at, end));
      });
    });
  }

  #piece(at: I32, end: I32): Local<I32> {
    const rest = this.f.let(end.subtract(at));
    return this.f.let(rest.minimum(this.spec.capacity));
  }

  forGroup(body: () => void): void {
    const f = this.f;
    if (this.spec.grouped) f.for(this.group, 0, this.word("group"), 1, body);
    else body();
  }

  /** Offset of the current head of the group. */
  #groupOffset(name: "rowHead" | "keyHead" | "valueHead"): I32 {
    return this.spec.grouped ? this.group.multiply(this.word(name)) : i32.const(0);
  }

  packRows(start: I32, count: I32): void {
    const f = this.f;
    const { mode, keySize } = this.spec;
    const gather = this.isForward && mode === "mask";
    const pack = packRows(this.module, { size: keySize, gather, multiple: tileRows });
    const stride = this.word("rowStride");
    const head = this.isForward ? this.#rows.add(this.#groupOffset("rowHead")) : this.#rows;
    const scale = this.#scale("rows");
    const { from, order } = this.#place(head, stride, start, gather);
    f.call(pack, from, stride, count, order, scale, this.scratch.rows);
  }

  packColumns(start: I32, count: I32): void {
    const f = this.f;
    const { mode, keySize, valueSize, capacity } = this.spec;
    const { columns, values, zeros } = this.scratch;
    const gather = !this.isForward && mode === "mask";
    const packKeys = packColumns(this.module, { size: keySize, gather });
    const packValues = packPanels(this.module, {
      size: valueSize,
      gather,
      capacity,
      multiple: panelColumns,
    });
    const place = (name: "key" | "value"): { from: I32; order: I32; stride: I32 } => {
      const base = name === "key" ? this.#keys : this.#values;
      const head = this.isForward ? base : base.add(this.#groupOffset(`${name}Head`));
      const stride = this.word(`${name}Stride`);
      return { ...this.#place(head, stride, start, gather), stride };
    };
    const [key, value] = [place("key"), place("value")];
    const scales = { key: this.#scale("keys"), value: this.#scale("values") };
    f.call(packKeys, key.from, key.stride, count, key.order, scales.key, columns, zeros);
    f.call(packValues, value.from, value.stride, count, value.order, scales.value, values);
  }

  #scale(matrix: ScanSpec["scaled"]): F32 {
    if (this.spec.scaled !== matrix) return f32.const(1);
    return f32.load(this.#args, scanArguments.indexOf("scale") * 4);
  }

  /** Where rows from number `start` are: at an address, or named by the list `order`. */
  #place(head: I32, stride: I32, start: I32, gather: boolean): { from: I32; order: I32 } {
    if (!gather) return { from: head.add(start.multiply(stride)), order: i32.const(0) };
    return { from: head, order: this.word("order").add(start.shiftLeft(2)) };
  }

  scores(visibility: Visibility, rowCount: I32, columnCount: I32): void {
    const { rows, columns, scores, list } = this.scratch;
    const target = scoresFunction(this.module, this.spec, visibility);
    this.f.call(target, rows, columns, scores, rowCount, columnCount, list);
  }

  compute(
    visibility: Visibility | null,
    state: boolean,
    rowCount: I32,
    columnCount: I32 = i32.const(0),
  ): void {
    const { rows, scores, values, state: store, output, list } = this.scratch;
    const target = outputFunction(this.module, this.spec, { visibility, state });
    this.f.call(target, rows, scores, values, store, output, rowCount, columnCount, list);
  }

  update(count: I32): void {
    const { columns, values, state } = this.scratch;
    this.f.call(updateFunction(this.module, this.spec), columns, values, state, count);
  }

  unpack(start: I32, count: I32): void {
    const f = this.f;
    const { mode, valueSize } = this.spec;
    const gather = this.isForward && mode === "mask";
    const unpack = unpackRows(this.module, {
      size: valueSize,
      gather,
      rowBytes: outputRowBytes(this.spec),
      panelBytes: panelRowBytes,
    });
    const stride = this.#outputStride;
    const heads = this.isForward && this.spec.grouped;
    const before = heads
      ? this.group.multiply(this.word("rowCount")).multiply(stride)
      : i32.const(0);
    const { from, order } = this.#place(this.#output.add(before), stride, start, gather);
    f.call(unpack, this.scratch.output, count, order, from, stride);
  }

  /** Rows that see nothing but the state. */
  stateRows(from: I32, to: I32): void {
    const each = this.isForward ? (body: () => void): void => this.forGroup(body) : null;
    this.pieces(from, to, (at, count) => {
      const body = (): void => {
        this.packRows(at, count);
        this.compute(null, true, count);
        this.unpack(at, count);
      };
      if (each) each(body);
      else body();
    });
  }

  /** Columns that are added to the state and seen by no row before that. */
  stateColumns(from: I32, to: I32): void {
    this.pieces(from, to, (at, count) => {
      const body = (): void => {
        this.packColumns(at, count);
        this.update(count);
      };
      if (this.isForward) body();
      else this.forGroup(body);
    });
  }

  /** The state's term is added with the first head of the group only. */
  computeFirst(visibility: Visibility, rowCount: I32, columnCount: I32, first?: I32): void {
    const f = this.f;
    const isFirst = this.spec.grouped
      ? first
        ? this.group.isZero().and(first)
        : this.group.isZero()
      : first;
    const both = (): void => this.compute(visibility, true, rowCount, columnCount);
    if (isFirst === undefined) both();
    else f.if(isFirst, both, () => this.compute(visibility, false, rowCount, columnCount));
  }
}
