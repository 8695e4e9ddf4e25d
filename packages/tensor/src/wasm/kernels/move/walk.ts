/**
 * Walks over blocks of memory: each goes from a place in a source to a place in a target, or is added
 * there. Concatenation, slices, gathering and scattering are such walks.
 *
 * An index may say where one of the two places is along an axis. Several blocks may then have one
 * target. They differ only in their coordinate along the axis, so one thread takes them in order and
 * the result does not depend on the threads: of several written the last stays, and sums are taken in
 * order. Where there is little else to share out, threads share the columns of the blocks or the
 * places: each walks over all indices and takes the places in its range.
 */

import type { Operand } from "../../../plan/schedule.js";
import { bytesPerElement } from "../../../tensor/dtype.js";
import { sizeOf, stridesOf } from "../../../tensor/shape.js";
import { i32, type I32, type Local } from "../../assembler/index.js";
import type { KernelCode, Launch } from "../../launch.js";
import { addressOf, addressOfBuffer, launchOf, WordReader } from "../arguments.js";
import { divide, kernelCode, limit, smaller } from "../code.js";
import { collapseLoops, iterations, loopWords, offsetsAt, splitInnermost } from "../strided.js";
import { type Combine, combineBlock } from "./block.js";

/** Places in a buffer along the axes of what is moved, in elements. */
export interface Target {
  readonly buffer: number;
  readonly strides: readonly number[];
  readonly offset?: number;
}

/** What an index does in a walk; it is limited to what there is, so that no index leads elsewhere. */
export interface WalkIndex {
  /** An int32 operand along the same axes, or one number for the whole walk. */
  readonly operand: Operand;
  /** What it moves, by `stride` elements a step, and its largest number. */
  readonly moves: "target" | "source";
  readonly stride: number;
  readonly last: number;
  /** The axis along which blocks keep their order, where several may have one target. */
  readonly ordered?: number;
}

// About what a thread copies in some ten microseconds, and what each of small blocks counts as.
const itemBytes = 1 << 16;
const leastBytes = 16;

// A slice of a block is at least a cache line, so that threads do not share lines.
const lineBytes = 64;

/** What makes the code: how blocks join, their bytes if an element, and the loops around. */
interface WalkSpec {
  readonly combine: Combine;
  readonly elementBytes: number;
  readonly moves: "target" | "source" | null;
  readonly isFixed: boolean;
  readonly order: "inside" | "outside" | null;
}

function walkCode(spec: WalkSpec): KernelCode {
  const { moves, isFixed, order } = spec;
  return kernelCode(`walk/${Object.values(spec).join("/")}`, (c, words) => {
    const { f } = c;
    const read = new WordReader(f, words);
    const [block, pieceBytes, pieces, lanes, groupSize, groups] = read.words(6);
    const [ranges, rangeSize, along, last, stride] = read.words(5);
    const [target, targetLane] = read.words(2);
    const [source, sourceLane, sourceAlong] = read.words(3);
    const [index, indexLane, indexAlong] = read.words(3);
    const place = f.local(i32);
    const readPlace = (address: I32): void => {
      limit(f, place, i32.load(address), last);
    };
    if (isFixed) {
      readPlace(index);
      f.increment(moves === "target" ? target : source, place.multiply(stride));
    }
    const isIndexed = moves !== null && !isFixed;
    const used = (list: readonly Local<I32>[]): readonly Local<I32>[] =>
      isIndexed ? list : list.slice(0, 2);

    // Several positions that move together, `count` times.
    const walk = (
      start: readonly I32[],
      count: I32,
      steps: readonly I32[],
      body: (positions: readonly Local<I32>[]) => void,
    ): void => {
      const positions = start.map((position) => f.let(position));
      const rest = f.let(count);
      f.while(rest, () => {
        body(positions);
        positions.forEach((position, i) => {
          f.increment(position, steps[i]!);
        });
        f.increment(rest, -1);
      });
    };

    return (item) => {
      const [pieceItem, range] = divide(f, item, ranges);
      const [groupItem, piece] = divide(f, pieceItem, pieces);
      const [outer, group] = divide(f, groupItem, groups);
      const [first, firstPlace] = [group.multiply(groupSize), f.let(range.multiply(rangeSize))];
      const offset = f.let(piece.multiply(pieceBytes));
      const rest = f.let(block.subtract(offset));
      const bytes = f.let(rest.lessUnsigned(pieceBytes).select<I32>(rest, pieceBytes));
      const offsets = offsetsAt(f, read.address, outer, isIndexed ? 3 : 2);
      const steps = used([targetLane, sourceLane, indexLane]);
      const start = used([target, source, index]).map((base, i) => {
        const at = f.let(base.add(offsets[i]!).add(first.multiply(steps[i]!)));
        if (i < 2) f.increment(at, offset);
        return at;
      });
      const count = smaller(f, lanes.subtract(first), groupSize);
      const move = ([to, from, at]: readonly Local<I32>[]): void => {
        const combine = (a: I32, b: I32): void => {
          combineBlock(c, spec.combine, spec.elementBytes, a, b, bytes);
        };
        if (!isIndexed) combine(to!, from!);
        else {
          readPlace(at!);
          if (moves === "source") combine(to!, from!.add(place.multiply(stride)));
          else {
            f.set<I32>(place, place.subtract(firstPlace));
            f.if(place.lessUnsigned(rangeSize), () => {
              combine(to!.add(place.multiply(stride)), from!);
            });
          }
        }
      };
      type Loop = (from: readonly I32[], body: (positions: readonly Local<I32>[]) => void) => void;
      const overLanes: Loop = (from, body) => {
        walk(from, count, steps, body);
      };
      const overAxis: Loop = (from, body) => {
        walk(from, along, [i32.const(0), sourceAlong, indexAlong], body);
      };
      if (moves === "target" && isIndexed) f.increment(start[0]!, firstPlace.multiply(stride));
      if (order === null) overLanes(start, move);
      else {
        const [around, within] = order === "inside" ? [overLanes, overAxis] : [overAxis, overLanes];
        around(start, (positions) => {
          within(positions, move);
        });
      }
    };
  });
}

