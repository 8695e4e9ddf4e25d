/** Naive kernels, written down as the definitions say: the base that ours are compared with. */

import type { Competitor } from "../measure.js";

const usage = { STORAGE: 0x80, COPY_SRC: 0x04, COPY_DST: 0x08, MAP_READ: 0x01 };
const readMode = 1;

/** A dispatch of a naive kernel: its shader, the numbers of its buffers, and workgroups along x and y. */
export interface NaiveLaunch {
  readonly shader: string;
  readonly buffers: readonly number[];
  readonly workgroups: readonly [number, number];
}

/** A computation by naive kernels over buffers of its own. */
export class NaiveProgram implements Competitor {
  readonly name: string;
  readonly #gpu: GPUDevice;
  readonly #buffers: readonly GPUBuffer[];
  readonly #launches: readonly {
    readonly pipeline: GPUComputePipeline;
    readonly group: GPUBindGroup;
    readonly workgroups: readonly [number, number];
  }[];

  /** `data` are the first buffers, after them come results of `sizes` float32 numbers each. */
  constructor(
    gpu: GPUDevice,
    name: string,
    data: readonly Float32Array<ArrayBuffer>[],
    sizes: readonly number[],
    launches: readonly NaiveLaunch[],
  ) {
    this.name = name;
    this.#gpu = gpu;
    const sizesOfAll = [...data.map(({ length }) => length), ...sizes];
    this.#buffers = sizesOfAll.map((length) =>
      gpu.createBuffer({
        size: 4 * length,
        usage: usage.STORAGE | usage.COPY_SRC | usage.COPY_DST,
      }),
    );
    data.forEach((numbers, i) => {
      gpu.queue.writeBuffer(this.#buffers[i]!, 0, numbers);
    });
    this.#launches = launches.map(({ shader, buffers, workgroups }) => {
      const module = gpu.createShaderModule({ code: shader });
      const pipeline = gpu.createComputePipeline({
        layout: "auto",
        compute: { module, entryPoint: "main" },
      });
      const entries = buffers.map((number, binding) => {
        return { binding, resource: { buffer: this.#buffers[number]! } };
      });
      const group = gpu.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries });
      return { pipeline, group, workgroups };
    });
  }

  async turn(runs: number): Promise<number> {
    const start = performance.now();
    const encoder = this.#gpu.createCommandEncoder();
    const pass = encoder.beginComputePass();
    for (let run = 0; run < runs; run++) {
      for (const { pipeline, group, workgroups } of this.#launches) {
        pass.setPipeline(pipeline);
        pass.setBindGroup(0, group);
        pass.dispatchWorkgroups(...workgroups);
      }
    }
    pass.end();
    this.#gpu.queue.submit([encoder.finish()]);
    await this.#gpu.queue.onSubmittedWorkDone();
    return performance.now() - start;
  }

  /** The numbers of a buffer. */
  async read(number: number): Promise<Float32Array> {
    const source = this.#buffers[number]!;
    const { size } = source;
    const staging = this.#gpu.createBuffer({ size, usage: usage.MAP_READ | usage.COPY_DST });
    const encoder = this.#gpu.createCommandEncoder();
    encoder.copyBufferToBuffer(source, 0, staging, 0, size);
    this.#gpu.queue.submit([encoder.finish()]);
    await staging.mapAsync(readMode);
    const numbers = new Float32Array(staging.getMappedRange().slice(0));
    staging.destroy();
    return numbers;
  }

  release(): void {
    for (const buffer of this.#buffers) buffer.destroy();
  }
}

const declare = (names: readonly string[]): string =>
  names
    .map((name, i) => `@group(0) @binding(${i}) var<storage, read_write> ${name}: array<f32>;`)
    .join("\n");

/** A matrix product with one invocation for each element of the result: buffers a, b, c. */
export function naiveMatmul(m: number, n: number, k: number): NaiveLaunch {
  const side = 16;
  const shader = `${declare(["a", "b", "c"])}
@compute @workgroup_size(${side}, ${side})
fn main(@builtin(global_invocation_id) id: vec3u) {
  let column = id.x;
  let row = id.y;
  if (row >= ${m}u || column >= ${n}u) { return; }
  var sum = 0.0;
  for (var p = 0u; p < ${k}u; p++) { sum += a[row * ${k}u + p] * b[p * ${n}u + column]; }
  c[row * ${n}u + column] = sum;
}`;
  return { shader, buffers: [0, 1, 2], workgroups: [Math.ceil(n / side), Math.ceil(m / side)] };
}

/**
 * Causal linear attention token by token: a workgroup for each head, an invocation for each column of
 * the state, which it holds. Buffers of [heads, length, dim]: queries, keys, values, result.
 *
 * Backwards, from the last token to the first, it gives the gradients of keys and values.
 */
export function naiveLinearAttention(
  { heads, length, dim, scale }: { heads: number; length: number; dim: number; scale: number },
  buffers: readonly number[],
  isBackwards = false,
): NaiveLaunch {
  const shader = `${declare(["q", "k", "v", "y"])}
@compute @workgroup_size(${dim})
fn main(@builtin(workgroup_id) head: vec3u, @builtin(local_invocation_index) column: u32) {
  var state: array<f32, ${dim}>;
  for (var step = 0u; step < ${length}u; step++) {
    let token = ${isBackwards ? `${length - 1}u - step` : "step"};
    let row = (head.x * ${length}u + token) * ${dim}u;
    let value = v[row + column];
    var sum = 0.0;
    for (var d = 0u; d < ${dim}u; d++) {
      state[d] += k[row + d] * value;
      sum += q[row + d] * state[d];
    }
    y[row + column] = sum * ${scale};
  }
}`;
  return { shader, buffers, workgroups: [heads, 1] };
}
