/**
 * Elements written, or added, where an index names a place along an axis.
 *
 * Several elements may have one place. They then differ only in their coordinate along the axis, so
 * a line along the axis is walked in order by one thread and the result does not depend on the
 * threads: of several written the last stays, and sums are taken in order. Where there are few lines,
 * threads share out the places: each walks over all indices and takes those in its range.
 */

import type { Node } from "../../../graph/node.js";
import type { NativeStep, Operand } from "../../../plan/schedule.js";
import { sizeOf, stridesOf } from "../../../tensor/shape.js";
import {
  type FunctionBuilder,
  i32,
  type I32,
  kernelSignature,
  type Local,
} from "../../assembler/index.js";
import type { KernelCode, Launch } from "../../launch.js";
import type { LoweringContext, NativeKernel } from "../../native.js";
import {
  addressOf,
  addressOfBuffer,
  argumentWords,
  endOfArguments,
  readArguments,
} from "../arguments.js";
import { copyBase } from "../move/base.js";
import { collapseLoops, iterations, loopWords, offsetsAt, splitInnermost } from "../strided.js";
import { readIndex } from "./clamp.js";
import { addOf, type Combine, combineBytes, combineElement, replaceOf } from "./combine.js";

const names = [
  "target",
  "index",
  "source",
  "last", // largest index
  "axisStride", // from place to place along the axis in the target
  "rangeSize", // places in a range
  "ranges", // of places along the axis
  "along", // indices along the axis
  "alongIndex", // from index to index
  "alongSource",
  "lanes", // lines along the axis in the innermost loop over them
  "groupSize", // lines in a group
  "groups", // of lines
  "laneTarget", // from line to line
  "laneIndex",
  "laneSource",
] as const;

const itemElements = 1 << 13;

/** Three positions that move together: in the target, the index and the source. */
type Positions = readonly [Local<I32>, Local<I32>, Local<I32>];

function walk(
  f: FunctionBuilder,
  start: Positions,
  count: I32,
  steps: readonly [I32, I32, I32],
  body: (positions: Positions) => void,
): void {
  const positions = start.map((position) => f.let<I32>(position)) as unknown as Positions;
  const left = f.let(count);
  f.while(left, () => {
    body(positions);
    positions.forEach((position, i) => {
      f.increment(position, steps[i]!);
    });
    f.increment(left, -1);
  });
}

function scatterCode(combine: Combine, axisInside: boolean): KernelCode {
  const key = `indexing/scatter/${combine}${axisInside ? "/inside" : ""}`;
  return {
    key,
    emit: (module) => {
      module.function(key, kernelSignature, (f, address, begin, end) => {
        const a = readArguments(f, address, names);
        const [item, place] = [f.local(i32), f.local(i32)];
        f.for(item, begin, end, 1, () => {
          const rest = f.let(item.divideUnsigned(a.ranges));
          const range = f.let(item.subtract(rest.multiply(a.ranges)).multiply(a.rangeSize));
          const outer = f.let(rest.divideUnsigned(a.groups));
          const first = f.let(rest.subtract(outer.multiply(a.groups)).multiply(a.groupSize));
          const offsets = offsetsAt(f, endOfArguments(names, address), outer, 3);
          const start = [
            [a.target, a.laneTarget],
            [a.index, a.laneIndex],
            [a.source, a.laneSource],
          ].map(([base, stride], i) =>
            f.let(base!.add(offsets[i]!).add(first.multiply(stride!))),
          ) as unknown as Positions;
          f.increment(start[0], range.multiply(a.axisStride));
          const left = f.let(a.lanes.subtract(first));
          f.set(left, left.minimum(a.groupSize));
          const overLanes = (from: Positions, body: (positions: Positions) => void): void => {
            walk(f, from, left, [a.laneTarget, a.laneIndex, a.laneSource], body);
          };
          const overAxis = (from: Positions, body: (positions: Positions) => void): void => {
            walk(f, from, a.along, [i32.const(0), a.alongIndex, a.alongSource], body);
          };
          const [outside, inside] = axisInside ? [overLanes, overAxis] : [overAxis, overLanes];
          outside(start, (middle) => {
            inside(middle, ([target, index, source]) => {
              readIndex(f, place, index, a.last);
              f.set<I32>(place, place.subtract(range));
              f.if(place.lessUnsigned(a.rangeSize), () => {
                const to = f.let(target.add(place.multiply(a.axisStride)));
                combineElement(f, combine, to, source);
              });
            });
          });
        });
      });
    },
  };
}

