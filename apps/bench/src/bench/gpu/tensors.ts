/** Computations with tensors as something to be timed. */

import { fromData, profile, realize, type Shape, type Tensor } from "@x/tensor";
import type { Competitor } from "../measure.js";
import { numbers } from "../peers/inputs.js";

/** What a computation took besides time. */
export interface LaunchFigures {
  /** Kernels of one run. */
  readonly launches: number;
  /** Their time one by one: by the clock of the GPU where it has one that can be asked. */
  readonly "kernel ms": number;
}

/** A computation that is recorded anew in every run, as programs do. */
export class TensorProgram implements Competitor {
  readonly name: string;
  readonly #gpu: GPUDevice;
  readonly #compute: () => readonly Tensor[];
  readonly #kept: number;

  /** The first `kept` results have a place of their own, as gradients do; the others are given back. */
  constructor(gpu: GPUDevice, name: string, compute: () => readonly Tensor[], kept: number = 0) {
    this.name = name;
    this.#gpu = gpu;
    this.#compute = compute;
    this.#kept = kept;
  }

  async turn(runs: number): Promise<number> {
    const start = performance.now();
    for (let run = 0; run < runs; run++) {
      const results = this.#compute();
      await realize(...results);
      for (const result of results.slice(this.#kept)) result.dispose();
    }
    await this.#gpu.queue.onSubmittedWorkDone();
    return performance.now() - start;
  }

  /** The numbers of the first result. */
  async result(): Promise<Float32Array> {
    return (await this.#compute()[0]!.data()) as Float32Array;
  }

  /** Kernels of a run that was seen before. */
  async figures(): Promise<LaunchFigures> {
    return launchFigures(() => this.turn(1));
  }
}

/** Counts and times the kernels of a run that was seen before. */
export async function launchFigures(run: () => Promise<unknown>): Promise<LaunchFigures> {
  const { kernels, kernelMilliseconds } = await profile(run);
  return {
    launches: kernels.reduce((sum, { calls }) => sum + calls, 0),
    "kernel ms": kernelMilliseconds,
  };
}

/** Random numbers, and a tensor on the device that holds them. */
export async function input(
  shape: Shape,
  seed: number,
  requiresGrad = false,
): Promise<{ readonly data: Float32Array<ArrayBuffer>; readonly tensor: Tensor }> {
  const size = shape.reduce((a, b) => a * b, 1);
  const data = numbers(size, seed);
  // Data is only moved to the device for good when it is used a second time.
  const tensor = await fromData(data, shape).add(0).realize();
  return { data, tensor: requiresGrad ? tensor.setRequiresGrad() : tensor };
}
