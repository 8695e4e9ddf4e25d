/**
 * A few tokens of linear attention: decoding.
 *
 * A workgroup has some columns of one head's state: it reads and writes them once, and uses each
 * number while it is in a register. The minimum: 8de bytes a head, and 4de flops a token and head.
 */

import type { Operand } from "@x/tensor/device";
import type { Launch } from "../../launch.js";
import type { KernelStep, LoweringContext, DeviceLimits } from "../../native.js";
import { constantCode } from "../../wgsl/functions.js";
import { normalizedRows, normBuffers, normInputs } from "../rows/normalization.js";
import { NormalizedRows, prologueBytes } from "../rows/prologue.js";
import { coordinatesOf, denseView, indexIn } from "../view.js";
import { RowAccess } from "./rows.js";
import type { Sizes } from "./tiled-steps.js";

/** Most outputs of a workgroup that are in registers at once: tokens times query heads of a group. */
const mostOutputs = 8;
/** Columns of the state that belong to a workgroup, and its invocations. */
const mostColumns = 32;
const lanes = 64;

/** Whether so many queries, each the last that sees its key, can be one step. */
export function isStep({ queries, keys, group }: Sizes): boolean {
  return queries > 0 && queries === keys && queries * group <= mostOutputs;
}

/** Operands and plan buffers of a step. */
export interface Step {
  readonly sizes: Sizes;
  readonly scale: number;
  readonly q: Operand;
  readonly k: Operand;
  readonly v: Operand;
  /** The norms that give queries and keys, if the step is to compute them itself. */
  readonly norms: Readonly<Record<"q" | "k", KernelStep | null>>;
  readonly state: Operand;
  readonly output: number;
  /** May be the buffer of the state. */
  readonly final: number;
}

/** Whether a step can compute the norms that give its queries and keys. */
export function takesNorms(step: Step, { workgroupBytes, mostBuffers }: DeviceLimits): boolean {
  const { sizes, q, k, v, norms, state, output, final } = step;
  const buffers = new Set([v.buffer, state.buffer, output, final]);
  let bytes = 16 * sizes.queries * sizes.group * lanes;
  for (const name of ["q", "k"] as const) {
    const norm = norms[name];
    const view = name === "q" ? q : k;
    if (norm === null) buffers.add(view.buffer);
    else {
      const { size } = normalizedRows(norm.node);
      const steps = view.strides.filter((_, axis) => axis < 3 && view.shape[axis] !== 1);
      const isWhole =
        size === view.shape[3]! &&
        (size === 1 || view.strides[3] === 1) &&
        [view.offset, ...steps].every((number) => number % size === 0);
      if (!isWhole || norm.parts !== undefined) return false;
      for (const buffer of normBuffers(norm)) buffers.add(buffer);
      bytes += prologueBytes(norm, sizes.queries * (name === "q" ? sizes.group : 1), lanes);
    }
  }
  return buffers.size <= mostBuffers && bytes <= workgroupBytes;
}