function lowerScatter(
  step: NativeStep,
  context: LoweringContext,
  combine: Combine,
): readonly Launch[] {
  const { node, inputs, outputs } = step;
  const axis = node.attributes.axis as number;
  const [base, index, source] = inputs as [Operand, Operand, Operand];
  const target = outputs[0]!;
  const { name } = node.op;
  const copy = copyBase(step);
  const count = sizeOf(index.shape);
  if (count === 0) return copy;
  const bytes = combineBytes(combine);
  const targetStrides = stridesOf(base.shape);
  const along = index.shape[axis]!;
  const isLane = (_: number, d: number): boolean => d !== axis;
  const lanes = collapseLoops({
    sizes: index.shape.filter(isLane),
    strides: [
      targetStrides.filter(isLane).map((stride) => stride * bytes),
      index.strides.filter(isLane).map((stride) => stride * 4),
      source.strides.filter(isLane).map((stride) => stride * bytes),
    ],
  });
  const { outer, size, strides } = splitInnermost(lanes);
  const groupSize = Math.max(1, Math.min(size, Math.floor(itemElements / along)));
  const groups = Math.ceil(size / groupSize);
  const lineItems = iterations(outer) * groups;
  // Walking over all indices for each range pays only where threads would have nothing to do.
  const length = base.shape[axis]!;
  const wanted = lineItems < context.threads && count > itemElements ? context.threads : 1;
  const rangeSize = Math.ceil(length / Math.min(wanted, length));
  const ranges = Math.ceil(length / rangeSize);
  // The loop with the smaller steps comes inside.
  const axisInside = Math.abs(index.strides[axis]!) * 4 <= Math.abs(strides[1]!);
  return [
    ...copy,
    {
      name,
      code: scatterCode(combine, axisInside || size === 1),
      arguments: [
        ...argumentWords(names, {
          target: addressOfBuffer(target),
          index: addressOf(index),
          source: addressOf(source),
          last: length - 1,
          axisStride: targetStrides[axis]! * bytes,
          rangeSize,
          ranges,
          along,
          alongIndex: index.strides[axis]! * 4,
          alongSource: source.strides[axis]! * bytes,
          lanes: size,
          groupSize,
          groups,
          laneTarget: strides[0]!,
          laneIndex: strides[1]!,
          laneSource: strides[2]!,
        }),
        ...loopWords(outer),
      ],
      items: lineItems * ranges,
      grain: ranges > 1 ? 1 : Math.max(1, Math.floor(itemElements / (groupSize * along))),
      scratchBytes: 0,
      reads: [index.buffer, source.buffer, target],
      writes: [target],
      work: count * ranges * 2,
    },
  ];
}

const acceptsView = (_node: Node, input: number): boolean => input > 0;

/** The kernel of `scatter`. */
export const scatterKernel: NativeKernel = {
  op: "scatter",
  acceptsView,
  lower: (step, context) => lowerScatter(step, context, replaceOf(step.inputs[0]!.dtype)),
};

/** The kernel of `scatterAdd`. */
export const scatterAddKernel: NativeKernel = {
  op: "scatterAdd",
  acceptsView,
  lower: (step, context) => lowerScatter(step, context, addOf(step.inputs[0]!.dtype)),
};
