/**
 * Kernel halving: all rounds of a head in one launch, as the work of one workgroup.
 *
 * Of a pair after the other it is chosen which member to keep, in all buckets at once that a chunk
 * takes. Every pair belongs to an invocation, which holds its sum over the pairs chosen so far; the
 * invocation whose pair is next chooses and tells the others the sign, and each adds the differences
 * of the kernel to the sums of its pairs. Signs have two places for each bucket, so that one barrier a
 * step suffices.
 */

import { halvingRounds, halvingTotals, type HalvingRound, type Operand } from "@x/tensor/device";
import type { Launch } from "../../launch.js";
import type { LoweringContext, NativeKernel } from "../../native.js";
import type { ShaderBuilder } from "../../wgsl/shader.js";
import { denseView, indexIn } from "../view.js";

/** Most invocations of a workgroup. */
const mostInvocations = 256;
/** Most pairs of a chunk, unless a bucket alone has more. */
const mostPairs = 2048;

/** The operands of a halving in the order of its inputs. */
type Operands = readonly [
  key: Operand,
  value: Operand,
  weights: Operand,
  offsets: Operand,
  draws: Operand,
];

/** Buckets that are halved at once. */
function chunkOf({ size, buckets }: HalvingRound, invocations: number): number {
  return Math.max(1, Math.min(buckets, invocations, Math.floor((2 * mostPairs) / size)));
}

/** Declares `difference(a, z, x, y, bucket, offset)`: K(a, x) − K(z, x) − K(a, y) + K(z, y). */
function declareDifference(shader: ShaderBuilder, [key, value]: Operands): void {
  const load = (operand: Operand, place: string): string =>
    shader.load(
      shader.slot(operand.buffer, operand.dtype),
      indexIn(operand, ["batch", "head", place, "i"]),
    );
  const products = (operand: Operand, name: string): string => `var ${name} = vec4f();
for (var i = 0; i < ${operand.shape[3]}; i++) {
let ours = vec2f(${load(operand, "a")}, ${load(operand, "z")});
${name} += ours.xyxy * vec2f(${load(operand, "x")}, ${load(operand, "y")}).xxyy;
}`;
  shader.declare(`var<private> batch: i32;
var<private> head: i32;
fn squaredNorm(a: i32) -> f32 {
var sum = 0.0;
for (var i = 0; i < ${key.shape[3]}; i++) {
let number = ${load(key, "a")};
sum += number * number;
}
return sum;
}
fn difference(a: i32, z: i32, x: i32, y: i32, shift: f32, offset: f32) -> f32 {
${products(key, "powers")}
${products(value, "weights")}
let kernel = exp(powers - shift) * (weights + offset);
return (kernel.x - kernel.y) - (kernel.z - kernel.w);
}`);
}

