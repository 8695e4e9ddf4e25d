/**
 * Kernels over lanes: the elements along one axis (or several neighbouring ones), each lane by
 * itself. Lanes that are rows are swept one by one, lanes that are columns sixteen at a time.
 */

import { sizeOf, type Shape } from "../../../tensor/shape.js";
import { i32, type I32, kernelSignature } from "../../assembler/index.js";
import type { KernelCode, Launch, LaunchArgument } from "../../launch.js";
import type { MathContext } from "../../math/index.js";
import { addressOfBuffer, floatArgument, integerArgument } from "../arguments.js";
import { columnSweep, rowSweep, type Sweep } from "./sweep.js";

/** Pointers to where the operands of a lane begin; those that were left out are missing. */
export type Pointers<Required extends string, Optional extends string = never> = Readonly<
  Record<Required, I32> & Partial<Record<Optional, I32>>
>;

/** What is done to every lane. */
export interface LaneProgram<Required extends string, Optional extends string = never> {
  /** Identity of the code, together with the operands that are there. */
  readonly name: string;
  /** Vectors held at a time along a row. */
  readonly parts: number;
  /** Floating-point operations an element. */
  readonly work: number;
  /** Writes the code for one lane. */
  readonly emit: (c: MathContext, sweep: Sweep, pointers: Pointers<Required, Optional>) => void;
}

/** Plan memory of 32-bit elements: an operand is read, a buffer (its number) is written. */
export type Place = { readonly buffer: number; readonly offset: number } | number;

type Places = Readonly<Record<string, Place | null>>;

/** What a lane program works on, by name and by how it goes from lane to lane. `null`: not there. */
export interface LaneOperands {
  /** An element for every element. */
  readonly elements: Places;
  /** One element a lane. */
  readonly single?: Places;
  /** The same for all lanes. Rows only, as are the following. */
  readonly shared?: Places;
  /** A row for each block of rows, all 0 at first; to be added to. */
  readonly sums?: Places;
  /** Numbers; their pointers point at the argument words themselves. */
  readonly floats?: Readonly<Record<string, number | null>>;
  /** The same for integers. */
  readonly integers?: Readonly<Record<string, number>>;
}

/** Lanes of a dense array: element (o, i, n) stands at `(o · size + i) · inner + n`. */
export interface Lanes3 {
  readonly outer: number;
  readonly size: number;
  readonly inner: number;
}

/** The lanes along neighbouring axes, or `null` where the axes are no neighbours. */
export function lanesAlong(shape: Shape, axes: readonly number[]): Lanes3 | null {
  const first = axes[0] ?? shape.length;
  const end = first + axes.length;
  if (axes.some((axis, i) => axis !== first + i)) return null;
  return {
    outer: sizeOf(shape.slice(0, first)),
    size: sizeOf(shape.slice(first, end)),
    inner: sizeOf(shape.slice(end)),
  };
}

const blockColumns = 16;
// Operations that take a thread some ten microseconds.
const blockWork = 160_000;

type Group = keyof LaneOperands;
type Operands = readonly (readonly [name: string, group: Group, value: Place | number])[];

// Pointers advanced to a lane, by how many bytes each group goes.
type At = (distances: Partial<Record<Group, I32>>) => Record<string, I32>;

// Blocks of rows: `sizes` are the size of a row, the number of rows, and of rows a block.
function emitRows(
  c: MathContext,
  { parts, emit }: LaneProgram<string>,
  [size, rows, blockRows]: readonly I32[],
  block: I32,
  operands: Operands,
  at: At,
): void {
  const { f } = c;
  const bytes = f.let(size!.shiftLeft(2));
  const sums = f.let(block.multiply(bytes));
  const starts = at({ sums });
  for (const [name, group] of operands) {
    if (group === "sums") f.memoryFill(starts[name]!, 0, bytes);
  }
  const first = f.let(block.multiply(blockRows!));
  const end = f.let(first.add(blockRows!));
  const row = f.local(i32);
  f.for(row, first, f.let(end.minimum(rows!)), 1, () => {
    const elements = f.let(row.multiply(bytes));
    emit(c, rowSweep(f, size!, parts), at({ elements, single: row.shiftLeft(2), sums }));
  });
}

