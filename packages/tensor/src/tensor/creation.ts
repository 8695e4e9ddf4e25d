/** Making tensors. Everything that enters from JavaScript is checked and copied here. */

import { check, XError } from "../error.js";
import { getDevice } from "../device/current.js";
import type { Device } from "../device/device.js";
import type { Value } from "../graph/node.js";
import { Storage } from "../graph/storage.js";
import { add, cast, equal, multiply } from "../ops/elementwise.js";
import { input, iota } from "../ops/leaf.js";
import { full as fullValue, reshape } from "../ops/movement.js";
import { flatten, viewAs, type NestedArray } from "./data.js";
import { bytesPerElement, dtypes, type DataOf, type DType } from "./dtype.js";
import { float32ToFloat16 } from "./half.js";
import { checkShape, formatShape, sizeOf, type Shape } from "./shape.js";
import { Tensor } from "./tensor.js";

/** Options of the functions that make tensors. */
export interface TensorOptions {
  /** The element type. */
  readonly dtype?: DType;
  /** Whether gradients with respect to the tensor are wanted; float32 only. */
  readonly requiresGrad?: boolean;
  /** Where it lives; the current device unless given. */
  readonly device?: Device;
}

/** Typed arrays that tensors can be made of. */
export type TypedArray =
  | Float32Array
  | Float64Array
  | Int32Array
  | Uint32Array
  | Int16Array
  | Uint16Array
  | Int8Array
  | Uint8Array;

// What integer types can hold.
const ranges: Partial<Record<DType, readonly [number, number]>> = {
  int32: [-0x80000000, 0x7fffffff],
  uint32: [0, 0xffffffff],
  int8: [-128, 127],
};

function checkDType(op: string, dtype: DType): void {
  check(
    dtypes.includes(dtype),
    "dtype",
    () => `${op}: the type must be one of ${dtypes.join(", ")}, got ${dtype}. Choose one of them.`,
  );
}

/** The elements as they are stored, always a copy. */
function stored(op: string, elements: ArrayLike<number | boolean>, dtype: DType): DataOf {
  checkDType(op, dtype);
  const { length } = elements;
  const data = viewAs(dtype, new ArrayBuffer(length * bytesPerElement(dtype)));
  const range = ranges[dtype];
  if (dtype === "float32" && ArrayBuffer.isView(elements)) {
    // A view that is not a DataView is an array of numbers.
    data.set(elements as unknown as ArrayLike<number>);
  } else if (range !== undefined) {
    const [low, high] = range;
    for (let i = 0; i < length; i++) {
      const element = Number(elements[i]);
      if (!Number.isInteger(element) || element < low || element > high) {
        throw new XError(
          "argument",
          `${op}: elements of an ${dtype} tensor must be whole numbers from ${low} to ${high}, got ${element} at position ${i}. Use float32 or round the numbers.`,
        );
      }
      data[i] = element;
    }
  } else if (dtype === "bool") {
    for (let i = 0; i < length; i++) data[i] = Number(elements[i]) === 0 ? 0 : 1;
  } else if (dtype === "float16") {
    for (let i = 0; i < length; i++) data[i] = float32ToFloat16(Number(elements[i]));
  } else {
    for (let i = 0; i < length; i++) data[i] = Number(elements[i]);
  }
  return data;
}

function leaf(
  op: string,
  data: DataOf,
  shape: Shape,
  dtype: DType,
  options: TensorOptions,
): Tensor {
  const device = options.device ?? getDevice();
  const storage = new Storage(device, data.byteLength, data, null);
  const result = new Tensor(input(storage, [...shape], dtype, device));
  return options.requiresGrad === true ? markRequired(op, result) : result;
}

function markRequired(op: string, tensor: Tensor): Tensor {
  check(
    tensor.dtype === "float32",
    "gradient",
    () =>
      `${op}: only float32 tensors can require gradients, got ${tensor.dtype}. Leave requiresGrad out.`,
  );
  return tensor.setRequiresGrad();
}

function typeOfArray(data: TypedArray): DType {
  if (data instanceof Float32Array || data instanceof Float64Array) return "float32";
  if (data instanceof Uint32Array) return "uint32";
  return data instanceof Int8Array ? "int8" : "int32";
}

/**
 * A tensor of the given numbers: one number, nested arrays (the nesting gives the shape), or a typed
 * array (one axis). The numbers are copied.
 *
 * Without `dtype`, numbers give float32, booleans bool, and typed arrays the type that fits them.
 *
 * @example
 * ```ts
 * import { tensor } from "@x/tensor";
 *
 * const x = tensor([[1, 2, 3], [4, 5, 6]]);
 * console.log(x.shape, x.dtype); // → [ 2, 3 ] float32
 * ```
 */
