/**
 * The scalar functions of fused loops in WGSL.
 *
 * Builtins of WGSL are used where their accuracy suffices; exp, log, sin and the like have their
 * own helpers, because the builtins are coarse (sin may be off by 2^-11).
 */

import { type DType, XError } from "@x/tensor";
import type { ScalarFunction } from "@x/tensor/device";
import { type HelperName, Helpers } from "./functions-helpers.js";
import { literal } from "./functions-text.js";

export { Helpers };

/** The types of WGSL in which arithmetic happens. */
export type WgslType = "f32" | "i32" | "u32" | "bool";

/** An operand of a scalar function. */
export interface FunctionOperand {
  /**
   * An identifier that `let` or `var` declares. It may come up several times, and expressions of
   * literals alone are rejected where they overflow.
   */
  readonly code: string;
  readonly dtype: DType;
  /** Its value where it is a constant, which may give shorter code. */
  readonly constant?: number | undefined;
}

/** The type in which elements of `dtype` are computed with: float16 as f32, int8 as i32. */
export function wgslType(dtype: DType): WgslType {
  switch (dtype) {
    case "float32":
    case "float16":
      return "f32";
    case "int32":
    case "int8":
      return "i32";
    case "uint32":
      return "u32";
    case "bool":
      return "bool";
  }
}

const scratch = new Float32Array(1);
const scratchBits = new Uint32Array(scratch.buffer);

/** A constant of a type as WGSL. */
export function constantCode(value: number, dtype: DType, helpers: Helpers): string {
  switch (wgslType(dtype)) {
    case "bool":
      return value === 0 ? "false" : "true";
    case "u32":
      return `${value >>> 0}u`;
    case "i32": {
      // The smallest has no literal: its magnitude is out of range before the sign is applied.
      const integer = value | 0;
      return integer === -(2 ** 31) ? "(-2147483647i - 1i)" : signed(`${integer}i`);
    }
    case "f32": {
      scratch[0] = value;
      const exponent = scratchBits[0]! & 0x7f800000;
      const isLiteral = scratchBits[0] === 0 || (exponent !== 0 && exponent !== 0x7f800000);
      if (isLiteral) return signed(literal(value));
      helpers.use("fromBits");
      return `fromBits(0x${scratchBits[0]!.toString(16)}u)`;
    }
  }
}

function signed(literal: string): string {
  return literal.startsWith("-") ? `(${literal})` : literal;
}

/** An expression from the operands' expressions. */
type Template = (...operands: string[]) => string;

/** Templates, or the names of helpers that are called. */
type Table = Partial<Record<ScalarFunction, Template | HelperName>>;

const infix =
  (operator: string): Template =>
  (a, b) =>
    `(${a} ${operator} ${b})`;
const builtin =
  (name: string): Template =>
  (...operands) =>
    `${name}(${operands.join(", ")})`;
const identity: Template = (x) => x;

const arithmetic: Table = {
  add: infix("+"),
  subtract: infix("-"),
  multiply: infix("*"),
  less: infix("<"),
};

const integers: Table = {
  ...arithmetic,
  negate: (x) => `(0 - ${x})`,
  abs: builtin("abs"),
  floor: identity,
  ceil: identity,
  round: identity,
  trunc: identity,
  maximum: builtin("max"),
  minimum: builtin("min"),
  and: infix("&"),
  or: infix("|"),
  xor: infix("^"),
  // Only the low 5 bits of a count matter, as on the CPU.
  shiftLeft: (a, b) => `(${a} << (u32(${b}) & 31u))`,
  shiftRight: (a, b) => `(${a} >> (u32(${b}) & 31u))`,
  equal: infix("=="),
  notEqual: infix("!="),
  lessEqual: infix("<="),
};

