/** What models are called with: token numbers or vectors, padded to one length. */

import { fromData, type Tensor } from "@x/tensor";
import { check, checkNumbers, count, formatShape, wholeFrom } from "@x/tensor/checks";
import { bucketLength } from "../data/batches.js";
import type { Tokens } from "../data/token-windows.js";

/**
 * To what length the sequences of a batch are padded: to that of the longest, rounded up so that
 * few lengths occur (`"bucket"`, see {@link bucketLength}) or as it is (`"longest"`), or always to a
 * given one, which no sequence may exceed.
 */
export type Padding = "bucket" | "longest" | number;

/** A sequence of token numbers, or of vectors one after the other. */
export interface SequenceInput {
  /** Token numbers. */
  readonly tokens?: Tokens;
  /** Vectors one after the other: `length · inputDim` numbers. */
  readonly features?: ArrayLike<number>;
}

/** Options of tasks whose examples are sequences. */
export interface SequenceOptions {
  /** Default `"bucket"`. */
  readonly padding?: Padding;
  /** The token that stands in padding. Default 0. */
  readonly padToken?: number;
  /** The size of vectors; `null` (default): the examples are tokens. */
  readonly inputDim?: number | null;
}

/** Sequences in a batch. */
export interface CollatedInput {
  /** int32 `[batch, length]`, or float32 `[batch, length, inputDim]`. */
  readonly input: Tensor;
  /** Bool `[batch, length]`: true for what is not padding; `null` where nothing is. */
  readonly keyMask: Tensor | null;
}

/** Checks the options of padding. */
export function checkPadding(op: string, padding: Padding): void {
  check(
    padding === "bucket" || padding === "longest" || (Number.isSafeInteger(padding) && padding > 0),
    "argument",
    () =>
      `${op}: padding must be "bucket", "longest" or a whole number of at least 1, got ${String(padding)}. Choose one.`,
  );
}

/** The length of a batch whose longest sequence has `longest` positions. */
export function paddedLength(op: string, longest: number, padding: Padding): number {
  if (padding === "longest") return Math.max(1, longest);
  if (padding === "bucket") return bucketLength(longest);
  check(
    longest <= padding,
    "argument",
    () =>
      `${op}: sequences must have at most ${padding} positions, as padding says, got ${longest}. Cut them, or pad to more.`,
  );
  return padding;
}

/** Sequences of numbers as the rows of one array, filled up with `fill`. */
export function paddedRows(
  rows: readonly ArrayLike<number>[],
  length: number,
  fill: number,
): Int32Array {
  const all = new Int32Array(rows.length * length).fill(fill);
  rows.forEach((row, i) => {
    all.set(row, i * length);
  });
  return all;
}

/** Bool `[rows, length]`: true in the first places of each row; `null` if all are. */
export function maskOf(lengths: readonly number[], length: number): Tensor | null {
  if (lengths.every((own) => own === length)) return null;
  const mask = new Uint8Array(lengths.length * length);
  lengths.forEach((own, i) => {
    mask.fill(1, i * length, i * length + own);
  });
  return fromData(mask, [lengths.length, length], { dtype: "bool" });
}

/** How sequences of a task are measured and put together. */
export class SequenceCollator {
  readonly #op: string;
  readonly #padding: Padding;
  readonly #padToken: number;
  readonly #inputDim: number | null;

  constructor(op: string, options: SequenceOptions) {
    const { padding = "bucket", padToken = 0, inputDim = null } = options;
    checkPadding(op, padding);
    checkNumbers(op, wholeFrom(0), { padToken });
    if (inputDim !== null) checkNumbers(op, count, { inputDim });
    this.#op = op;
    this.#padding = padding;
    this.#padToken = padToken;
    this.#inputDim = inputDim;
  }

  /** How many positions an example has. */
  lengthOf(example: SequenceInput): number {
    const op = this.#op;
    const inputDim = this.#inputDim;
    if (inputDim === null) {
      check(
        example.tokens !== undefined,
        "argument",
        () => `${op}: examples must hold tokens, got one without. Give inputDim for features.`,
      );
      return example.tokens.length;
    }
    const size = example.features?.length ?? 0;
    check(
      size > 0 && size % inputDim === 0,
      "argument",
      () =>
        `${op}: the features of an example must be vectors of ${inputDim} numbers, got ${size} numbers. Correct them, or inputDim.`,
    );
    return size / inputDim;
  }

  /** The sequences in one batch. */
  collate(examples: readonly SequenceInput[]): CollatedInput {
    const lengths = examples.map((example) => this.lengthOf(example));
    const length = paddedLength(this.#op, Math.max(...lengths), this.#padding);
    const keyMask = maskOf(lengths, length);
    const inputDim = this.#inputDim;
    if (inputDim === null) {
      const rows = paddedRows(
        examples.map(({ tokens }) => tokens!),
        length,
        this.#padToken,
      );
      return { input: fromData(rows, [examples.length, length]), keyMask };
    }
    const all = new Float32Array(examples.length * length * inputDim);
    examples.forEach(({ features }, i) => {
      all.set(features!, i * length * inputDim);
    });
    return { input: fromData(all, [examples.length, length, inputDim]), keyMask };
  }
}

/** Checks what a model gave. */
export function checkOutput(op: string, output: Tensor, fits: boolean, wanted: string): void {
  check(
    fits,
    "shape",
    () =>
      `${op}: the model must give ${wanted}, got shape ${formatShape(output.shape)}. Check its head and pooling.`,
  );
}