export function tensor(data: NestedArray | TypedArray, options: TensorOptions = {}): Tensor {
  if (ArrayBuffer.isView(data)) {
    return fromData(data, [data.length], options);
  }
  const { shape, elements } = flatten("tensor", data);
  const allBoolean =
    elements.length > 0 && elements.every((element) => typeof element === "boolean");
  const dtype = options.dtype ?? (allBoolean ? "bool" : "float32");
  return leaf("tensor", stored("tensor", elements, dtype), shape, dtype, options);
}

/**
 * A tensor of shape `shape` with the elements of a typed array in row-major order. They are copied.
 *
 * @example
 * ```ts
 * import { fromData } from "@x/tensor";
 *
 * const x = fromData(new Int32Array([1, 2, 3, 4]), [2, 2]);
 * console.log(await x.toArray(), x.dtype); // → [ [ 1, 2 ], [ 3, 4 ] ] int32
 * ```
 */
export function fromData(data: TypedArray, shape: Shape, options: TensorOptions = {}): Tensor {
  checkShape("fromData", shape);
  check(
    data.length === sizeOf(shape),
    "shape",
    () =>
      `fromData: the shape must hold every element, got ${data.length} elements for ${formatShape(shape)}. Correct the shape.`,
  );
  const dtype = options.dtype ?? typeOfArray(data);
  return leaf("fromData", stored("fromData", data, dtype), shape, dtype, options);
}

/** A tensor filled with one number: data of its own where it must be a leaf, else a constant. */
function filled(op: string, shape: Shape, number: number, options: TensorOptions): Tensor {
  checkShape(op, shape);
  const { dtype = "float32" } = options;
  checkDType(op, dtype);
  const range = ranges[dtype];
  check(
    range === undefined || (Number.isInteger(number) && number >= range[0] && number <= range[1]),
    "argument",
    () =>
      `${op}: an ${dtype} tensor holds whole numbers from ${range![0]} to ${range![1]}, got ${number}. Use float32.`,
  );
  if (options.requiresGrad !== true && options.device === undefined) {
    return new Tensor(fullValue(shape, number, dtype));
  }
  const data = viewAs(dtype, new ArrayBuffer(sizeOf(shape) * bytesPerElement(dtype)));
  if (number !== 0) data.fill(dtype === "float16" ? float32ToFloat16(number) : number);
  return leaf(op, data, shape, dtype, options);
}

/**
 * A tensor of zeros.
 *
 * @example
 * ```ts
 * import { zeros } from "@x/tensor";
 *
 * console.log(await zeros([2, 2]).toArray()); // → [ [ 0, 0 ], [ 0, 0 ] ]
 * ```
 */
export function zeros(shape: Shape, options: TensorOptions = {}): Tensor {
  return filled("zeros", shape, 0, options);
}

/**
 * A tensor of ones.
 *
 * @example
 * ```ts
 * import { ones } from "@x/tensor";
 *
 * console.log(await ones([3], { dtype: "int32" }).toArray()); // → [ 1, 1, 1 ]
 * ```
 */
export function ones(shape: Shape, options: TensorOptions = {}): Tensor {
  return filled("ones", shape, 1, options);
}

/**
 * A tensor with every element `value`. The number is part of the plan; see `scalar` for others.
 *
 * @example
 * ```ts
 * import { full } from "@x/tensor";
 *
 * console.log(await full([2], 0.5).toArray()); // → [ 0.5, 0.5 ]
 * ```
 */
export function full(shape: Shape, value: number, options: TensorOptions = {}): Tensor {
  check(
    typeof value === "number",
    "argument",
    () => `full: the value must be a number, got ${String(value)}. Pass a number.`,
  );
  return filled("full", shape, value, options);
}

/**
 * Zeros of the shape and, unless given, the type of `like`.
 *
 * @example
 * ```ts
 * import { tensor, zerosLike } from "@x/tensor";
 *
 * console.log(zerosLike(tensor([[1, 2]])).shape); // → [ 1, 2 ]
 * ```
 */
export function zerosLike(like: Tensor, options: TensorOptions = {}): Tensor {
  return filled("zerosLike", like.shape, 0, { dtype: like.dtype, ...options });
}

