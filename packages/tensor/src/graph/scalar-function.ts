/**
 * The scalar functions: what can happen to one element at a time.
 *
 * They are the alphabet of fused loops. Every device must know each of them, and the reference
 * gives their meaning in float64.
 */

/** Functions of one element. `not` takes bool; the others keep the (arithmetic) element type. */
export type UnaryFunction =
  | "negate"
  | "abs"
  | "sign"
  | "floor"
  | "ceil"
  | "round" // half to even
  | "trunc"
  | "sqrt"
  | "exp"
  | "expm1"
  | "log"
  | "log1p"
  | "sin"
  | "cos"
  | "tanh"
  | "sigmoid"
  | "erf"
  | "not";

/**
 * Functions of two elements of the same type.
 *
 * `maximum` and `minimum` propagate NaN. `divide` of integers truncates toward zero and
 * `remainder` has the sign of the divisor; with a zero divisor both give 0 for integers.
 * `and`, `or`, `xor` act on bool or on the bits of integers; shifts on integers
 * (`shiftRight` is arithmetic for int32 and logical for uint32).
 */
export type BinaryFunction =
  | "add"
  | "subtract"
  | "multiply"
  | "divide"
  | "remainder"
  | "power"
  | "maximum"
  | "minimum"
  | "and"
  | "or"
  | "xor"
  | "shiftLeft"
  | "shiftRight";

/** Comparisons of two elements of the same type; the result is bool. NaN compares unequal. */
export type ComparisonFunction = "equal" | "notEqual" | "less" | "lessEqual";

/**
 * Words of a Threefry 2x32-20 block (Salmon et al., 2011): four uint32 operands
 * (key 0, key 1, counter 0, counter 1), one uint32 result.
 */
export type RandomFunction = "threefry0" | "threefry1";

/**
 * Every scalar function. `where` takes (bool, a, b). `cast` converts to the result type: float →
 * integer truncates toward zero and saturates, NaN becomes 0; integer → integer keeps the low bits;
 * anything → bool is `x != 0`.
 */
export type ScalarFunction =
  UnaryFunction | BinaryFunction | ComparisonFunction | RandomFunction | "where" | "cast";

/** How a reduction joins elements. The arg forms give the first index of the extreme; NaN wins. */
export type Reducer = "sum" | "product" | "max" | "min" | "argmax" | "argmin";
