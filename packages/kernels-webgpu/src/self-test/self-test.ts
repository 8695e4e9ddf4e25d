/** Runs every kernel of a device against the float64 reference. */

import { profile, realize, reference, type Device } from "@x/tensor";
import { compareElements, referenceData } from "@x/tensor/testing";
import { Inputs, type SelfTestCase } from "./case.js";
import { selfTestCases } from "./cases/index.js";

/** Options of `selfTest`. */
export interface SelfTestOptions {
  /** Other random inputs; the default is 1, so that every run tests the same. */
  readonly seed?: number;
  /** Only cases whose kernel and name contain this text. */
  readonly only?: string;
  /** Called after each case. */
  readonly onProgress?: (result: SelfTestCaseResult, done: number, total: number) => void;
}

/** What came of one case. */
export interface SelfTestCaseResult {
  /** What was tested, such as `matmul`. */
  readonly kernel: string;
  /** Shapes and options. */
  readonly name: string;
  /** The largest error of any result, in relation to the expected numbers. */
  readonly error: number;
  /** The largest error that is in order. */
  readonly tolerance: number;
  /** Whether all numbers are within the tolerance. */
  readonly passed: boolean;
  /** The time of its kernels, one by one, once they are compiled. */
  readonly milliseconds: number;
  /** Names of the kernels that ran, the slowest first. */
  readonly launches: readonly string[];
  /** Why it could not be computed; `null` where it could. */
  readonly failure: string | null;
}

/** What came of a self-test. */
export interface SelfTestResult {
  /** The name of the device. */
  readonly device: string;
  /** What the device says of itself: adapter, features, limits. */
  readonly info: Device["info"];
  /** Every case, in order. */
  readonly cases: readonly SelfTestCaseResult[];
  /** How many passed. */
  readonly passed: number;
  /** How many did not. */
  readonly failed: number;
  /** Names of all kernels that ran, in order: they say which native kernels were tested. */
  readonly launches: readonly string[];
}

/** Elements smaller than this are not held to a relative error. */
const smallest = 1e-3;

/**
 * Runs every kernel of a device on random inputs and compares it with the float64 reference: whether
 * a GPU and its driver compute what they should. Takes seconds on a GPU. It works with any device.
 *
 * A case that cannot be computed fails with the reason in `failure`; the others go on.
 *
 * @example
 * ```ts
 * import { wasm } from "@x/tensor";
 * import { formatSelfTest, selfTest } from "@x/kernels-webgpu/self-test";
 *
 * const result = await selfTest(wasm(), { only: "softmax" });
 * console.log(result.failed); // → 0
 * const table = formatSelfTest(result); // for people
 * ```
 */
export async function selfTest(
  device: Device,
  options: SelfTestOptions = {},
): Promise<SelfTestResult> {
  const { seed = 1, only = "", onProgress } = options;
  const chosen = selfTestCases.filter(({ kernel, name }) => `${kernel} ${name}`.includes(only));
  const cases: SelfTestCaseResult[] = [];
  for (const case_ of chosen) {
    const result = await runCase(case_, device, seed);
    cases.push(result);
    onProgress?.(result, cases.length, chosen.length);
  }
  const passed = cases.filter((result) => result.passed).length;
  return {
    device: device.name,
    info: device.info,
    cases,
    passed,
    failed: cases.length - passed,
    launches: [...new Set(cases.flatMap(({ launches }) => launches))].sort(),
  };
}

async function runCase(
  case_: SelfTestCase,
  device: Device,
  seed: number,
): Promise<SelfTestCaseResult> {
  const { kernel, name, tolerance } = case_;
  try {
    const expected = await expectedNumbers(case_, seed);
    const first = await numbersOn(device, case_, seed);
    // Once more, one kernel after the other, on memory that is no longer fresh.
    const { result, kernels, kernelMilliseconds } = await profile(() =>
      numbersOn(device, case_, seed),
    );
    const error = Math.max(errorOf(first, expected, case_), errorOf(result, expected, case_));
    return {
      kernel,
      name,
      error,
      tolerance,
      passed: error <= tolerance,
      milliseconds: kernelMilliseconds,
      launches: kernels.map((timing) => timing.name),
      failure: null,
    };
  } catch (error) {
    const failure = error instanceof Error ? error.message : String(error);
    const launches: string[] = [];
    const outcome = { error: Infinity, tolerance, passed: false, milliseconds: 0 };
    return { kernel, name, ...outcome, launches, failure };
  }
}

type Numbers = readonly ArrayLike<number>[];

async function numbersOn(device: Device, case_: SelfTestCase, seed: number): Promise<Numbers> {
  const results = await case_.compute(new Inputs(device, seed));
  await realize(...results);
  return Promise.all(results.map((result) => result.data()));
}

async function expectedNumbers(case_: SelfTestCase, seed: number): Promise<Numbers> {
  const results = await case_.compute(new Inputs(reference(), seed));
  await realize(...results);
  return Promise.all(results.map((result) => referenceData(result)));
}

function errorOf(actual: Numbers, expected: Numbers, { relativeTo }: SelfTestCase): number {
  const errors = expected.map((elements, i) => {
    const found = actual[i]!;
    if (found.length !== elements.length) return Infinity;
    return compareElements(found, elements, { relative: 1, absolute: smallest, relativeTo }).worst;
  });
  return Math.max(0, ...errors);
}
