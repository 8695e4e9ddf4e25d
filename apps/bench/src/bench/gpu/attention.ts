/** Causal attention on the GPU: flash and linear, beside their definitions. */

import {
  cumulativeLinearAttention,
  fromData,
  getDevice,
  scaledDotProductAttention,
  type Tensor,
} from "@x/tensor";
import type { Row, SuiteResult } from "../report.js";
import { compare, speedup, type GpuSuiteOptions } from "./compare.js";
import { naiveLinearAttention, NaiveProgram } from "./naive.js";
import { input, TensorProgram } from "./tensors.js";

const dim = 64;
const scale = 1 / Math.sqrt(dim);
const composed = "matmul, softmax, matmul";
const sequential = "token by token";

type Attend = (q: Tensor, k: Tensor, v: Tensor) => Tensor;

/** The output, or the gradients of q, k and v when all outputs are weighted equally, and the output. */
function program(
  gpu: GPUDevice,
  name: string,
  inputs: readonly Tensor[],
  attend: Attend,
): TensorProgram {
  const [q, k, v] = inputs as [Tensor, Tensor, Tensor];
  if (!q.requiresGrad) return new TensorProgram(gpu, name, () => [attend(q, k, v)]);
  const compute = (): readonly Tensor[] => {
    for (const tensor of inputs) tensor.grad = null;
    const output = attend(q, k, v);
    output.sum().backward();
    return [...inputs.map(({ grad }) => grad!), output];
  };
  return new TensorProgram(gpu, name, compute, inputs.length);
}

async function inputsOf(
  heads: number,
  length: number,
  backward: boolean,
): Promise<{ readonly tensors: Tensor[]; readonly data: Float32Array<ArrayBuffer>[] }> {
  const parts = [];
  for (const seed of [1, 2, 3]) parts.push(await input([1, heads, length, dim], seed, backward));
  return { tensors: parts.map(({ tensor }) => tensor), data: parts.map(({ data }) => data) };
}

/** Every score in memory, as the definition says. */
function exactAttention(length: number): Attend {
  const visible = fromData(
    Uint8Array.from({ length: length * length }, (_, i) => Number(i % length <= i / length)),
    [length, length],
    { dtype: "bool", device: getDevice() },
  );
  return (q, k, v) =>
    q.matmul(k.transpose(-1, -2)).mul(scale).where(visible, -Infinity).softmax(-1).matmul(v);
}

async function flash(options: GpuSuiteOptions): Promise<Row[]> {
  const { gpu, quick } = options;
  const heads = quick ? 2 : 8;
  const rows: Row[] = [];
  for (const backward of [false, true]) {
    for (const length of quick ? [64] : [1024, 4096]) {
      const { tensors } = await inputsOf(heads, length, backward);
      // Half of the scores; the backward pass computes them again and has five products to the two.
      const flops = (backward ? 3.5 : 1) * 2 * heads * length * length * dim;
      const comparison = {
        what: `exact, N=${length}${backward ? ", with gradients" : ""}`,
        inputs: tensors,
        programs: [
          program(gpu, "ours", tensors, (q, k, v) =>
            scaledDotProductAttention(q, k, v, { isCausal: true }),
          ),
          program(gpu, composed, tensors, exactAttention(length)),
        ],
        figures: (milliseconds: number) => ({
          "ns/token·head": (1e6 * milliseconds) / (heads * length),
          GFLOPS: flops / milliseconds / 1e6,
        }),
      };
      rows.push(await compare(comparison, options));
    }
  }
  return rows;
}

async function linear(options: GpuSuiteOptions): Promise<Row[]> {
  const { gpu, quick } = options;
  const heads = quick ? 2 : 16;
  const rows: Row[] = [];
  for (const backward of [false, true]) {
    for (const length of quick ? [128] : [2048, 8192]) {
      const { tensors, data } = await inputsOf(heads, length, backward);
      const size = heads * length * dim;
      const sizes = { heads, length, dim, scale };
      // Buffers: q, k, v, then the cotangent of the output, then results.
      const cotangent = new Float32Array(size).fill(1);
      const launches = backward
        ? [
            naiveLinearAttention(sizes, [0, 1, 2, 4]),
            naiveLinearAttention(sizes, [3, 2, 1, 5]),
            naiveLinearAttention(sizes, [2, 3, 0, 6], true),
            naiveLinearAttention(sizes, [1, 0, 3, 7], true),
          ]
        : [naiveLinearAttention(sizes, [0, 1, 2, 4])];
      const comparison = {
        what: `linear, N=${length}${backward ? ", with gradients" : ""}`,
        inputs: tensors,
        programs: [
          program(
            gpu,
            "ours",
            tensors,
            (q, k, v) => cumulativeLinearAttention(q, k, v, { causal: true, scale }).output,
          ),
          new NaiveProgram(
            gpu,
            sequential,
            [...data, cotangent],
            launches.map(() => size),
            launches,
          ),
        ],
        naiveResult: backward ? 5 : 4,
        figures: (milliseconds: number) => ({
          "ns/token·head": (1e6 * milliseconds) / (heads * length),
          // Queries, keys, values and outputs once; backward also the gradients, and all again.
          "GB/s": ((backward ? 14 : 4) * 4 * size) / milliseconds / 1e6,
        }),
      };
      rows.push(await compare(comparison, options));
    }
  }
  return rows;
}

/** The suite of attention. */
export async function attention(options: GpuSuiteOptions): Promise<SuiteResult> {
  const [exactRows, linearRows] = [await flash(options), await linear(options)];
  const forward = linearRows.findLast(({ what }) => !what.includes("gradients"));
  return {
    suite: "Causal attention on the GPU, heads of 64",
    rows: [...exactRows, ...linearRows],
    claims: [
      {
        claim: `${forward!.what}, against a kernel that goes token by token`,
        measured: options.quick ? NaN : speedup(forward, sequential),
        must: 10,
        aim: 30,
      },
    ],
    notes: [
      '"difference" is that of the first result: the output, or the gradient of q',
      ...exactRows.map(
        (row) => `${row.what}: ${speedup(row, composed).toFixed(1)} times its definition`,
      ),
      ...linearRows.map(
        (row) => `${row.what}: ${speedup(row, sequential).toFixed(1)} times token by token`,
      ),
    ],
  };
}
