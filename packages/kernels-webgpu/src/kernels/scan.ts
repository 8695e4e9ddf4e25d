/**
 * Scans. What has been joined so far is a state of the kernel's own, and joining is associative:
 * rows of neighbouring elements, and long ones that alone would not fill the device, are shared out
 * over a workgroup; of other rows each is one invocation's work.
 */

import type { NativeStep } from "@x/tensor/device";
import type { Launch } from "../launch.js";
import type { LoweringContext, NativeKernel } from "../native.js";
import type { ShaderBuilder } from "../wgsl/shader.js";
import {
  type Join,
  maxJoin,
  minJoin,
  productJoin,
  sumJoin,
  type ScannedType,
} from "./scan-join.js";
import { denseView, Rows } from "./view.js";

/** Rows up to this length are one invocation's work. */
const shortRow = 32;
/** Rows from which on a device is full of single invocations. */
const manyRows = 4096;
/** Neighbours of a row that an invocation of a workgroup joins by itself. */
const elementsEach = 4;
/** Most invocations that share a row. */
const mostInvocations = 256;
/** Elements that one invocation joins before they meet the rest: sums lose less that way. */
const blockSize = 64;

/** A scan while it is written. */
interface Scan {
  readonly shader: ShaderBuilder;
  readonly join: Join;
  readonly rows: Rows;
  /** The element at a place of the row, as a state. */
  readonly load: (at: string) => string;
  /** Statements that store a state at a place of the row. */
  readonly store: (at: string, state: string) => string;
}

function lower(
  { name, node, inputs, outputs }: NativeStep,
  join: Join,
  context: LoweringContext,
): Launch {
  const x = inputs[0]!;
  const [values = null, places = null] = outputs;
  const axis = node.attributes.axis as number;
  const rows = new Rows(x.shape, axis);
  const shader = context.shader();
  const numbers = shader.slot(x.buffer, x.dtype);
  join.declare(shader);
  const put = (buffer: number, dtype: typeof x.dtype, at: string, code: string): string => {
    const target = denseView(buffer, dtype, x.shape);
    return shader.store(shader.slot(buffer, dtype), rows.at(target, at), code);
  };
  const scan: Scan = {
    shader,
    join,
    rows,
    load: (at) => join.lift(shader.load(numbers, rows.at(x, at)), at),
    store: (at, state) =>
      [
        values === null ? "" : put(values, x.dtype, at, join.value(state)),
        places === null ? "" : put(places, "int32", at, join.place(state)),
      ].join("\n"),
  };
  const isNear = Math.abs(x.strides[axis]!) === 1;
  const isTogether = rows.size > shortRow && (isNear || rows.count < manyRows);
  return isTogether ? together(name, scan, context) : alone(name, scan);
}

function alone(name: string, { shader, join, rows, load, store }: Scan): Launch {
  const body = `${rows.coordinates("item")}
var total = ${join.neutral};
for (var start = 0; start < ${rows.size}; start += ${blockSize}) {
var part = ${join.neutral};
for (var at = start; at < min(start + ${blockSize}, ${rows.size}); at++) {
part = join(part, ${load("at")});
let state = join(total, part);
${store("at", "state")}
}
total = join(total, part);
}`;
  return shader.perItem(name, rows.count, body);
}

/** A workgroup goes over the row in pieces; in each, invocations join their own elements first. */
function together(
  name: string,
  { shader, join, rows, load, store }: Scan,
  { workgroupSize }: LoweringContext,
): Launch {
  const wanted = 2 ** Math.ceil(Math.log2(rows.size / elementsEach));
  const size = Math.min(wanted, mostInvocations, workgroupSize);
  shader.declare(`var<workgroup> parts: array<${join.type}, ${size}>;`);
  const elements = Array.from({ length: elementsEach }, (_, e) => e);
  const ifInside = (e: number, statements: string): string =>
    `if (first + ${e} < ${rows.size}) {\n${statements}\n}`;
  const body = `${rows.coordinates("group")}
var total = ${join.neutral};
for (var start = 0; start < ${rows.size}; start += ${size * elementsEach}) {
let first = start + lane * ${elementsEach};
var part = ${join.neutral};
${elements
  .map(
    (e) => `${ifInside(e, `part = join(part, ${load(`first + ${e}`)});`)}\nlet state${e} = part;`,
  )
  .join("\n")}
parts[lane] = part;
for (var distance = 1; distance < ${size}; distance *= 2) {
workgroupBarrier();
if (lane >= distance) { part = join(parts[lane - distance], part); }
workgroupBarrier();
parts[lane] = part;
}
workgroupBarrier();
var before = total;
if (lane > 0) { before = join(total, parts[lane - 1]); }
${elements
  .map((e) =>
    ifInside(e, `let state = join(before, state${e});\n${store(`first + ${e}`, "state")}`),
  )
  .join("\n")}
total = join(total, parts[${size - 1}]);
workgroupBarrier();
}`;
  return shader.perGroup(name, rows.count, size, body);
}

function scanKernel(op: string, joinOf: (dtype: ScannedType) => Join): NativeKernel {
  return {
    op,
    acceptsView: () => true,
    lower: (step, context) => {
      const { dtype } = step.inputs[0]!;
      return [lower(step, joinOf(dtype as ScannedType), context)];
    },
  };
}

/** The kernel of `cumulativeSum`. */
export const cumulativeSumKernel: NativeKernel = scanKernel("cumulativeSum", sumJoin);

/** The kernel of `cumulativeProduct`. */
export const cumulativeProductKernel: NativeKernel = scanKernel("cumulativeProduct", productJoin);

/** The kernel of `cumulativeMax`. */
export const cumulativeMaxKernel: NativeKernel = scanKernel("cumulativeMax", maxJoin);

/** The kernel of `cumulativeMin`. */
export const cumulativeMinKernel: NativeKernel = scanKernel("cumulativeMin", minJoin);
