/**
 * Element types.
 *
 * Arithmetic happens in float32 (or int32 / uint32); float16 and int8 are storage types: they are
 * widened when an operation reads them and come back only through an explicit cast.
 */

/** The element types a tensor can have. */
export type DType = "float32" | "float16" | "int32" | "uint32" | "int8" | "bool";

/** All element types, widest first. */
export const dtypes: readonly DType[] = ["float32", "float16", "int32", "uint32", "int8", "bool"];

/** The typed array that holds elements of a type on the JavaScript side. */
export type DataOf = Float32Array | Uint16Array | Int32Array | Uint32Array | Int8Array | Uint8Array;

const sizes: Record<DType, number> = {
  float32: 4,
  float16: 2,
  int32: 4,
  uint32: 4,
  int8: 1,
  bool: 1,
};

/** Bytes an element takes in memory. */
export function bytesPerElement(dtype: DType): number {
  return sizes[dtype];
}

/** Whether values of the type are floating-point numbers. */
export function isFloat(dtype: DType): boolean {
  return dtype === "float32" || dtype === "float16";
}

/** The type in which arithmetic on elements of `dtype` is done: float16 → float32, int8 → int32. */
export function computeType(dtype: DType): DType {
  if (dtype === "float16") return "float32";
  if (dtype === "int8") return "int32";
  return dtype;
}

// How far an arithmetic type reaches: a mix of two takes the higher one.
const rank: Partial<Record<DType, number>> = { bool: 0, int32: 1, uint32: 2, float32: 3 };

/**
 * The type of the result when elements of types `a` and `b` meet in arithmetic:
 * bool < int32 < uint32 < float32, with storage types widened first.
 */
export function promote(a: DType, b: DType): DType {
  const x = computeType(a);
  const y = computeType(b);
  return rank[x]! >= rank[y]! ? x : y;
}