const functions: Record<WgslType, Table> = {
  f32: {
    ...arithmetic,
    divide: infix("/"),
    negate: (x) => `(-${x})`,
    abs: builtin("abs"),
    sign: "floatSign",
    floor: builtin("floor"),
    ceil: builtin("ceil"),
    round: builtin("round"),
    trunc: builtin("trunc"),
    sqrt: builtin("sqrt"),
    exp: "floatExp",
    expm1: "floatExpm1",
    log: "floatLog",
    log1p: "floatLog1p",
    tanh: "floatTanh",
    sigmoid: "floatSigmoid",
    erf: "floatErf",
    remainder: "floatRemainder",
    power: "floatPower",
    maximum: "floatMaximum",
    minimum: "floatMinimum",
    equal: "floatEqual",
    lessEqual: "floatLessEqual",
  },
  i32: { ...integers, sign: builtin("sign"), divide: "intDivide", remainder: "intRemainder" },
  u32: {
    ...integers,
    negate: (x) => `(0u - ${x})`,
    abs: identity,
    sign: (x) => `min(${x}, 1u)`,
    divide: "uintDivide",
    remainder: "uintRemainder",
  },
  bool: {
    not: (x) => `(!${x})`,
    and: infix("&&"),
    or: infix("||"),
    xor: infix("!="),
    multiply: infix("&&"),
    add: infix("||"),
    maximum: infix("||"),
    minimum: infix("&&"),
    equal: infix("=="),
    notEqual: infix("!="),
    less: (a, b) => `(!${a} && ${b})`,
    lessEqual: (a, b) => `(!${a} || ${b})`,
  },
};

/**
 * A WGSL expression for a scalar function of operands. The functions that it calls are added to
 * `helpers`; `dtype` is the type of the result.
 */
export function applyFunction(
  name: ScalarFunction,
  operands: readonly FunctionOperand[],
  dtype: DType,
  helpers: Helpers,
): string {
  const codes = operands.map(({ code }) => code);
  const [first, second] = operands as [FunctionOperand, FunctionOperand];
  const call = (helper: HelperName, ...values: string[]): string => {
    helpers.use(helper);
    return `${helper}(${values.join(", ")})`;
  };
  if (name === "cast") return castCode(first, dtype, helpers);
  if (name === "where") return `select(${codes[2]}, ${codes[1]}, ${codes[0]})`;
  if (name === "threefry0") return `${call("threefry", ...codes)}.x`;
  if (name === "threefry1") return `${call("threefry", ...codes)}.y`;
  const type = wgslType(first.dtype);
  if (type === "f32") {
    if (name === "sin") return call("sine", ...codes, "0u");
    if (name === "cos") return call("sine", ...codes, "1u");
    // The negation of `equal`, so that NaN is unequal to itself here too.
    if (name === "notEqual") return `(!${call("floatEqual", ...codes)})`;
    if (name === "power" && second.constant !== undefined) {
      const short = constantPower(first.code, second.constant, helpers);
      if (short !== null) return short;
    }
  }
  const found = functions[type][name];
  if (found === undefined) {
    throw new XError(
      "internal",
      `webgpu: loop kernels must use functions on types they are defined for, got ${name} of ${first.dtype}. Please report this.`,
    );
  }
  return typeof found === "string" ? call(found, ...codes) : found(...codes);
}

/** x to a small constant power, where that is exact or nearly so without logarithms. */
function constantPower(x: string, exponent: number, helpers: Helpers): string | null {
  const magnitude = Math.abs(exponent);
  let code: string;
  switch (magnitude) {
    case 0.5:
      helpers.use("halfPower");
      code = `halfPower(${x})`;
      break;
    case 1:
    case 2:
    case 3:
      code = `(${Array<string>(magnitude).fill(x).join(" * ")})`;
      break;
    case 4:
      code = `((${x} * ${x}) * (${x} * ${x}))`;
      break;
    default:
      return null;
  }
  return exponent < 0 ? `(1f / ${code})` : code;
}

function castCode({ code, dtype: from }: FunctionOperand, to: DType, helpers: Helpers): string {
  const [source, target] = [wgslType(from), wgslType(to)];
  const call = (helper: HelperName, value: string): string => {
    helpers.use(helper);
    return `${helper}(${value})`;
  };
  if (target === "bool") {
    switch (source) {
      case "bool":
        return code;
      case "f32":
        // By bits: NaN and subnormal numbers are not zero.
        return `((bitcast<u32>(${code}) & 0x7fffffffu) != 0u)`;
      default:
        return `(${code} != 0)`;
    }
  }
  if (target === "f32") {
    const float =
      source === "f32" ? code : source === "u32" ? call("uintToFloat", code) : `f32(${code})`;
    const isRounded = to === "float16" && from !== "float16";
    return isRounded ? call("halfToFloat", call("floatToHalf", float)) : float;
  }
  if (source === "f32") {
    if (to === "int8") return call("floatToInt8", code);
    return call(target === "i32" ? "floatToInt" : "floatToUint", code);
  }
  const converted = source === target ? code : `${target}(${code})`;
  const mayExceed = to === "int8" && from !== "int8" && from !== "bool";
  return mayExceed ? `extractBits(${converted}, 0u, 8u)` : converted;
}
