/**
 * A few tokens of linear attention: decoding.
 *
 * A workgroup has some columns of one head's state: it reads and writes them once, and uses each
 * number while it is in a register. The minimum: 8de bytes a head, and 4de flops a token and head.
 */

import type { Operand } from "@x/tensor/device";
import type { Launch } from "../../launch.js";
import type { LoweringContext } from "../../native.js";
import { constantCode } from "../../wgsl/functions.js";
import { coordinatesOf, denseView } from "../view.js";
import { RowAccess } from "./rows.js";
import type { Sizes } from "./steps.js";

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
  readonly state: Operand;
  readonly output: number;
  /** May be the buffer of the state. */
  readonly final: number;
}

/** The launch of a step. */
export function stepLaunch(step: Step, context: LoweringContext): Launch {
  const { sizes, q, k, v, state, scale } = step;
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
  const access = new RowAccess(shader, [v, state, y, final], [q, k]);
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
  const body = `${coordinatesOf("group", [batch, keyHeads, slices], "c")}
let x = lane % ${wide};
let y = lane / ${wide};
let column = c2 * ${4 * wide} + 4 * x;
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
  (t) => `state += ${access.number(k, "keyBase", String(t), "row")} * value${t};
${eachMember((member) => `sum${t * group + member} += ${access.number(q, `queryBase${member}`, String(t), "row")} * state;`)}`,
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
