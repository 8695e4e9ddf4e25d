/** Encodings of positions that are added to the input. */

import { randn } from "../random/index.js";
import { checkNumbers, count, positive } from "../tensor/arguments.js";
import { fromData } from "../tensor/creation.js";
import { stack } from "../tensor/joining.js";
import type { Tensor } from "../tensor/tensor.js";
import { checkLastAxis } from "./checks.js";
import { Module } from "./module.js";
import { Buffer, Parameter } from "./parameter.js";
import { checkPositions, positionsOf, type PositionOptions } from "./positions.js";

/**
 * Adds a trained vector for each position: `y[…, i, :] = x[…, i, :] + weight[i + offset]`.
 *
 * The vectors start normally distributed with standard deviation 0.02.
 *
 * @example
 * ```ts
 * const encoding = new LearnedPositionalEncoding(128, 16);
 * console.log(encoding.forward(randn([2, 10, 16])).shape); // → [ 2, 10, 16 ]
 * ```
 */
export class LearnedPositionalEncoding extends Module {
  /** How many positions there are. */
  readonly maxLength: number;
  /** `[maxLength, size]` */
  readonly weight: Parameter;

  /** @throws XError `argument` if a size is not a whole number of at least 1 */
  constructor(maxLength: number, size: number) {
    super();
    checkNumbers("LearnedPositionalEncoding", count, { maxLength, size });
    this.maxLength = maxLength;
    this.weight = new Parameter(randn([maxLength, size]).mul(0.02));
  }

  /**
   * From `[…, length, size]` to the same shape.
   *
   * @throws XError `argument` if there are more positions than vectors, as far as that can be seen
   */
  forward(x: Tensor, options: PositionOptions = {}): Tensor {
    checkLastAxis("LearnedPositionalEncoding", "input", x, this.weight.shape[1]!);
    checkPositions("LearnedPositionalEncoding", x, this.maxLength, options);
    if (options.offset === undefined) return x.add(this.weight.narrow(0, 0, x.shape.at(-2) ?? 0));
    const positions = positionsOf("LearnedPositionalEncoding", x, options);
    return x.add(this.weight.take(positions, 0));
  }
}

/** Options of `SinusoidalPositionalEncoding`. */
export interface SinusoidalOptions {
  /** The longest wave has the length 2π · base. Default 10000. */
  readonly base?: number;
}

/**
 * Adds sine and cosine waves of the position p: elements 2i and 2i + 1 get `sin(p ω)` and
 * `cos(p ω)` with `ω = base^(−2i / size)`. Nothing is trained, and there is no longest input.
 *
 * @example
 * ```ts
 * const encoding = new SinusoidalPositionalEncoding(4);
 * console.log(await encoding.forward(zeros([1, 4])).toArray()); // → [ [ 0, 1, 0, 1 ] ]
 * ```
 *
 * @see Vaswani et al.: Attention Is All You Need (2017)
 */
export class SinusoidalPositionalEncoding extends Module {
  /** Size of the vectors. */
  readonly size: number;
  /** The longest wave has the length 2π · base. */
  readonly base: number;
  /** The frequency ω of each pair of elements; not saved. */
  readonly frequencies: Buffer;

  /** @throws XError `argument` if the size is not a whole number of at least 1 */
  constructor(size: number, options: SinusoidalOptions = {}) {
    super();
    const { base = 10000 } = options;
    checkNumbers("SinusoidalPositionalEncoding", count, { size });
    checkNumbers("SinusoidalPositionalEncoding", positive, { base });
    this.size = size;
    this.base = base;
    this.frequencies = frequencies(size, base);
  }

  /** From `[…, length, size]` to the same shape. */
  forward(x: Tensor, options: PositionOptions = {}): Tensor {
    const owner = "SinusoidalPositionalEncoding";
    checkLastAxis(owner, "input", x, this.size);
    const positions = positionsOf(owner, x, options).float().unsqueeze(-1);
    const angles = positions.mul(this.frequencies);
    const waves = stack([angles.sin(), angles.cos()], -1).flatten(-2);
    const isOdd = this.size % 2 === 1;
    return x.add(isOdd ? waves.slice("...", [0, this.size]) : waves);
  }
}

/** `base^(−2i / size)` for each pair i of the `size` elements: `[⌈size / 2⌉]`. */
export function frequencies(size: number, base: number): Buffer {
  const numbers = Float32Array.from(
    { length: Math.ceil(size / 2) },
    (_, i) => base ** ((-2 * i) / size),
  );
  return new Buffer(fromData(numbers, [numbers.length]), { persistent: false });
}