/** The statements of one round; `previous` is the one before it. */
function writeRound(
  shader: ShaderBuilder,
  [, , weights, offsets, draws]: Operands,
  output: Operand,
  round: HalvingRound,
  previous: HalvingRound | undefined,
  invocations: number,
): string {
  const { size, buckets, firstEntry, firstBucket } = round;
  const pairs = size / 2;
  const chunk = chunkOf(round, invocations);
  const each = Math.ceil((chunk * pairs) / invocations);
  const results = shader.slot(output.buffer, "int32");
  const at = (operand: Operand, ...places: string[]): string =>
    shader.load(shader.slot(operand.buffer, operand.dtype), indexIn(operand, places));
  const kept = (place: string): string => indexIn(output, ["batch", "head", place]);
  const entryOf = (place: string): string =>
    previous === undefined
      ? place
      : shader.load(results, kept(`${previous.firstEntry} + ${place}`));
  const keep = (own: string): string =>
    shader.store(results, kept(`${firstEntry} + first + pair`), own);
  // Statements that name the pair, its bucket, its place there, and its members.
  const forEachPair = (body: string): string => `for (var t = 0; t < ${each}; t++) {
let pair = t * ${invocations} + lane;
let bucket = pair / ${pairs};
let place = pair % ${pairs};
if (pair >= ${chunk * pairs} || start + bucket >= ${buckets}) { continue; }
${body}
}`;
  const members = `let a = ${entryOf("2 * (first + pair)")};
let z = ${entryOf("2 * (first + pair) + 1")};`;
  const offset = at(offsets, "batch", "head", `${firstBucket} + start + bucket`);
  const draw = (place: string): string =>
    at(draws, "batch", "head", `${firstEntry} + first + ${place}`);
  const shift = "bitcast<f32>(atomicLoad(&shifts[bucket]))";
  return `for (var start = 0; start < ${buckets}; start += ${chunk}) {
let first = start * ${pairs};
var sums = array<f32, ${each}>();
if (lane < ${chunk}) { atomicStore(&shifts[lane], 0u); reaches[lane] = 0.0; }
if (lane == 0) { atomicStore(&anyWhole, 0u); }
workgroupBarrier();
${forEachPair(`${members}
atomicMax(&shifts[bucket], bitcast<u32>(max(squaredNorm(a), squaredNorm(z))));
let hasSecond = ${at(weights, "batch", "z")} > 0.0;
if (hasSecond && ${at(weights, "batch", "a")} > 0.0) { atomicStore(&anyWhole, 1u); }
${keep("select(a, z, hasSecond)")}`)}
workgroupBarrier();
if (lane == 0) { hasWhole = atomicLoad(&anyWhole); }
let steps = i32(workgroupUniformLoad(&hasWhole)) * ${pairs};
for (var step = 0; step < steps; step++) {
let side = (step & 1) * ${invocations};
${forEachPair(`if (place == step) {
${members}
var sign = 0.0;
if (${at(weights, "batch", "a")} > 0.0 && ${at(weights, "batch", "z")} > 0.0) {
let radius = sqrt(max(difference(a, z, a, z, ${shift}, ${offset}), 0.0));
let reach = max(reaches[bucket], radius);
reaches[bucket] = reach;
let isSwapped = step > 0 && ${draw("pair")} * radius * reach <= sums[t];
let isInverted = ${draw("pair - place")} < 0.0;
sign = select(1.0, -1.0, isSwapped);
${keep("select(z, a, isSwapped == isInverted)")}
}
signs[side + bucket] = sign;
}`)}
workgroupBarrier();
${forEachPair(`let sign = signs[side + bucket];
if (place > step && sign != 0.0) {
${members}
let chosen = first + bucket * ${pairs} + step;
let x = ${entryOf("2 * chosen")};
let y = ${entryOf("2 * chosen + 1")};
sums[t] += sign * difference(a, z, x, y, ${shift}, ${offset});
}`)}
}
storageBarrier();
workgroupBarrier();
}`;
}

function lower(
  name: string,
  operands: Operands,
  buffer: number,
  rounds: readonly HalvingRound[],
  context: LoweringContext,
): Launch {
  const [batch, heads] = operands[0].shape as [number, number];
  const invocations = Math.min(mostInvocations, context.workgroupSize);
  const output = denseView(buffer, "int32", [batch, heads, halvingTotals(rounds)[0]]);
  const shader = context.shader();
  declareDifference(shader, operands);
  shader.declare(`var<workgroup> shifts: array<atomic<u32>, ${invocations}>;
var<workgroup> reaches: array<f32, ${invocations}>;
var<workgroup> signs: array<f32, ${2 * invocations}>;
var<workgroup> anyWhole: atomic<u32>;
var<workgroup> hasWhole: u32;`);
  const texts = rounds.map((round, i) =>
    writeRound(shader, operands, output, round, rounds[i - 1], invocations),
  );
  const body = `batch = group / ${heads};\nhead = group % ${heads};\n${texts.join("\n")}`;
  return shader.perGroup(name, batch * heads, invocations, body);
}

/** The kernel of `kernelHalving`. */
export const kernelHalvingKernel: NativeKernel = {
  op: "kernelHalving",
  acceptsView: () => true,
  lower: ({ name, node, inputs, outputs }, context) => {
    const { bucket, rounds } = node.attributes as { bucket: number; rounds: number };
    const operands = inputs as Operands;
    const list = halvingRounds(operands[0].shape[2]!, bucket, rounds);
    return [lower(name, operands, outputs[0]!, list, context)];
  },
};
