/**
 * Copies of windows: blocks of memory at strided places to blocks at other strided places. What
 * concatenation, slices and updates at run-time positions, and updates of a part of a tensor need.
 */

import type { Operand } from "../../../plan/schedule.js";
import { bytesPerElement } from "../../../tensor/dtype.js";
import { stridesOf } from "../../../tensor/shape.js";
import {
  type FunctionBuilder,
  i32,
  type I32,
  kernelSignature,
  type Local,
  type ModuleBuilder,
} from "../../assembler/index.js";
import type { KernelCode, Launch, LaunchArgument } from "../../launch.js";
import {
  addressOfBuffer,
  argumentWords,
  endOfArguments,
  integerArgument,
  readArguments,
} from "../arguments.js";
import { collapseLoops, iterations, loopWords, offsetsAt, splitInnermost } from "../strided.js";
import { copyBlock } from "./block.js";

/** A position along an axis that is read at run time and limited to 0 … `limit`. */
export interface RuntimeStart {
  /** An int32 scalar. */
  readonly position: Operand;
  readonly limit: number;
  /** What moves by `stride` elements a step. */
  readonly moves: "target" | "source";
  readonly stride: number;
}

/** What `copyWindow` copies. */
export interface WindowCopy {
  readonly name: string;
  /** Where the elements come from; its shape is the shape of the window. */
  readonly source: Operand;
  /** The buffer they go to. */
  readonly target: number;
  /** Where the window begins there, in elements. */
  readonly targetOffset: number;
  readonly targetStrides: readonly number[];
  readonly start?: RuntimeStart;
}

const names = [
  "target",
  "source",
  "position",
  "limit",
  "stride",
  "bytes", // of a block
  "pieceBytes", // of a piece of a block
  "pieces", // per block
  "rows", // blocks in the innermost loop
  "groupRows", // rows in a group
  "groups", // per innermost loop
  "rowTarget", // bytes from row to row
  "rowSource",
] as const;

// About what a thread copies in some ten microseconds.
const itemBytes = 1 << 16;

function windowCode(moves: "target" | "source" | null): KernelCode {
  const key = `move/window${moves === null ? "" : `/${moves}`}`;
  return {
    key,
    emit: (module) => {
      module.function(key, kernelSignature, (f, address, begin, end) => {
        emitWindow(module, f, address, begin, end, moves);
      });
    },
  };
}

function emitWindow(
  module: ModuleBuilder,
  f: FunctionBuilder,
  address: I32,
  begin: I32,
  end: I32,
  moves: "target" | "source" | null,
): void {
  const a = readArguments(f, address, names);
  if (moves !== null) {
    const position = f.let(i32.load(a.position));
    f.set<I32>(position, position.minimum(a.limit));
    f.set<I32>(position, position.maximum(0));
    f.increment(a[moves], position.multiply(a.stride));
  }
  const item = f.local(i32);
  f.for(item, begin, end, 1, () => {
    const rest = f.let(item.divideUnsigned(a.pieces));
    const pieceOffset = f.let(item.subtract(rest.multiply(a.pieces)).multiply(a.pieceBytes));
    const outer = f.let(rest.divideUnsigned(a.groups));
    const row = f.let(rest.subtract(outer.multiply(a.groups)).multiply(a.groupRows));
    const [toOuter, fromOuter] = offsetsAt(f, endOfArguments(names, address), outer, 2) as [
      Local<I32>,
      Local<I32>,
    ];
    const to = f.let(a.target.add(toOuter).add(pieceOffset).add(row.multiply(a.rowTarget)));
    const from = f.let(a.source.add(fromOuter).add(pieceOffset).add(row.multiply(a.rowSource)));
    const bytes = f.let(a.bytes.subtract(pieceOffset));
    f.set<I32>(bytes, bytes.lessUnsigned(a.pieceBytes).select<I32>(bytes, a.pieceBytes));
    const left = f.let(a.rows.subtract(row));
    f.set<I32>(left, left.minimum(a.groupRows));
    const eachRow = (copy: () => void): void => {
      f.while(left, () => {
        copy();
        f.increment(to, a.rowTarget);
        f.increment(from, a.rowSource);
        f.increment(left, -1);
      });
    };
    f.if(
      bytes.equal(4),
      () => {
        eachRow(() => {
          f.storeI32(to, i32.load(from));
        });
      },
      () => {
        eachRow(() => {
          copyBlock(module, f, to, from, bytes);
        });
      },
    );
  });
}

/**
 * Whether a view can be copied in blocks: its last axis that is not 1 is contiguous. Anything else
 * is better made dense by a fused loop, which knows how to transpose.
 */
export function isCopyable(view: Operand): boolean {
  for (let d = view.shape.length - 1; d >= 0; d--) {
    if (view.shape[d] !== 1) return view.strides[d] === 1;
  }
  return true;
}

/** The launch that copies a window; none where the window is empty. */
export function copyWindow(copy: WindowCopy): readonly Launch[] {
  const { source, target, start } = copy;
  const elementBytes = bytesPerElement(source.dtype);
  const scale = (strides: readonly number[]): number[] => strides.map((s) => s * elementBytes);
  const all = collapseLoops({
    sizes: source.shape,
    strides: [scale(copy.targetStrides), scale(source.strides)],
  });
  if (iterations(all) === 0) return [];
  // The contiguous block, the loop over rows of blocks, and what is around it.
  const inner = splitInnermost(all);
  const isBlock = inner.strides.every((stride) => stride === elementBytes || inner.size === 1);
  const block = isBlock ? inner.size * elementBytes : elementBytes;
  const { outer, size: rows, strides: rowStrides } = isBlock ? splitInnermost(inner.outer) : inner;
  const pieces = Math.ceil(block / itemBytes);
  const pieceBytes = pieces === 1 ? block : itemBytes;
  const groupRows = Math.min(rows, Math.max(1, Math.floor(itemBytes / Math.max(pieceBytes, 64))));
  const groups = Math.ceil(rows / groupRows);
  const items = iterations(outer) * groups * pieces;
  const bytes = iterations(all) * elementBytes;
  const address = (buffer: number, offset: number): LaunchArgument =>
    addressOfBuffer(buffer, offset * elementBytes);
  return [
    {
      name: copy.name,
      code: windowCode(start?.moves ?? null),
      arguments: [
        ...argumentWords(names, {
          target: address(target, copy.targetOffset),
          source: address(source.buffer, source.offset),
          position: start
            ? addressOfBuffer(start.position.buffer, start.position.offset * 4)
            : integerArgument(0),
          limit: start?.limit ?? 0,
          stride: (start?.stride ?? 0) * elementBytes,
          bytes: block,
          pieceBytes,
          pieces,
          rows,
          groupRows,
          groups,
          rowTarget: rowStrides[0]!,
          rowSource: rowStrides[1]!,
        }),
        ...loopWords(outer),
      ],
      items,
      grain: Math.max(1, Math.floor((itemBytes * items) / Math.max(bytes, 1))),
      scratchBytes: 0,
      reads: start ? [source.buffer, start.position.buffer] : [source.buffer],
      writes: [target],
      work: bytes / 4,
    },
  ];
}

/** A copy of a whole operand to a dense buffer; none where it is that buffer already. */
export function copyAll(name: string, source: Operand, target: number): readonly Launch[] {
  if (source.buffer === target) return [];
  return copyWindow({
    name,
    source,
    target,
    targetOffset: 0,
    targetStrides: stridesOf(source.shape),
  });
}
