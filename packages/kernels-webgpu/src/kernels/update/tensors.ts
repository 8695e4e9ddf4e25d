/**
 * Optimizer updates: the tensors of a few parameters in one launch, each read once and written in
 * place.
 */

import type { Node, Operand } from "@x/tensor/device";
import type { Launch } from "../../launch.js";
import type { LoweringContext, NativeKernel } from "../../native.js";
import type { ShaderBuilder } from "../../wgsl/shader.js";
import { product } from "../view.js";

/** What is done to the elements of one parameter. */
export interface TensorUpdate {
  /** The operation: numbers first, then for each parameter itself, its gradient and its states. */
  readonly op: string;
  /** What the numbers are called in `code`. */
  readonly numbers: readonly string[];
  /** What the states are called; the others are `parameter` and `gradient`. */
  readonly states: readonly string[];
  /** Statements that give all but the gradient their new values. */
  readonly code: (attributes: Node["attributes"], update: UpdateShader) => string;
}

/** What the code of an update may ask for. */
export interface UpdateShader {
  /** The larger of each two elements; NaN wins. */
  readonly maximum: (a: string, b: string) => string;
}

/** A parameter, its gradient and its states, and the buffers of the results. */
interface Tensors {
  readonly inputs: readonly Operand[];
  readonly outputs: readonly number[];
}

function launchOf(
  definition: TensorUpdate,
  attributes: Node["attributes"],
  numbers: Operand,
  group: readonly Tensors[],
  context: LoweringContext,
): Launch {
  const { op, states } = definition;
  const shader = context.shader();
  // The end of a buffer is padded: a last vector that is not whole does no harm.
  const isWide = group.every(({ inputs }) => inputs.every(({ offset }) => offset % 4 === 0));
  const width = isWide ? 4 : 1;
  const given = shader.slot(numbers.buffer, "float32");
  const lines = definition.numbers.map(
    (name, i) => `let ${name} = ${shader.load(given, String(numbers.offset + i))};`,
  );
  const names = ["parameter", "gradient", ...states];
  const results = ["parameter", ...states];
  const code = definition.code(attributes, {
    maximum: (a, b) => maximum(shader, width, a, b),
  });
  let end = 0;
  let elements = 0;
  for (const { inputs, outputs } of group) {
    const start = end;
    const size = product(inputs[0]!.shape);
    elements += size;
    end += Math.ceil(size / width);
    const loads = inputs.map(({ buffer, offset }, i) => {
      const at = offset === 0 ? "at" : `at + ${offset / width}`;
      return `var ${names[i]} = ${shader.load(shader.slot(buffer, "float32", width), at)};`;
    });
    const stores = outputs.map((buffer, i) =>
      shader.store(shader.slot(buffer, "float32", width), "at", results[i]!),
    );
    lines.push(
      `if (item < ${end}) {`,
      `let at = item - ${start};`,
      ...loads,
      code,
      ...stores,
      "return;",
      "}",
    );
  }
  return shader.perItem(`${op} ${elements}`, end, lines.join("\n"));
}

function maximum(shader: ShaderBuilder, width: 1 | 4, a: string, b: string): string {
  shader.helpers.use("floatMaximum");
  const parts = ["x", "y", "z", "w"].map((part) => `floatMaximum(${a}.${part}, ${b}.${part})`);
  return width === 1 ? `floatMaximum(${a}, ${b})` : `vec4f(${parts.join(", ")})`;
}

/** The kernel of an update. */
export function updateKernel(definition: TensorUpdate): NativeKernel {
  const { op, states } = definition;
  const [inputCount, outputCount] = [states.length + 2, states.length + 1];
  return {
    op,
    supports: ({ inputs }) => inputs.every(({ dtype }) => dtype === "float32"),
    lower: ({ node, inputs: [numbers, ...tensors], outputs }, context) => {
      const parameters = Array.from({ length: tensors.length / inputCount }, (_, i): Tensors => ({
        inputs: tensors.slice(i * inputCount, (i + 1) * inputCount),
        outputs: outputs.slice(i * outputCount, (i + 1) * outputCount) as number[],
      })).filter(({ inputs }) => product(inputs[0]!.shape) > 0);
      // Results may go elsewhere than where the old values are.
      const buffersEach = Math.max(
        ...parameters.map(
          ({ inputs, outputs: own }) =>
            new Set([...inputs.map(({ buffer }) => buffer), ...own]).size,
        ),
      );
      const most = Math.max(1, Math.floor((context.mostBuffers - 1) / buffersEach));
      const launches: Launch[] = [];
      for (let i = 0; i < parameters.length; i += most) {
        const group = parameters.slice(i, i + most);
        launches.push(launchOf(definition, node.attributes, numbers!, group, context));
      }
      return launches;
    },
  };
}
