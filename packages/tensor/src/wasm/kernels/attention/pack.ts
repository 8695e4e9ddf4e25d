/**
 * Copies between strided tensors and the layouts that tiles work on.
 *
 * - rows: matrix rows one after the other, for what is read number by number (left matrices)
 * - panels: eight columns side by side, all rows of one panel before the next panel, padded with
 *   zeros to whole panels, for what is read vector by vector (right matrices)
 * - column panels: the same of the transposed matrix
 *
 * Each tensor is read once here and then many times from scratch memory, whatever its strides.
 * Functions are added to a module at their first use.
 */

import {
  f32,
  f32x4,
  type FunctionBuilder,
  type FunctionReference,
  i32,
  type I32,
  i32x4,
  type Local,
  type ModuleBuilder,
  v128,
  type V128,
  type ValueType,
} from "../../assembler/index.js";
import type { Parameters } from "../../assembler/function.js";
import { panelColumns, panelRowBytes } from "./register-tile.js";

type I = typeof i32;
type F = typeof f32;

/** `n` rounded up to a multiple of `step`. */
export function roundUp(n: number, step: number): number {
  return Math.ceil(n / step) * step;
}

/** `n` rounded up to a multiple of a power of two. */
export function roundUpI32(n: I32, step: number): I32 {
  return n.add(step - 1).and(-step);
}

/** A function of the module without result that is not exported; made at its first use. */
export function procedure<const P extends readonly ValueType[]>(
  module: ModuleBuilder,
  key: string,
  parameters: P,
  body: (f: FunctionBuilder, ...parameters: Parameters<P>) => void,
): FunctionReference<P, null> {
  const known = module.get(key);
  if (known !== undefined) return known as unknown as FunctionReference<P, null>;
  return module.function<P, null>(key, { parameters, result: null }, body, { export: false });
}

/** The first `lanes` numbers at an address, zeros above; reads nothing beyond them. */
export function loadPartial(address: I32, offset: number, lanes: number): V128 {
  if (lanes === 1) return v128.load32Zero(address, offset);
  if (lanes === 4) return v128.load(address, offset);
  const low = v128.load64Zero(address, offset);
  return lanes === 2 ? low : v128.load32Lane(address, low, 2, offset + 8);
}

/** Stores the first `lanes` numbers. */
export function storePartial(
  f: FunctionBuilder,
  address: I32,
  value: Local<V128>,
  lanes: number,
  offset: number,
): void {
  if (lanes === 4) f.storeV128(address, value, offset);
  else if (lanes === 1) f.storeLane(32, address, value, 0, offset);
  else {
    f.storeLane(64, address, value, 0, offset);
    if (lanes === 3) f.storeLane(32, address, value, 2, offset + 8);
  }
}

interface RowCopy {
  /** Numbers in a row. */
  readonly size: number;
  /** Bytes from eight numbers of the source to the next eight. */
  readonly sourceStep: number;
  /** The same for the destination. */
  readonly destinationStep: number;
  /** Whether the destination has room up to a multiple of eight, to be filled with zeros. */
  readonly pad: boolean;
  readonly change: (vector: V128) => V128;
}

/** Copies one row of a size known when code is made. */
function copyRow(f: FunctionBuilder, from: I32, to: I32, copy: RowCopy): void {
  const { size, sourceStep, destinationStep, pad, change } = copy;
  const kept = f.local(v128);
  const blocks = Math.floor(size / panelColumns);
  const block = (source: I32, sourceOffset: number, target: I32, targetOffset: number): void => {
    for (const offset of [0, 16]) {
      f.storeV128(target, change(v128.load(source, sourceOffset + offset)), targetOffset + offset);
    }
  };
  let [source, sourceOffset] = [from, blocks * sourceStep];
  let [target, targetOffset] = [to, blocks * destinationStep];
  if (blocks <= 8) {
    for (let i = 0; i < blocks; i++) block(from, i * sourceStep, to, i * destinationStep);
  } else {
    const [fromAt, toAt] = [f.let(from), f.let(to)];
    const end = f.let(fromAt.add(blocks * sourceStep));
    f.doWhile(() => {
      block(fromAt, 0, toAt, 0);
      f.increment(fromAt, sourceStep);
      f.increment(toAt, destinationStep);
    }, fromAt.notEqual(end));
    [source, sourceOffset, target, targetOffset] = [fromAt, 0, toAt, 0];
  }
  const rest = size % panelColumns;
  if (rest === 0) return;
  for (const start of [0, 4]) {
    const lanes = Math.min(Math.max(rest - start, 0), 4);
    const offset = start * 4;
    const value =
      lanes > 0 ? change(loadPartial(source, sourceOffset + offset, lanes)) : v128.zero();
    if (pad) f.storeV128(target, value, targetOffset + offset);
    else if (lanes > 0) {
      f.set<V128>(kept, value);
      storePartial(f, target, kept, lanes, targetOffset + offset);
    }
  }
}

