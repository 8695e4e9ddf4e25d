/** How tensors of a file and tensors of a model are made of each other. */

import { formatShape } from "@x/tensor/checks";
import type { Shape } from "@x/tensor";

/**
 * The stored tensors, one below the other, are those of the model, one below the other. A rule for
 * one of each renames; one for three of the model splits what a file holds in one.
 */
export interface Rule {
  /** The stored tensors, each with all the names that it may have, the usual one first. */
  readonly stored: readonly (readonly string[])[];
  /** The tensors of the model. */
  readonly own: readonly string[];
  /** Whether stored matrices are `[in, out]` instead of `[out, in]`. */
  readonly isTransposed?: boolean;
  /** How many first rows of what is stored the model does without. */
  readonly skippedRows?: number;
  /** By what each tensor of the model is larger than what is stored. Default 1. */
  readonly factors?: readonly number[];
}

/** Elements of a tensor. */
export type Elements = Float32Array | Int32Array | Uint32Array | Int8Array | Uint8Array;

function sizeOf(shape: Shape): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** The shapes that stored tensors must have. */
export function storedShapes(rule: Rule, own: readonly Shape[]): Shape[] {
  const { stored, isTransposed = false, skippedRows = 0 } = rule;
  const [first] = own as readonly [Shape];
  if (stored.length === 1 && own.length === 1 && skippedRows === 0) {
    return [isTransposed ? first.toReversed() : first];
  }
  const rows = own.reduce((sum, shape) => sum + shape[0]!, skippedRows);
  const shape = [rows / stored.length, ...first.slice(1)];
  return stored.map(() => (isTransposed ? shape.toReversed() : shape));
}

/** The rows of a matrix as columns. */
function transposed<T extends Elements>(
  elements: T,
  [rows, columns]: readonly [number, number],
): T {
  const result = elements.slice() as T;
  // Square pieces stay in the cache.
  const piece = 32;
  for (let top = 0; top < rows; top += piece) {
    for (let left = 0; left < columns; left += piece) {
      const bottom = Math.min(top + piece, rows);
      const right = Math.min(left + piece, columns);
      for (let i = top; i < bottom; i++) {
        for (let j = left; j < right; j++) result[j * rows + i] = elements[i * columns + j]!;
      }
    }
  }
  return result;
}

function joined(parts: readonly Elements[]): Elements {
  const [first] = parts as readonly [Elements];
  if (parts.length === 1) return first;
  const whole = new (first.constructor as new (length: number) => Elements)(
    parts.reduce((sum, part) => sum + part.length, 0),
  );
  let start = 0;
  for (const part of parts) {
    whole.set(part, start);
    start += part.length;
  }
  return whole;
}

/** Cuts `whole` into parts of the given sizes. */
function cut(whole: Elements, sizes: readonly number[]): Elements[] {
  if (sizes.length === 1) return [whole];
  let start = 0;
  return sizes.map((size) => whole.subarray(start, (start += size)));
}

function flipped(rule: Rule, elements: Elements, shape: Shape): Elements {
  if (rule.isTransposed !== true || shape.length !== 2) return elements;
  return transposed(elements, [shape[0]!, shape[1]!]);
}

/** The elements of the model's tensors, of which `own` are the shapes. */
export function toOwn(rule: Rule, stored: readonly Elements[], own: readonly Shape[]): Elements[] {
  const shapes = storedShapes(rule, own);
  const whole = joined(stored.map((elements, i) => flipped(rule, elements, shapes[i]!)));
  const [first] = own as readonly [Shape];
  const skipped = (rule.skippedRows ?? 0) * sizeOf(first.slice(1));
  const parts = cut(skipped === 0 ? whole : whole.subarray(skipped), own.map(sizeOf));
  return parts.map((part, i) => scaled(part, rule.factors?.[i] ?? 1));
}

function scaled(elements: Elements, factor: number): Elements {
  return factor === 1 ? elements : elements.map((element) => element * factor);
}

/** The elements of the stored tensors, of those of the model. */
export function toStored(
  rule: Rule,
  elements: readonly Elements[],
  own: readonly Shape[],
): Elements[] {
  const shapes = storedShapes(rule, own);
  const parts = elements.map((part, i) => scaled(part, 1 / (rule.factors?.[i] ?? 1)));
  return cut(joined(parts), shapes.map(sizeOf)).map((part, i) =>
    // What is transposed back has the shape of the other side.
    flipped(rule, part, shapes[i]!.toReversed()),
  );
}

/** Why a stored tensor does not fit, or `null`. */
export function misfit(name: string, actual: Shape, expected: Shape): string | null {
  return actual.join() === expected.join()
    ? null
    : `${name} (shape ${formatShape(actual)} instead of ${formatShape(expected)})`;
}
