/**
 * Scans along lanes: each lane (the elements along one axis) is walked in order by one thread.
 * Lanes that are columns are walked sixteen at a time, so that vectors and cache lines are filled.
 */

import type { NativeStep } from "../../../plan/schedule.js";
import { sizeOf } from "../../../tensor/shape.js";
import { i32, type I32, kernelSignature, type Local } from "../../assembler/index.js";
import type { KernelCode, Launch } from "../../launch.js";
import type { MathContext } from "../../math/index.js";
import {
  addressOf,
  addressOfBuffer,
  argumentWords,
  endOfArguments,
  integerArgument,
  readArguments,
} from "../arguments.js";
import { collapseLoops, loopWords, offsetsAt } from "../strided.js";

/** Where a scan stands. */
export interface ScanPosition {
  readonly x: Local<I32>;
  readonly values: Local<I32>;
  readonly indices: Local<I32>;
  /** Elements that came before. */
  readonly index: Local<I32>;
}

/** What a scan does. */
export interface ScanProgram {
  /** Identity of the code. */
  readonly name: string;
  /**
   * Writes the start of a scan of `vectors` · 4 neighbouring lanes, or of one lane where `vectors`
   * is 0; gives what writes one step.
   */
  readonly start: (c: MathContext, vectors: number) => (position: ScanPosition) => void;
}

const names = [
  "x",
  "values",
  "indices",
  "size", // elements of a lane
  "inner", // neighbouring lanes
  "blocks", // of neighbouring lanes
  "stride", // bytes from element to element of a lane in x
] as const;

const blockLanes = 16;

function scanCode(program: ScanProgram): KernelCode {
  const key = `scan/${program.name}`;
  return {
    key,
    emit: (module) => {
      module.function(key, kernelSignature, (f, address, begin, end) => {
        const a = readArguments(f, address, names);
        const bytes = f.let(a.inner.shiftLeft(2));
        const item = f.local(i32);
        f.for(item, begin, end, 1, () => {
          const outer = f.let(item.divideUnsigned(a.blocks));
          const lane = f.let(item.subtract(outer.multiply(a.blocks)).multiply(blockLanes));
          const [fromOuter] = offsetsAt(f, endOfArguments(names, address), outer, 1);
          const from = f.let(a.x.add(fromOuter!).add(lane.shiftLeft(2)));
          const to = f.let(outer.multiply(a.size).multiply(a.inner).add(lane).shiftLeft(2));
          const left = f.let(a.inner.subtract(lane));
          f.set(left, left.minimum(blockLanes));
          const scan = (vectors: number): void => {
            const lanes = Math.max(1, vectors * 4);
            const position: ScanPosition = {
              x: f.let<I32>(from),
              values: f.let(a.values.add(to)),
              indices: f.let(a.indices.add(to)),
              index: f.letI32(0),
            };
            const step = program.start({ module, f }, vectors);
            f.while(position.index.less(a.size), () => {
              step(position);
              f.increment(position.x, a.stride);
              f.increment(position.values, bytes);
              f.increment(position.indices, bytes);
              f.increment(position.index, 1);
            });
            f.increment(from, 4 * lanes);
            f.increment(to, 4 * lanes);
            f.increment(left, -lanes);
          };
          f.if(
            left.equal(blockLanes),
            () => {
              scan(4);
            },
            () => {
              f.while(left.greaterEqual(4), () => {
                scan(1);
              });
              f.while(left, () => {
                scan(0);
              });
            },
          );
        });
      });
    },
  };
}

/** The launch of a scan of the first input along attribute `axis`. */
export function scanLaunch(
  { node, inputs }: NativeStep,
  program: ScanProgram,
  values: number | null,
  indices: number | null,
): Launch {
  const x = inputs[0]!;
  const axis = node.attributes.axis as number;
  const size = x.shape[axis]!;
  const inner = sizeOf(x.shape.slice(axis + 1));
  const outer = sizeOf(x.shape.slice(0, axis));
  const blocks = Math.ceil(inner / blockLanes);
  const loops = collapseLoops({
    sizes: x.shape.slice(0, axis),
    strides: [x.strides.slice(0, axis).map((stride) => stride * 4)],
  });
  const pointer = (buffer: number | null) =>
    buffer === null ? integerArgument(0) : addressOfBuffer(buffer);
  return {
    name: node.op.name,
    code: scanCode(program),
    arguments: [
      ...argumentWords(names, {
        x: addressOf(x),
        values: pointer(values),
        indices: pointer(indices),
        size,
        inner,
        blocks,
        stride: x.strides[axis]! * 4,
      }),
      ...loopWords(loops),
    ],
    items: outer * blocks,
    grain: Math.max(1, Math.floor((1 << 13) / (size * Math.min(inner, blockLanes)))),
    scratchBytes: 0,
    reads: [x.buffer],
    writes: [values, indices].filter((buffer) => buffer !== null),
    work: outer * size * inner * 3,
  };
}
