/**
 * One token of feature attention: decoding.
 *
 * A workgroup has a key head with its whole state: what one invocation may write no other workgroup
 * reads, so that states are updated where they are. It reads and writes the state once: 8Fe bytes.
 */

import type { FeatureAttentionSums, Operand } from "@x/tensor/device";
import type { Launch } from "../../launch.js";
import { constantCode } from "../../wgsl/functions.js";
import { RowAccess } from "../linear-attention/rows.js";
import { coordinatesOf, denseView, indexIn } from "../view.js";
import { lowestMaximum, type Attention } from "./problem.js";
import { declarePowers, declareProjection } from "./vectors.js";

/** Invocations that find the maximum of a vector. */
const across = 16;

/** A step: what is known before, and plan buffers, which may be those of the state. */
export interface Step {
  readonly attention: Attention;
  readonly state: FeatureAttentionSums<Operand>;
  readonly final: FeatureAttentionSums<number>;
  readonly output: number;
}

function bytesOf({ attention }: Step, lanes: number): number {
  const { sizes, map, v } = attention;
  const vectors = sizes.group + 1;
  const values = 4 * Math.ceil(v.shape[3]! / 4);
  return (
    4 * ((vectors + 1) * map.features + values + 2 * vectors * (across + 1) + 4) +
    24 * sizes.group * lanes
  );
}

/** How many invocations a workgroup can have; `null`: it does not fit. */
function lanesOf(step: Step): number | null {
  const { workgroupBytes, workgroupSize } = step.attention.context;
  const fits = (lanes: number): boolean =>
    lanes <= workgroupSize && bytesOf(step, lanes) <= workgroupBytes;
  return [256, 128, 64, 32].find(fits) ?? null;
}

/** Whether a shader can bind all that, and a workgroup hold it. */
export function isStep(step: Step): boolean {
  const { attention, state, final, output } = step;
  const { q, k, v, map, keyMask, sizes, context } = attention;
  const { keyValues, keys, maximum, values, count } = state;
  const operands = [q, k, v, map.projection, keyMask, keyValues, keys, maximum, values, count];
  const buffers = new Set([
    ...operands.flatMap((operand) => operand?.buffer ?? []),
    ...[final.keyValues, final.keys, final.maximum, final.values, final.count],
    output,
  ]);
  return (
    sizes.queries === 1 &&
    sizes.keys === 1 &&
    buffers.size <= context.mostBuffers &&
    lanesOf(step) !== null
  );
}

