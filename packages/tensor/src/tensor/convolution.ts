/** Convolutions. */

import { check } from "../error.js";
import { convolution } from "../ops/convolution.js";
import { checkNumbers, wholeFrom } from "./arguments.js";
import { formatShape, sameShape } from "./shape.js";
import { Tensor } from "./tensor.js";

/** One number for every spatial axis, or one number for all. */
export type PerAxis = number | readonly number[];

/** Options of convolutions. */
export interface ConvolutionOptions {
  /** One number an output channel. */
  readonly bias?: Tensor | null;
  /** How far the kernel moves. Default 1. */
  readonly stride?: PerAxis;
  /**
   * Zeros at both ends. `"valid"` means none, `"same"` as many as keep the size (for stride 1).
   * Default 0.
   */
  readonly padding?: PerAxis | "valid" | "same";
  /** Distance of the input elements under the kernel. Default 1. */
  readonly dilation?: PerAxis;
  /** Into how many groups that do not see each other the channels are split. Default 1. */
  readonly groups?: number;
}

/** One number for every spatial axis, each a whole number of at least `least`. */
export function perAxis(
  op: string,
  name: string,
  value: PerAxis,
  rank: number,
  least: number,
): readonly number[] {
  const numbers: readonly number[] = Array.isArray(value)
    ? (value as readonly number[])
    : new Array<number>(rank).fill(value as number);
  check(
    numbers.length === rank,
    "argument",
    () =>
      `${op}: ${name} must be one number or ${rank}, got [${numbers.join(", ")}]. Give one for each axis.`,
  );
  checkNumbers(op, wholeFrom(least), { [name]: numbers });
  return numbers;
}

function convolve(
  op: string,
  rank: number,
  input: Tensor,
  weight: Tensor,
  options: ConvolutionOptions,
): Tensor {
  const { bias, groups = 1, padding = 0 } = options;
  const stride = perAxis(op, "stride", options.stride ?? 1, rank, 1);
  const dilation = perAxis(op, "dilation", options.dilation ?? 1, rank, 1);
  const isUnbatched = input.rank === rank + 1;
  let x = isUnbatched ? input.unsqueeze(0) : input;
  let amounts: readonly number[];
  if (padding === "same") {
    check(
      stride.every((n) => n === 1),
      "argument",
      () => `${op}: "same" padding needs stride 1, got [${stride.join(", ")}]. Give numbers.`,
    );
    const totals = weight.shape.slice(2).map((kernel, i) => (dilation[i] ?? 1) * (kernel - 1));
    amounts = totals.map((total) => Math.floor(total / 2));
    // An odd total leaves one element more at the end.
    x = x.pad(totals.reverse().flatMap((total) => [0, total % 2]));
  } else {
    amounts = perAxis(op, "padding", padding === "valid" ? 0 : padding, rank, 0);
  }
  let y = new Tensor(
    convolution(op, x.value, weight.value, { stride, padding: amounts, dilation, groups }),
  );
  if (bias) {
    check(
      sameShape(bias.shape, [weight.shape[0]!]),
      "shape",
      () =>
        `${op}: the bias must have one number for each of the ${weight.shape[0]} output channels, got ${formatShape(bias.shape)}. Correct it.`,
    );
    y = y.add(bias.reshape([weight.shape[0]!, ...stride.map(() => 1)]));
  }
  return isUnbatched ? y.squeeze(0) : y;
}

/**
 * Convolution (as everywhere in deep learning: cross-correlation) along one axis.
 *
 * @param input [batch, channels, length] or [channels, length]
 * @param weight [output channels, channels / groups, kernel length]
 * @returns [batch, output channels, ⌊(length + 2 padding − dilation (kernel − 1) − 1) / stride⌋ + 1]
 *
 * @example
 * ```ts
 * import { conv1d, tensor } from "@x/tensor";
 *
 * const signal = tensor([[[1, 2, 4, 8]]]);
 * const difference = tensor([[[-1, 1]]]);
 * console.log(await conv1d(signal, difference).toArray()); // → [ [ [ 1, 2, 4 ] ] ]
 * ```
 */
export function conv1d(input: Tensor, weight: Tensor, options: ConvolutionOptions = {}): Tensor {
  return convolve("conv1d", 1, input, weight, options);
}

/**
 * Convolution (as everywhere in deep learning: cross-correlation) along two axes.
 *
 * @param input [batch, channels, height, width] or [channels, height, width]
 * @param weight [output channels, channels / groups, kernel height, kernel width]
 *
 * @example
 * ```ts
 * import { conv2d, ones } from "@x/tensor";
 *
 * const y = conv2d(ones([1, 3, 8, 8]), ones([4, 3, 3, 3]), { stride: 2, padding: 1 });
 * console.log(y.shape); // → [ 1, 4, 4, 4 ]
 * ```
 */
export function conv2d(input: Tensor, weight: Tensor, options: ConvolutionOptions = {}): Tensor {
  return convolve("conv2d", 2, input, weight, options);
}
