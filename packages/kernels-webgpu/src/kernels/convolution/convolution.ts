/**
 * Convolutions as matrix products whose right side is never written: a workgroup computes a tile of
 * filters × positions, and gathers what the filters see straight into workgroup memory.
 */

import type { NativeStep, Node, Operand } from "@x/tensor/device";
import type { Launch } from "../../launch.js";
import type { LoweringContext, NativeKernel } from "../../native.js";
import { coordinatesOf, indexIn, product } from "../view.js";

/** Filters and positions that an invocation computes. */
const block = 4;
/** Most invocations of a workgroup. */
const mostInvocations = 256;

/** Whether every channel has one filter of its own: then the definition is one fused loop. */
function isDepthwise({ inputs: [x, weight], attributes }: Node): boolean {
  const { groups } = attributes;
  return weight!.shape[1] === 1 && weight!.shape[0] === groups && x!.shape[1] === groups;
}

/** The kernel of `convolution`; it reads any view. */
export const convolutionKernel: NativeKernel = {
  op: "convolution",
  supports: (node) => !isDepthwise(node) && node.inputs.every(({ shape }) => !shape.includes(0)),
  acceptsView: () => true,
  lower: (step, context) => [convolve(step, context)],
};

function convolve({ node, inputs, outputs }: NativeStep, context: LoweringContext): Launch {
  const [x, weight] = inputs as [Operand, Operand];
  const list = (name: string): readonly number[] => node.attributes[name] as readonly number[];
  const [stride, padding, dilation] = [list("stride"), list("padding"), list("dilation")];
  const groups = node.attributes.groups as number;
  const [filters, depth, ...kernel] = weight.shape as [number, number, ...number[]];
  const [batch, , ...spatial] = node.outputs[0]!.shape as [number, number, ...number[]];
  const positions = product(spatial);
  const length = depth * product(kernel);
  const filtersEach = filters / groups;

  const tileFilters = filtersEach <= 16 ? 16 : filtersEach <= 32 ? 32 : 64;
  const invocations = Math.min(mostInvocations, context.workgroupSize);
  const rows = tileFilters / block;
  const columns = invocations / rows;
  const tilePositions = columns * block;
  const steps = tileFilters === 16 ? 8 : 16;
  const across = Math.ceil(positions / tilePositions);
  const down = Math.ceil(filtersEach / tileFilters);

  const shader = context.shader();
  const wide = positions % block === 0;
  const output = shader.slot(outputs[0]!, "float32", wide ? block : 1);
  const load = (operand: Operand, coordinates: readonly string[]): string =>
    shader.load(shader.slot(operand.buffer, "float32"), indexIn(operand, coordinates));
  const seen = spatial.map(
    (_, d) => `p${d} * ${stride[d]!} + k${d + 1} * ${dilation[d]!} - ${padding[d]!}`,
  );
  const isInside = seen.map((_, d) => `i${d} >= 0 && i${d} < ${x.shape[d + 2]!}`).join(" && ");
  shader.declare(`fn seen(image: i32, first: i32, k: i32, position: i32) -> f32 {
if (k >= ${length} || position >= ${positions}) { return 0f; }
${coordinatesOf("k", [depth, ...kernel], "k")}
${coordinatesOf("position", spatial, "p")}
${seen.map((code, d) => `let i${d} = ${code};`).join("\n")}
if (${isInside}) { return ${load(x, ["image", "first + k0", ...seen.map((_, d) => `i${d}`)])}; }
return 0f;
}
fn factor(channel: i32, last: i32, k: i32) -> f32 {
if (channel >= last || k >= ${length}) { return 0f; }
${coordinatesOf("k", [depth, ...kernel], "k")}
return ${load(weight, ["channel", "k0", ...kernel.map((_, d) => `k${d + 1}`)])};
}`);
  // A row of filters has one vector more than it needs: neighbouring steps are in other banks.
  const pitch = rows + 1;
  shader.declare(`var<workgroup> windows: array<vec4f, ${steps * columns}>;
var<workgroup> factors: array<vec4f, ${steps * pitch}>;`);

  const parts = ["x", "y", "z", "w"] as const;
  const blocks = parts.map((_, i) => i);
  const four = (call: (i: number) => string): string =>
    `vec4f(${blocks.map((i) => call(i)).join(", ")})`;
  const storeRow = (i: number): string => {
    const base = `(image * ${filters} + channel + ${i}) * ${positions} + position`;
    const stores = wide
      ? `if (position < ${positions}) { ${shader.store(output, `(${base}) / 4`, `sum${i}`)} }`
      : parts
          .map((part, j) => {
            const store = shader.store(output, `${base} + ${j}`, `sum${i}.${part}`);
            return `if (position + ${j} < ${positions}) { ${store} }`;
          })
          .join("\n");
    return `if (channel + ${i} < last) {\n${stores}\n}`;
  };
  const body = `let tile = group % ${across * down};
let image = group / ${across * down * groups};
let part = group / ${across * down} % ${groups};
let last = (part + 1) * ${filtersEach};
let row = lane / ${columns};
let column = lane % ${columns};
let firstPosition = tile % ${across} * ${tilePositions};
let firstChannel = part * ${filtersEach} + tile / ${across} * ${tileFilters};
${blocks.map((i) => `var sum${i} = vec4f(0);`).join("\n")}
for (var start = 0; start < ${length}; start += ${steps}) {
for (var at = lane; at < ${steps * columns}; at += ${invocations}) {
let k = start + at / ${columns};
let position = firstPosition + at % ${columns} * ${block};
windows[at] = ${four((i) => `seen(image, part * ${depth}, k, position + ${i})`)};
}
for (var at = lane; at < ${steps * rows}; at += ${invocations}) {
let k = at % ${steps};
let channel = firstChannel + at / ${steps} * ${block};
factors[k * ${pitch} + at / ${steps}] = ${four((i) => `factor(channel + ${i}, last, start + k)`)};
}
workgroupBarrier();
for (var k = 0; k < ${steps}; k++) {
let values = windows[k * ${columns} + column];
let own = factors[k * ${pitch} + row];
${parts.map((part, i) => `sum${i} += own.${part} * values;`).join("\n")}
}
workgroupBarrier();
}
let channel = firstChannel + row * ${block};
let position = firstPosition + column * ${block};
${blocks.map((i) => storeRow(i)).join("\n")}`;
  const name = `convolution ${batch}x${filters}x${spatial.join("x")}x${length}`;
  return shader.perGroup(name, across * down * groups * batch, invocations, body);
}