// Blocks of columns: `sizes` are the number of rows, of columns, and of blocks side by side.
function emitColumns(
  c: MathContext,
  { emit }: LaneProgram<string>,
  [size, inner, blocks]: readonly I32[],
  block: I32,
  at: At,
): void {
  const { f } = c;
  const stride = f.let(inner!.shiftLeft(2));
  const outer = f.let(block.divideUnsigned(blocks!));
  const column = f.let(block.remainderUnsigned(blocks!).multiply(blockColumns));
  const left = f.let(inner!.subtract(column));
  f.set(left, left.minimum(blockColumns));
  const sweep = (columns: number): void => {
    const here = outer.multiply(inner!);
    const single = f.let(here.add(column).shiftLeft(2));
    const elements = f.let(here.multiply(size!).add(column).shiftLeft(2));
    const lanes = columnSweep(f, size!, stride, Math.ceil(columns / 4), columns === 1);
    emit(c, lanes, at({ elements, single }));
    f.increment(column, columns);
    f.increment(left, -columns);
  };
  f.if(
    left.equal(blockColumns),
    () => {
      sweep(blockColumns);
    },
    () => {
      f.while(left.greaterEqual(4), () => {
        sweep(4);
      });
      f.while(left, () => {
        sweep(1);
      });
    },
  );
}

function codeOf(program: LaneProgram<string>, operands: Operands, isRow: boolean): KernelCode {
  const names = operands.map(([name]) => name).join();
  const key = `lanes/${program.name}/${names}/${isRow ? "rows" : "columns"}`;
  return {
    key,
    emit: (module) => {
      module.function(key, kernelSignature, (f, address, begin, end) => {
        const wordAt = (i: number): I32 => f.let(i32.load(address, 4 * i));
        const bases = operands.map(([, group], i) =>
          group === "floats" || group === "integers" ? address.add(4 * i) : wordAt(i),
        );
        const sizes = [0, 1, 2].map((i) => wordAt(operands.length + i));
        const at: At = (distances) =>
          Object.fromEntries(
            operands.map(([name, group], i) => {
              const distance = distances[group];
              return [name, distance ? f.let(bases[i]!.add(distance)) : bases[i]!];
            }),
          );
        const block = f.local(i32);
        f.for(block, begin, end, 1, () => {
          if (isRow) emitRows({ module, f }, program, sizes, block, operands, at);
          else emitColumns({ module, f }, program, sizes, block, at);
        });
      });
    },
  };
}

function wordOf(group: Group, value: Place): LaunchArgument {
  if (group === "floats") return floatArgument(value as number);
  if (group === "integers") return integerArgument(value as number);
  const { buffer, offset } = typeof value === "number" ? { buffer: value, offset: 0 } : value;
  return addressOfBuffer(buffer, 4 * offset);
}

/** The launch of a lane program; `rowsAtATime` is for those that sum over blocks of rows. */
export function laneLaunch<Required extends string, Optional extends string>(
  name: string,
  program: LaneProgram<Required, Optional>,
  { outer, size, inner }: Lanes3,
  groups: LaneOperands,
  rowsAtATime?: number,
): Launch {
  const operands: Operands = Object.entries(groups).flatMap(([group, values]) =>
    Object.entries(values as Places).flatMap(([own, value]) =>
      value === null ? [] : [[own, group as Group, value] as const],
    ),
  );
  const memory = operands.filter(([, group]) => group !== "floats" && group !== "integers");
  const isRow = inner === 1;
  const laneWork = Math.max(1, size * program.work);
  const blockRows = rowsAtATime ?? Math.max(1, Math.floor(blockWork / laneWork));
  const blocks = Math.ceil(inner / blockColumns);
  const columnWork = laneWork * Math.min(inner, blockColumns);
  return {
    name,
    code: codeOf(program, operands, isRow),
    arguments: [
      ...operands.map(([, group, value]) => wordOf(group, value)),
      ...(isRow ? [size, outer, blockRows] : [size, inner, blocks]).map(integerArgument),
    ],
    items: isRow ? Math.ceil(outer / blockRows) : outer * blocks,
    grain: isRow ? 1 : Math.max(1, Math.floor(blockWork / columnWork)),
    scratchBytes: 0,
    reads: memory.flatMap(([, , place]) => (typeof place === "number" ? [] : [place.buffer])),
    writes: memory.flatMap(([, , place]) => (typeof place === "number" ? [place] : [])),
    work: outer * size * inner * program.work,
  };
}
