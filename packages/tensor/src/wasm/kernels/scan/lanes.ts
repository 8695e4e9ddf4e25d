/**
 * Scans along lanes: each lane (the elements along one axis) is walked in order by one thread.
 * Lanes that are columns are walked sixteen at a time, so that vectors and cache lines are filled.
 */

import type { NativeStep } from "../../../plan/schedule.js";
import { sizeOf } from "../../../tensor/shape.js";
import { type I32, type Local, v128, type V128 } from "../../assembler/index.js";
import type { KernelCode } from "../../launch.js";
import type { Launch } from "../../launch.js";
import type { MathContext } from "../../math/index.js";
import { addressOf, addressOrNone, launchOf, WordReader } from "../arguments.js";
import { divide, kernelCode, smaller } from "../code.js";
import { collapseLoops, loopWords, offsetsAt } from "../strided.js";

/** Where a scan stands: at vectors of neighbouring lanes, or at one lane, whose element fills a vector. */
export interface ScanPosition {
  /** Elements that came before. */
  readonly index: Local<I32>;
  readonly load: (part: number) => V128;
  readonly storeValue: (value: V128, part: number) => void;
  readonly storeIndex: (value: V128, part: number) => void;
}

/** What a scan does. */
export interface ScanProgram {
  /** Identity of the code. */
  readonly name: string;
  /** Writes the start of a scan of `parts` vectors or of one lane; gives what writes one step. */
  readonly start: (
    c: MathContext,
    parts: number,
    isSingle: boolean,
  ) => (position: ScanPosition) => void;
}

const blockLanes = 16;

function scanCode(program: ScanProgram): KernelCode {
  return kernelCode(`scan/${program.name}`, (c, words) => {
    const { f } = c;
    const read = new WordReader(f, words);
    const [x, values, indices, size, inner, blocks, stride] = read.words(7);
    const bytes = f.let(inner.shiftLeft(2));
    return (item) => {
      const [outer, block] = divide(f, item, blocks);
      const lane = f.let(block.multiply(blockLanes));
      const [fromOuter] = offsetsAt(f, read.address, outer, 1);
      const start = f.let(x.add(fromOuter!).add(lane.shiftLeft(2)));
      const offset = f.let(outer.multiply(size).multiply(inner).add(lane).shiftLeft(2));
      const left = smaller(f, inner.subtract(lane), blockLanes);
      const scan = (lanes: number): void => {
        const isSingle = lanes === 1;
        const from = f.let<I32>(start);
        const [toValue, toIndex] = [f.let(values.add(offset)), f.let(indices.add(offset))];
        const index = f.letI32(0);
        const storeTo =
          (to: I32) =>
          (value: V128, part: number): void => {
            if (isSingle) f.storeLane(32, to, value, 0);
            else f.storeV128(to, value, 16 * part);
          };
        const step = program.start(c, Math.ceil(lanes / 4), isSingle);
        f.while(index.less(size), () => {
          step({
            index,
            load: (part) => (isSingle ? v128.load32Splat(from) : v128.load(from, 16 * part)),
            storeValue: storeTo(toValue),
            storeIndex: storeTo(toIndex),
          });
          f.increment(from, stride);
          f.increment(toValue, bytes);
          f.increment(toIndex, bytes);
          f.increment(index, 1);
        });
        f.increment(start, 4 * lanes);
        f.increment(offset, 4 * lanes);
        f.increment(left, -lanes);
      };
      for (const lanes of [blockLanes, 4, 1]) {
        f.while(left.greaterEqual(lanes), () => {
          scan(lanes);
        });
      }
    };
  });
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
  return launchOf(
    node.op.name,
    scanCode(program),
    [
      ...[addressOf(x), addressOrNone(values), addressOrNone(indices)],
      ...[size, inner, blocks, x.strides[axis]! * 4],
      ...loopWords(loops),
    ],
    outer * blocks,
    outer * size * inner * 3,
    (1 << 13) / (size * Math.min(inner, blockLanes)),
  );
}