/** The address of row `row`, which `order` renames if there is one. */
function rowAddress(base: I32, stride: I32, row: I32, order: I32, gather: boolean): I32 {
  const number = gather ? i32.load(order.add(row.shiftLeft(2))) : row;
  return base.add(number.multiply(stride));
}

type PackParameters = readonly [I, I, I, I, F, I];

const packParameters: PackParameters = [i32, i32, i32, i32, f32, i32];

/** `(source, stride, count, order, scale, destination)`; strides in bytes. */
export type PackFunction = FunctionReference<PackParameters, null>;

/** How rows are found and what is made of them. */
export interface PackSpec {
  /** Numbers in a row. */
  readonly size: number;
  /** Whether row numbers go through the list `order`. */
  readonly gather: boolean;
}

const name = ({ size, gather }: PackSpec): string => `${size}${gather ? " gathered" : ""}`;

/**
 * Packs rows, `rowBytes` apart (by default one right after the other), times `scale`; zeros follow up
 * to a multiple of `multiple` rows.
 */
export function packRows(
  module: ModuleBuilder,
  spec: PackSpec & { readonly multiple: number; readonly rowBytes?: number },
): PackFunction {
  const { size, gather, multiple, rowBytes = size * 4 } = spec;
  const key = `attention/pack rows ${name(spec)} to ${multiple} by ${rowBytes}`;
  return procedure(
    module,
    key,
    packParameters,
    (f, source, stride, count, order, scale, destination) => {
      const factor = f.let(f32x4.splat(scale));
      const [row, from, to] = [f.local(i32), f.local(i32), f.let(destination)];
      const change = (vector: V128): V128 => f32x4.multiply(vector, factor);
      f.for(row, 0, count, 1, () => {
        f.set<I32>(from, rowAddress(source, stride, row, order, gather));
        copyRow(f, from, to, {
          size,
          sourceStep: panelRowBytes,
          destinationStep: panelRowBytes,
          pad: false,
          change,
        });
        f.increment(to, rowBytes);
      });
      const rest = count
        .add(multiple - 1)
        .divideUnsigned(multiple)
        .multiply(multiple);
      const zeros = f.let(rest.subtract(count).multiply(rowBytes));
      f.if(zeros, () => {
        f.memoryFill(to, 0, zeros);
      });
    },
  );
}

/**
 * Packs panels of `capacity` rows, times `scale`; rows of zeros follow up to a multiple of `multiple`
 * (a power of two) rows.
 */
export function packPanels(
  module: ModuleBuilder,
  spec: PackSpec & { readonly capacity: number; readonly multiple: number },
): PackFunction {
  const { size, gather, capacity, multiple } = spec;
  const key = `attention/pack panels ${name(spec)} of ${capacity} to ${multiple}`;
  return procedure(
    module,
    key,
    packParameters,
    (f, source, stride, count, order, scale, destination) => {
      const factor = f.let(f32x4.splat(scale));
      const [row, from, to] = [f.local(i32), f.local(i32), f.let(destination)];
      f.for(row, 0, count, 1, () => {
        f.set<I32>(from, rowAddress(source, stride, row, order, gather));
        copyRow(f, from, to, {
          size,
          sourceStep: panelRowBytes,
          destinationStep: capacity * panelRowBytes,
          pad: true,
          change: (vector) => f32x4.multiply(vector, factor),
        });
        f.increment(to, panelRowBytes);
      });
      const rest = f.let(roundUpI32(count, multiple).subtract(count).multiply(panelRowBytes));
      const end = f.let(to.add(Math.ceil(size / panelColumns) * capacity * panelRowBytes));
      f.if(rest, () => {
        f.forAddress(to, to, end, capacity * panelRowBytes, () => {
          f.memoryFill(to, 0, rest);
        });
      });
    },
  );
}

type PackColumnsParameters = readonly [I, I, I, I, F, I, I];

const packColumnsParameters: PackColumnsParameters = [i32, i32, i32, i32, f32, i32, i32];

/** `(source, stride, count, order, scale, destination, zeros)`; `zeros` is a row of zeros. */
export type PackColumnsFunction = FunctionReference<PackColumnsParameters, null>;

/**
 * Packs the transposed matrix: panels of eight source rows, each with one row a source column. The
 * last panel is filled up with zeros.
 */