/** The launch of a step. */
export function stepLaunch(step: Step, context: LoweringContext): Launch {
  const { sizes, q, k, v, norms, state, scale } = step;
  const { batch, keyHeads, group, queries: tokens } = sizes;
  const [keySize, valueSize] = [q.shape[3]!, v.shape[3]!];
  const columns = Math.min(mostColumns, 4 * 2 ** Math.ceil(Math.log2(valueSize / 4)));
  const wide = Math.max(columns / 4, 1);
  const high = lanes / wide;
  const slices = Math.ceil(valueSize / (4 * wide));
  const outputs = tokens * group;

  const shader = context.shader();
  const y = denseView(step.output, "float32", [batch, keyHeads * group, tokens, valueSize]);
  const final = denseView(step.final, "float32", [batch, keyHeads, keySize, valueSize]);
  const sources = [q, k].map((view, i) => {
    const norm = i === 0 ? norms.q : norms.k;
    return norm === null ? view : normInputs(norm).x;
  });
  const access = new RowAccess(shader, [v, state, y, final], sources);
  access.declareLoad("values", v);
  access.declareLoad("initial", state);
  access.declareStore("storeOutput", y);
  access.declareStore("storeFinal", final);
  shader.declare(`var<workgroup> sums: array<vec4f, ${outputs * lanes}>;`);

  const eachToken = (line: (t: number) => string): string =>
    Array.from({ length: tokens }, (_, t) => line(t)).join("\n");
  const eachMember = (line: (member: number) => string): string =>
    Array.from({ length: group }, (_, member) => line(member)).join("\n");
  const queryHead = (member: string): string => `c1 * ${group} + ${member}`;
  const alone = [v, state, y, final, ...sources].map(({ buffer }) => buffer);
  const normalized = (
    name: "q" | "k",
    count: number,
    coordinates: string[],
  ): NormalizedRows | null => {
    const norm = norms[name];
    if (norm === null) return null;
    const first = indexIn(name === "q" ? q : k, [...coordinates, "0"]);
    const host = { shader, invocations: lanes, prefix: `${name}_`, first, alone };
    return new NormalizedRows(norm, count, host, context);
  };
  const queries = normalized("q", outputs, ["c0", queryHead(`row % ${group}`), `row / ${group}`]);
  const keys = normalized("k", tokens, ["c0", "c1", "row"]);
  const key = (t: number): string =>
    keys?.at(`${t * keySize} + row`) ?? access.number(k, "keyBase", String(t), "row");
  const query = (t: number, member: number): string =>
    queries?.at(`${(t * group + member) * keySize} + row`) ??
    access.number(q, `queryBase${member}`, String(t), "row");
  const body = `${coordinatesOf("group", [batch, keyHeads, slices], "c")}
let x = lane % ${wide};
let y = lane / ${wide};
let column = c2 * ${4 * wide} + 4 * x;
${[queries, keys].map((rows) => rows?.code ?? "").join("\n")}
let keyBase = ${access.base(k, ["c0", "c1"])};
let valueBase = ${access.base(v, ["c0", "c1"])};
let initialBase = ${access.base(state, ["c0", "c1"])};
let finalBase = ${access.base(final, ["c0", "c1"])};
${eachMember((member) => `let queryBase${member} = ${access.base(q, ["c0", queryHead(String(member))])};`)}
${eachToken((t) => `let value${t} = values(valueBase, ${t}, ${tokens}, column);`)}
${eachToken((t) => eachMember((member) => `var sum${t * group + member} = vec4f(0.0);`))}
for (var row = y; row < ${keySize}; row += ${high}) {
var state = initial(initialBase, row, ${keySize}, column);
${eachToken(
  (t) => `state += ${key(t)} * value${t};
${eachMember((member) => `sum${t * group + member} += ${query(t, member)} * state;`)}`,
)}
storeFinal(finalBase, row, column, state);
}
${Array.from({ length: outputs }, (_, i) => `sums[${i * lanes} + lane] = sum${i};`).join("\n")}
workgroupBarrier();
for (var at = lane; at < ${outputs * wide}; at += ${lanes}) {
let output = at / ${wide};
let first = output * ${lanes} + at % ${wide};
var sum = vec4f(0.0);
for (var part = 0; part < ${high}; part++) { sum += sums[first + part * ${wide}]; }
let outputBase = ${access.base(y, ["c0", queryHead(`output % ${group}`)])};
storeOutput(outputBase, output / ${group}, c2 * ${4 * wide} + 4 * (at % ${wide}), sum * ${constantCode(scale, "float32", shader.helpers)});
}`;
  const name = `linear attention step ${batch * keyHeads * group}x${tokens}x${keySize}x${valueSize}`;
  return shader.perGroup(name, batch * keyHeads * slices, lanes, body);
}
