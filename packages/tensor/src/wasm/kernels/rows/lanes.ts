/**
 * Kernels over lanes: the elements along one axis (or several neighbouring ones), each lane by
 * itself. Lanes that are rows are swept one by one, lanes that are columns sixteen at a time.
 */

import { sizeOf, type Shape } from "../../../tensor/shape.js";
import { type FunctionBuilder, i32, type I32, kernelSignature } from "../../assembler/index.js";
import type { KernelCode, Launch } from "../../launch.js";
import type { MathContext } from "../../math/index.js";
import { addressOfBuffer, argumentWords, readArguments } from "../arguments.js";
import { columnSweep, rowSweep, type Sweep } from "./sweep.js";

/** What is done to every lane. */
export interface LaneProgram {
  /** Identity of the code. */
  readonly name: string;
  /** Vectors held at a time along a row. */
  readonly parts: number;
  /** Writes the code: pointers to the first element of each array, and to each result a lane. */
  readonly emit: (
    c: MathContext,
    sweep: Sweep,
    elements: readonly I32[],
    results: readonly I32[],
  ) => void;
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

// Words behind the pointers.
const rowWords = ["size"] as const;
const columnWords = ["size", "inner", "blocks"] as const;

const blockColumns = 16;
// Operations that take a thread some ten microseconds.
const grainWork = 160_000;

function rowCode(program: LaneProgram, elements: number, results: number): KernelCode {
  const key = `lanes/${program.name}/rows`;
  return {
    key,
    emit: (module) => {
      module.function(key, kernelSignature, (f, address, begin, end) => {
        const read = pointerReader(f, address);
        const arrays = read(0, elements);
        const targets = read(elements, results);
        const { size } = readArguments(f, address.add(4 * (elements + results)), rowWords);
        const item = f.local(i32);
        f.for(item, begin, end, 1, () => {
          const offset = f.let(item.multiply(size).shiftLeft(2));
          program.emit(
            { module, f },
            rowSweep(f, size, program.parts),
            arrays.map((base) => f.let(base.add(offset))),
            targets.map((base) => f.let(base.add(item.shiftLeft(2)))),
          );
        });
      });
    },
  };
}

function columnCode(program: LaneProgram, elements: number, results: number): KernelCode {
  const key = `lanes/${program.name}/columns`;
  return {
    key,
    emit: (module) => {
      module.function(key, kernelSignature, (f, address, begin, end) => {
        const read = pointerReader(f, address);
        const arrays = read(0, elements);
        const targets = read(elements, results);
        const words = address.add(4 * (elements + results));
        const { size, inner, blocks } = readArguments(f, words, columnWords);
        const stride = f.let(inner.shiftLeft(2));
        const item = f.local(i32);
        f.for(item, begin, end, 1, () => {
          const outer = f.let(item.divideUnsigned(blocks));
          const column = f.let(item.subtract(outer.multiply(blocks)).multiply(blockColumns));
          const left = f.let(inner.subtract(column));
          f.set(left, left.minimum(blockColumns));
          const pointers = (bases: readonly I32[], lanes: I32): ReturnType<typeof f.let<I32>>[] =>
            bases.map((base) => f.let(base.add(lanes.add(column).shiftLeft(2))));
          const at = pointers(arrays, f.let(outer.multiply(size).multiply(inner)));
          const to = pointers(targets, f.let(outer.multiply(inner)));
          const sweep = (columns: number, parts: number): void => {
            const single = columns === 1;
            program.emit({ module, f }, columnSweep(f, size, stride, parts, single), at, to);
            for (const pointer of [...at, ...to]) f.increment(pointer, 4 * columns);
            f.increment(left, -columns);
          };
          f.if(
            left.equal(blockColumns),
            () => {
              sweep(blockColumns, 4);
            },
            () => {
              f.while(left.greaterEqual(4), () => {
                sweep(4, 1);
              });
              f.while(left, () => {
                sweep(1, 1);
              });
            },
          );
        });
      });
    },
  };
}

function pointerReader(f: FunctionBuilder, address: I32): (from: number, count: number) => I32[] {
  return (from, count) =>
    Array.from({ length: count }, (_, i) => f.let(i32.load(address, 4 * (from + i))));
}

/** What a lane program is run on. */
export interface LaneRun {
  readonly name: string;
  readonly program: LaneProgram;
  readonly lanes: Lanes3;
  /** Plan buffers (dense float32) read and written element by element, in the order of the program. */
  readonly reads: readonly { readonly buffer: number; readonly offset: number }[];
  readonly writes: readonly number[];
  /** Plan buffers that take one result a lane. */
  readonly results: readonly number[];
  /** Floating-point operations an element. */
  readonly work: number;
}

/** The launch of a lane program. */
export function laneLaunch(run: LaneRun): Launch {
  const { program, lanes, reads, writes, results } = run;
  const { outer, size, inner } = lanes;
  const elements = reads.length + writes.length;
  const pointers = [
    ...reads.map(({ buffer, offset }) => addressOfBuffer(buffer, offset * 4)),
    ...[...writes, ...results].map((buffer) => addressOfBuffer(buffer)),
  ];
  const isRow = inner === 1;
  const blocks = Math.ceil(inner / blockColumns);
  const words = isRow
    ? argumentWords(rowWords, { size })
    : argumentWords(columnWords, { size, inner, blocks });
  const itemWork = size * Math.min(inner, blockColumns) * run.work;
  return {
    name: run.name,
    code: (isRow ? rowCode : columnCode)(program, elements, results.length),
    arguments: [...pointers, ...words],
    items: outer * (isRow ? 1 : blocks),
    grain: Math.max(1, Math.floor(grainWork / Math.max(itemWork, 1))),
    scratchBytes: 0,
    reads: reads.map(({ buffer }) => buffer),
    writes: [...writes, ...results],
    work: outer * size * inner * run.work,
  };
}
