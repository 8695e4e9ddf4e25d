/** The same program on the GPU and on the reference device. */

import { expect } from "vitest";
import {
  fromData,
  realize,
  reference,
  setDevice,
  type Device,
  type DType,
  type Shape,
  type Tensor,
} from "@x/tensor";
import { compareElements, randomNumbers, type Tolerance } from "@x/tensor/testing";

async function run(device: Device, program: () => readonly Tensor[]): Promise<ArrayLike<number>[]> {
  setDevice(device);
  const results = program();
  await realize(...results);
  return Promise.all(results.map((result) => result.data()));
}

/** Fails where the results of the program differ; by default they may not differ at all. */
export async function expectLikeReference(
  device: Device,
  program: () => readonly Tensor[],
  tolerance: Tolerance = { relative: 0, absolute: 1e-44 },
): Promise<void> {
  const expected = await run(reference(), program);
  const results = await run(device, program);
  expected.forEach((elements, i) => {
    const comparison = compareElements(results[i]!, elements, tolerance);
    expect(comparison, `result ${i}`).toMatchObject({ isClose: true });
  });
}

/** Numbers of a type: small whole ones for integers, from −1 to 1 for floats. */
export function numbers(seed: number, shape: Shape, dtype: DType = "float32"): Tensor {
  const random = randomNumbers(seed);
  const size = shape.reduce((a, b) => a * b, 1);
  const elements = Float32Array.from({ length: size }, () => {
    const number = 2 * random() - 1;
    if (dtype === "float32" || dtype === "float16") return number;
    if (dtype === "bool") return Number(number > 0);
    return Math.round(100 * (dtype === "uint32" ? Math.abs(number) : number));
  });
  return fromData(elements, shape, { dtype });
}

/** Indices below `limit`, and with `isWild` others on both sides of the range. */
export function indices(seed: number, shape: Shape, limit: number, isWild = false): Tensor {
  const random = randomNumbers(seed);
  const size = shape.reduce((a, b) => a * b, 1);
  const elements = Int32Array.from({ length: size }, () =>
    Math.floor(isWild ? (2 * random() - 0.5) * limit : random() * limit),
  );
  // What has to be computed is not checked when it is recorded.
  return isWild ? fromData(elements, shape).add(0) : fromData(elements, shape);
}