/**
 * Ones of the shape and, unless given, the type of `like`.
 *
 * @example
 * ```ts
 * import { onesLike, tensor } from "@x/tensor";
 *
 * console.log(await onesLike(tensor([4, 5])).toArray()); // → [ 1, 1 ]
 * ```
 */
export function onesLike(like: Tensor, options: TensorOptions = {}): Tensor {
  return filled("onesLike", like.shape, 1, { dtype: like.dtype, ...options });
}

/**
 * `value` everywhere, in the shape and, unless given, the type of `like`.
 *
 * @example
 * ```ts
 * import { fullLike, tensor } from "@x/tensor";
 *
 * console.log(await fullLike(tensor([4, 5]), 7).toArray()); // → [ 7, 7 ]
 * ```
 */
export function fullLike(like: Tensor, value: number, options: TensorOptions = {}): Tensor {
  return filled("fullLike", like.shape, value, { dtype: like.dtype, ...options });
}

/** Finishes a tensor computed from constants: its type, and its own data where asked for. */
function computed(op: string, value: Value, options: TensorOptions): Tensor {
  const { dtype = "float32" } = options;
  checkDType(op, dtype);
  check(
    options.requiresGrad !== true,
    "gradient",
    () =>
      `${op}: this function makes constants, which cannot require gradients, got requiresGrad. Pass its numbers to tensor().`,
  );
  return new Tensor(cast(value, dtype));
}

/**
 * start, start + step, … below `end` (above it for a negative step). `arange(n)` counts from 0.
 * float32 unless a type is given.
 *
 * @example
 * ```ts
 * import { arange } from "@x/tensor";
 *
 * console.log(await arange(3).toArray(), await arange(1, 2, 0.25).toArray()); // → [ 0, 1, 2 ] [ 1, 1.25, 1.5, 1.75 ]
 * ```
 */
export function arange(end: number, options?: TensorOptions): Tensor;
/** The numbers from `start` to before `end`, `step` apart. */
export function arange(start: number, end: number, step?: number, options?: TensorOptions): Tensor;
export function arange(
  first: number,
  second?: number | TensorOptions,
  step = 1,
  last: TensorOptions = {},
): Tensor {
  const [start, end] = typeof second === "number" ? [first, second] : [0, first];
  const options = typeof second === "object" ? second : last;
  check(
    Number.isFinite(start) && Number.isFinite(end) && Number.isFinite(step) && step !== 0,
    "argument",
    () =>
      `arange: start, end and step must be finite and step not 0, got ${start}, ${end} and ${step}. Correct them.`,
  );
  const length = Math.max(Math.ceil((end - start) / step), 0);
  return computed("arange", progression(start, step, length), options);
}

/** start + i · step for i < length, in int32 where that is exact. */
function progression(start: number, step: number, length: number): Value {
  const dtype = Number.isInteger(start) && Number.isInteger(step) ? "int32" : "float32";
  let value = cast(iota(length), dtype);
  if (step !== 1) value = multiply(value, step);
  return start === 0 ? value : add(value, start);
}

/**
 * `steps` numbers evenly spaced from `start` to `end`, both included.
 *
 * @example
 * ```ts
 * import { linspace } from "@x/tensor";
 *
 * console.log(await linspace(0, 1, 5).toArray()); // → [ 0, 0.25, 0.5, 0.75, 1 ]
 * ```
 */
export function linspace(
  start: number,
  end: number,
  steps: number,
  options: TensorOptions = {},
): Tensor {
  check(
    Number.isInteger(steps) && steps >= 0 && Number.isFinite(start) && Number.isFinite(end),
    "argument",
    () =>
      `linspace: start and end must be finite and steps a whole number, got ${start}, ${end} and ${steps}. Correct them.`,
  );
  const { dtype = "float32" } = options;
  const numbers = Float64Array.from({ length: steps }, (_, i) => {
    const fraction = steps === 1 ? 0 : i / (steps - 1);
    return start * (1 - fraction) + end * fraction;
  });
  return leaf("linspace", stored("linspace", numbers, dtype), [steps], dtype, options);
}

/**
 * The matrix with ones on the diagonal and zeros elsewhere.
 *
 * @example
 * ```ts
 * import { eye } from "@x/tensor";
 *
 * console.log(await eye(2).toArray()); // → [ [ 1, 0 ], [ 0, 1 ] ]
 * ```
 */
export function eye(rows: number, columns: number = rows, options: TensorOptions = {}): Tensor {
  checkShape("eye", [rows, columns]);
  const row = reshape(iota(rows), [rows, 1]);
  return computed("eye", equal(row, iota(columns)), options);
}