/** The launch of a step. */
export function stepLaunch(step: Step): Launch {
  const { attention, state } = step;
  const { q, k, v, map, keyMask, sizes, context } = attention;
  const { batch, keyHeads, group } = sizes;
  const { features } = map;
  const [size, valueSize] = [q.shape[3]!, v.shape[3]!];
  const lanes = lanesOf(step)!;
  const vectors = group + 1;
  const columns = Math.ceil(valueSize / 4);
  const wide = Math.min(lanes, 2 ** Math.ceil(Math.log2(columns)));
  const high = lanes / wide;
  const shader = context.shader();
  const y = denseView(step.output, "float32", [batch, keyHeads * group, 1, valueSize]);
  const matrix = denseView(step.final.keyValues, "float32", state.keyValues.shape);
  const numbers = [state.keys, state.maximum, state.values, state.count];
  const access = new RowAccess(
    shader,
    [q, k, v, map.projection, state.keyValues, y, matrix],
    numbers,
  );
  declareProjection(access, map);
  declarePowers(shader);
  access.declareLoad("query", q);
  access.declareLoad("key", k);
  access.declareLoad("value", v);
  access.declareLoad("initial", state.keyValues);
  access.declareStore("storeFinal", matrix);
  access.declareStore("storeOutput", y);
  const number = (value: number): string => constantCode(value, "float32", shader.helpers);
  const load = (x: Operand, at: readonly string[]): string =>
    shader.load(shader.slot(x.buffer, x.dtype), indexIn(x, ["c0", "c1", ...at]));
  const store = (buffer: number, x: Operand, at: readonly string[], value: string): string =>
    shader.store(
      shader.slot(buffer, "float32"),
      indexIn(denseView(buffer, "float32", x.shape), ["c0", "c1", ...at]),
      value,
    );
  const takesPart =
    keyMask === null
      ? "true"
      : shader.load(shader.slot(keyMask.buffer, keyMask.dtype), indexIn(keyMask, ["c0", "0"]));
  shader.declare(`var<workgroup> features: array<f32, ${vectors * features}>;
var<workgroup> key_sums: array<f32, ${features}>;
var<workgroup> value_sums: array<vec4f, ${columns}>;
var<workgroup> parts: array<vec2f, ${vectors * across}>;
var<workgroup> statistics: array<vec2f, ${vectors}>;
var<workgroup> sums: array<vec4f, ${group * lanes}>;
var<workgroup> weights: array<vec2f, ${group * lanes}>;`);

  // Vector 0 is the key, others are the queries of the group.
  const members = Array.from({ length: group }, (_, member) => member);
  const eachMember = (line: (member: number) => string): string => members.map(line).join("\n");
  const each = Array.from({ length: vectors }, (_, vector) => vector);
  const row = (vector: number, column: string): string =>
    vector === 0
      ? `key(keyBase, 0, 1, ${column})`
      : `query(queryBase${vector - 1}, 0, 1, ${column})`;
  const eachVector = (line: (vector: number) => string): string => each.map(line).join("\n");
  const half = number((map.scale * map.scale) / 2);
  const logits =
    map.projection === null
      ? `for (var at = lane; at < ${features}; at += ${lanes}) {
${eachVector((i) => `features[${i * features} + at] = ${row(i, "(at & -4)")}[at & 3];`)}
}`
      : `for (var at = lane; at < ${features}; at += ${lanes}) {
${eachVector((i) => `var logit${i} = 0.0;`)}
for (var column = 0; column < ${size}; column += 4) {
let direction = projection(${map.projection.offset}, at, ${features}, column);
${eachVector((i) => `logit${i} += dot(direction, ${row(i, "column")});`)}
}
${eachVector((i) => `features[${i * features} + at] = logit${i} * ${number(map.scale)};`)}
}`;
  const norm = (i: number): string =>
    map.projection === null
      ? ""
      : `for (var column = 4 * lane; column < ${size}; column += ${4 * across}) {
let x = ${row(i, "column")};
part.y += dot(x, x);
}`;
  const epsilon = map.projection === null ? 0 : map.epsilon;
  const body = `${coordinatesOf("group", [batch, keyHeads], "c")}
let keyBase = ${access.base(k, ["c0", "c1"])};
${eachMember((i) => `let queryBase${i} = ${access.base(q, ["c0", `c1 * ${group} + ${i}`])};`)}
let takesPart = ${takesPart};
${logits}
workgroupBarrier();
if (lane < ${across}) {
${eachVector(
  (i) => `{
var part = vec2f(${number(lowestMaximum)}, 0.0);
for (var at = lane; at < ${features}; at += ${across}) { part.x = max(part.x, features[${i * features} + at]); }
${norm(i)}
parts[${i * across} + lane] = part;
}`,
)}
}
workgroupBarrier();
for (var vector = lane; vector < ${vectors}; vector += ${lanes}) {
var all = parts[vector * ${across}];
for (var i = 1; i < ${across}; i++) {
let part = parts[vector * ${across} + i];
all = vec2f(max(all.x, part.x), all.y + part.y);
}
statistics[vector] = all;
}
workgroupBarrier();
let before = max(${load(state.maximum, [])}, ${number(lowestMaximum)});
let countBefore = ${load(state.count, [])};
let maximum = select(before, max(before, statistics[0].x), takesPart);
let keep = decay(vec4f(before - maximum)).x;
for (var at = lane; at < ${features}; at += ${lanes}) {
let exponent = features[at] - ${half} * statistics[0].y - maximum;
let feature = select(0.0, power(vec4f(exponent)).x, takesPart);
features[at] = feature;
let sum = ${load(state.keys, ["at"])} * keep + feature;
key_sums[at] = sum;
${store(step.final.keys, state.keys, ["at"], "sum")}
${eachMember((member) => {
  const vector = member + 1;
  const exponent = `features[${vector * features} + at] - ${half} * statistics[${vector}].y - statistics[${vector}].x`;
  return `features[${vector * features} + at] = power(vec4f(${exponent})).x + ${number(epsilon)};`;
})}
}
let valueBase = ${access.base(v, ["c0", "c1"])};
for (var at = lane; at < ${columns}; at += ${lanes}) {
var sum = select(vec4f(), value(valueBase, 0, 1, 4 * at), takesPart);
for (var i = 0; i < min(4, ${valueSize} - 4 * at); i++) {
sum[i] += ${load(state.values, ["(4 * at + i)"])};
${store(step.final.values, state.values, ["(4 * at + i)"], "sum[i]")}
}
value_sums[at] = sum;
}
workgroupBarrier();
let count = countBefore + select(0.0, 1.0, takesPart);
if (lane == 0) {
${store(step.final.maximum, state.maximum, [], "maximum")}
${store(step.final.count, state.count, [], "count")}
}
let x = lane % ${wide};
let y = lane / ${wide};
let initialBase = ${access.base(state.keyValues, ["c0", "c1"])};
let finalBase = ${access.base(matrix, ["c0", "c1"])};
for (var first = 0; first < ${columns}; first += ${wide}) {
let column = 4 * (first + x);
let own = select(vec4f(), value(valueBase, 0, 1, column), takesPart);
${eachMember((i) => `var sum${i} = vec4f();\nvar weight${i} = vec2f();`)}
for (var row = y; row < ${features}; row += ${high}) {
let state = initial(initialBase, row, ${features}, column) * keep + features[row] * own;
storeFinal(finalBase, row, column, state);
${eachMember(
  (i) => `{
let feature = features[${(i + 1) * features} + row];
sum${i} += feature * state;
weight${i} += feature * vec2f(key_sums[row], ${number(epsilon)});
}`,
)}
}
${eachMember((i) => `sums[${i * lanes} + lane] = sum${i};\nweights[${i * lanes} + lane] = weight${i};`)}
workgroupBarrier();
for (var at = lane; at < ${group * wide}; at += ${lanes}) {
let place = at / ${wide} * ${lanes} + at % ${wide};
var sum = vec4f();
var weight = vec2f();
for (var part = 0; part < ${high}; part++) {
sum += sums[place + part * ${wide}];
weight += weights[place + part * ${wide}];
}
let vector = first + at % ${wide};
sum += weight.y * value_sums[min(vector, ${columns - 1})];
let total = weight.x + weight.y * count;
let outputBase = ${access.base(y, ["c0", `(c1 * ${group} + at / ${wide})`])};
storeOutput(outputBase, 0, 4 * vector, select(sum / total, vec4f(), total == 0.0));
}
workgroupBarrier();
}`;
  const name = `feature attention step ${batch * keyHeads * group}x${size}x${features}x${valueSize}`;
  return shader.perGroup(name, batch * keyHeads, lanes, body);
}