/**
 * Cuts a block of `bytes` bytes into slices or, where it is short, its `places` into ranges, for about
 * `wanted` items.
 */
function share(wanted: number, bytes: number, places: number): [number, number] {
  const slices = Math.max(1, Math.min(wanted, Math.floor(bytes / (4 * lineBytes))));
  const smallest = Math.ceil(lineBytes / bytes);
  const ranges = slices > 1 ? 1 : Math.max(1, Math.min(wanted, Math.floor(places / smallest)));
  return [Math.ceil(bytes / slices / lineBytes) * lineBytes, Math.ceil(places / ranges)];
}

/**
 * The launch that moves all elements of `source`, whose shape and strides are those of the walk; none
 * where there are none.
 */
export function walkLaunch(
  name: string,
  source: Operand,
  target: Target,
  index?: WalkIndex,
  combine: Combine = "replace",
  threads = 1,
): readonly Launch[] {
  const { shape, dtype } = source;
  const count = sizeOf(shape);
  if (count === 0) return [];
  const elementBytes = bytesPerElement(dtype);
  const isFixed = index !== undefined && index.operand.shape.length < shape.length;
  const arrays = [target, source, ...(index && !isFixed ? [index.operand] : [])];
  const strides = arrays.map((own, i) =>
    own.strides.map((stride) => stride * (i < 2 ? elementBytes : 4)),
  );
  const ordered = index?.ordered ?? -1;
  const isLane = (_: number, d: number): boolean => d !== ordered;
  // The contiguous block, the loop over rows of blocks, and what is around it.
  const all = collapseLoops({
    sizes: shape.filter(isLane),
    strides: strides.map((own) => own.filter(isLane)),
  });
  const inner = splitInnermost(all);
  const isBlock =
    inner.size === 1 || inner.strides.every((own, i) => own === (i < 2 ? elementBytes : 0));
  const block = isBlock ? inner.size * elementBytes : elementBytes;
  const { outer, size: lanes, strides: lane } = isBlock ? splitInnermost(inner.outer) : inner;

  const along = shape[ordered] ?? 1;
  const step = strides.map((own) => own[ordered] ?? 0);
  const cost = Math.max(leastBytes, Math.min(block, itemBytes)) * along;
  const groupSize = Math.max(1, Math.min(lanes, Math.floor(itemBytes / cost)));
  const groups = Math.ceil(lanes / groupSize);
  const lines = iterations(outer) * groups;
  const places = (index?.last ?? 0) + 1;
  const wanted = count < 1 << 13 ? 1 : Math.ceil(threads / lines);
  const [pieceBytes, rangeSize] = ordered < 0 ? [itemBytes, places] : share(wanted, block, places);
  const [pieces, ranges] = [Math.ceil(block / pieceBytes), Math.ceil(places / rangeSize)];
  // The loop with the smaller steps comes inside.
  const isInside = groupSize === 1 || Math.abs(step[2]!) <= Math.abs(lane[2]!);
  const code = walkCode({
    combine,
    elementBytes: block === elementBytes ? elementBytes : 0,
    moves: index?.moves ?? null,
    isFixed,
    order: ordered < 0 ? null : isInside ? "inside" : "outside",
  });
  const words = [
    ...[block, pieceBytes, pieces, lanes, groupSize, groups, ranges, rangeSize, along],
    ...[places - 1, (index?.stride ?? 0) * elementBytes],
    ...[addressOfBuffer(target.buffer, (target.offset ?? 0) * elementBytes), lane[0]!],
    ...[addressOf(source), lane[1]!, step[1]!],
    ...[index ? addressOf(index.operand) : 0, lane[2] ?? 0, step[2] ?? 0],
    ...loopWords(outer),
  ];
  const items = lines * pieces * ranges;
  return [launchOf(name, code, words, items, count, itemBytes / (cost * groupSize))];
}

/** A copy of a whole operand to a dense buffer; none where it is that buffer already. */
export function copyAll(name: string, source: Operand, buffer: number): readonly Launch[] {
  if (source.buffer === buffer) return [];
  return walkLaunch(name, source, { buffer, strides: stridesOf(source.shape) });
}

/**
 * Whether a view can be copied in blocks: its last axis that is not 1 is contiguous. Anything else
 * is better made dense by a fused loop, which knows how to transpose.
 */
export function isCopyable({ shape, strides }: Operand): boolean {
  const last = shape.findLastIndex((size) => size !== 1);
  return last < 0 || strides[last] === 1;
}
