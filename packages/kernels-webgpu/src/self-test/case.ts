/** What a self-test computes: a table of cases, each a small program on seeded random inputs. */

import { fromData, type Device, type DType, type Shape, type Tensor } from "@x/tensor";
import { Generator } from "@x/tensor/random";
import { randomNumbers } from "@x/tensor/testing";

/** A program whose results must be the same on every device. */
export interface SelfTestCase {
  /** What it tests, such as `matmul`. */
  readonly kernel: string;
  /** Shapes and options. */
  readonly name: string;
  /** The largest error that is in order, in relation to the expected numbers. */
  readonly tolerance: number;
  /** Whether an error is related to the element itself, or to the largest one of the result. */
  readonly relativeTo: "element" | "largest";
  /** Computes the results; it is run once on each device, with equal inputs. */
  readonly compute: (inputs: Inputs) => Results | Promise<Results>;
}

/** What a case computes. */
export type Results = readonly Tensor[];

/** How exact the cases of one kernel are. */
interface Exactness {
  readonly tolerance: number;
  /** Default: `"largest"`, which suits results that are sums. */
  readonly relativeTo?: "element" | "largest";
}

/** The cases of one kernel: from their names to what they compute. */
export function casesOf(
  kernel: string,
  { tolerance, relativeTo = "largest" }: Exactness,
  programs: Readonly<Record<string, SelfTestCase["compute"]>>,
): SelfTestCase[] {
  return Object.entries(programs).map(([name, compute]) => {
    return { kernel, name, tolerance, relativeTo, compute };
  });
}

/** The inputs of a case: the same numbers on every device. */
export class Inputs {
  /** Where they live. */
  readonly device: Device;
  /** For operations that draw random numbers. */
  readonly generator: Generator;
  readonly #draw: () => number;

  constructor(device: Device, seed: number) {
    this.device = device;
    this.generator = new Generator(seed);
    this.#draw = randomNumbers(seed);
  }

  /** Numbers between `low` and `high`. */
  floats(shape: Shape, low: number = -1, high: number = 1, dtype: DType = "float32"): Tensor {
    return this.#fill(shape, dtype, () => low + (high - low) * this.#draw());
  }

  /** Whole numbers from `low` to `high` − 1. */
  integers(shape: Shape, low: number, high: number, dtype: DType = "int32"): Tensor {
    return this.#fill(shape, dtype, () => Math.floor(low + (high - low) * this.#draw()));
  }

  /** True with this probability. */
  booleans(shape: Shape, probability: number = 0.7): Tensor {
    return this.#fill(shape, "bool", () => Number(this.#draw() < probability));
  }

  /** All whole numbers below `count`, shuffled. */
  permutation(count: number): Tensor {
    const order = Array.from({ length: count }, () => this.#draw());
    const places = order.map((_, i) => i).sort((a, b) => order[a]! - order[b]!);
    return fromData(Int32Array.from(places), [count], { device: this.device });
  }

  /** The results of `compute`, then the gradients of their sum, weighted at random, for all inputs. */
  withGradients(inputs: readonly Tensor[], compute: (...inputs: Tensor[]) => Results): Results {
    const variables = inputs.map((input) => input.setRequiresGrad());
    const results = compute(...variables);
    const terms = results.map((result) => result.mul(this.floats(result.shape)).sum());
    terms.reduce((sum, term) => sum.add(term)).backward();
    return [...results, ...variables.map(({ grad }) => grad!)];
  }

  #fill(shape: Shape, dtype: DType, next: () => number): Tensor {
    const size = shape.reduce((a, b) => a * b, 1);
    const numbers = Float32Array.from({ length: size }, next);
    return fromData(numbers, shape, { dtype, device: this.device });
  }
}