export function packColumns(module: ModuleBuilder, spec: PackSpec): PackColumnsFunction {
  const { size, gather } = spec;
  const key = `attention/pack columns ${name(spec)}`;
  return procedure(
    module,
    key,
    packColumnsParameters,
    (f, source, stride, count, order, scale, destination, zeros) => {
      const factor = f.let(f32x4.splat(scale));
      const rows = f.localArray(i32, 4);
      const [row, at, to] = [f.local(i32), f.local(i32), f.local(i32)];
      const end = f.let(roundUpI32(count, 8));
      f.for(row, 0, end, 4, () => {
        rows.forEach((address, i) => {
          // Rows beyond the last are read from the row of zeros.
          f.set<I32>(address, zeros);
          f.if(row.add(i).less(count), () => {
            f.set<I32>(address, rowAddress(source, stride, row.add(i), order, gather));
          });
        });
        const panel = row.and(-8).multiply((size * panelRowBytes) / 8);
        f.set<I32>(to, destination.add(panel).add(row.and(4).shiftLeft(2)));
        const fours = Math.floor(size / 4);
        if (fours > 0) {
          f.set<I32>(at, i32.const(fours));
          f.doWhile(
            () => {
              transposeFour(f, rows, to, factor);
              for (const address of rows) f.increment(address, 16);
              f.increment(to, 4 * panelRowBytes);
            },
            at.tee(at.subtract(1)),
          );
        }
        for (let i = 0; i < size % 4; i++) {
          const [first, ...others] = rows;
          const column = others.reduce(
            (vector, address, lane) => v128.load32Lane(address, vector, lane + 1, i * 4),
            v128.load32Zero(first!, i * 4),
          );
          f.storeV128(to, f32x4.multiply(column, factor), i * panelRowBytes);
        }
      });
    },
  );
}

/** Four numbers of each of four rows, transposed, to four rows of a panel. */
function transposeFour(
  f: FunctionBuilder,
  rows: readonly I32[],
  to: I32,
  factor: Local<V128>,
): void {
  const vectors = rows.map((address) => f.let<V128>(v128.load(address)));
  transposed(f, vectors).forEach((column, i) => {
    f.storeV128(to, f32x4.multiply(column, factor), i * panelRowBytes);
  });
}

/** The transpose of four vectors. */
export function transposed(f: FunctionBuilder, rows: readonly V128[]): V128[] {
  const [a, b, c, d] = rows as [V128, V128, V128, V128];
  const lowAB = f.let(i32x4.shuffle(a, b, [0, 4, 1, 5]));
  const highAB = f.let(i32x4.shuffle(a, b, [2, 6, 3, 7]));
  const lowCD = f.let(i32x4.shuffle(c, d, [0, 4, 1, 5]));
  const highCD = f.let(i32x4.shuffle(c, d, [2, 6, 3, 7]));
  return [
    i32x4.shuffle(lowAB, lowCD, [0, 1, 4, 5]),
    i32x4.shuffle(lowAB, lowCD, [2, 3, 6, 7]),
    i32x4.shuffle(highAB, highCD, [0, 1, 4, 5]),
    i32x4.shuffle(highAB, highCD, [2, 3, 6, 7]),
  ];
}

type UnpackParameters = readonly [I, I, I, I, I];

const unpackParameters: UnpackParameters = [i32, i32, i32, i32, i32];

/** `(source, count, order, destination, stride)`. */
export type UnpackFunction = FunctionReference<UnpackParameters, null>;

/**
 * Copies rows of scratch memory to rows of a tensor. There they are `rowBytes` apart, and the next
 * eight numbers of a row follow after `panelBytes`.
 */
export function unpackRows(
  module: ModuleBuilder,
  spec: PackSpec & { readonly rowBytes: number; readonly panelBytes: number },
): UnpackFunction {
  const { size, gather, rowBytes, panelBytes } = spec;
  const key = `attention/unpack rows ${name(spec)} from ${rowBytes} ${panelBytes}`;
  return procedure(
    module,
    key,
    unpackParameters,
    (f, source, count, order, destination, stride) => {
      const [row, from, to] = [f.local(i32), f.let(source), f.local(i32)];
      f.for(row, 0, count, 1, () => {
        f.set<I32>(to, rowAddress(destination, stride, row, order, gather));
        copyRow(f, from, to, {
          size,
          sourceStep: panelBytes,
          destinationStep: panelRowBytes,
          pad: false,
          change: (vector) => vector,
        });
        f.increment(from, rowBytes);
      });
    },
  );
}
