/** How scans join elements: sums, products, and extremes with the place they were found at. */

import { wgslType } from "../wgsl/functions.js";
import type { ShaderBuilder } from "../wgsl/shader.js";

/** The types that scans work on. */
export type ScannedType = "float32" | "int32" | "uint32";

/** States, and how one is joined with a later one: associatively. */
export interface Join {
  /** The WGSL type of states. */
  readonly type: string;
  /** The state of no elements. */
  readonly neutral: string;
  /** Makes `join(a, b)` and the type callable. */
  readonly declare: (shader: ShaderBuilder) => void;
  /** The state of one element. */
  readonly lift: (element: string, place: string) => string;
  /** The element that a state stands for. */
  readonly value: (state: string) => string;
  /** The place it was found at; only of extremes. */
  readonly place: (state: string) => string;
}

const itself = (code: string): string => code;

function plain(dtype: ScannedType, operator: string, neutral: number): Join {
  const type = wgslType(dtype);
  return {
    type,
    neutral: `${type}(${neutral})`,
    declare: (shader) => {
      shader.declare(`fn join(a: ${type}, b: ${type}) -> ${type} { return a ${operator} b; }`);
    },
    lift: itself,
    value: itself,
    place: itself,
  };
}

/** Sums. */
export function sumJoin(dtype: ScannedType): Join {
  return plain(dtype, "+", 0);
}

/**
 * Products of floats: a mantissa from 1 to 2 (or 0, or not finite) and an exponent, so that what is
 * joined first neither overflows nor vanishes where the whole product does not.
 */
const floatProduct: Join = {
  type: "Product",
  neutral: "Product(1.0, 0)",
  declare: (shader) => {
    shader.declare(`struct Product { mantissa: f32, exponent: i32 }
fn lift(value: f32, exponent: i32) -> Product {
let bits = bitcast<u32>(value);
let field = i32((bits >> 23u) & 0xffu);
if (field == 0 || field == 255) { return Product(value, exponent); }
return Product(bitcast<f32>((bits & 0x807fffffu) | 0x3f800000u), exponent + field - 127);
}
fn join(a: Product, b: Product) -> Product {
return lift(a.mantissa * b.mantissa, a.exponent + b.exponent);
}
fn valueOf(x: Product) -> f32 {
let exponent = clamp(x.exponent, -252, 254);
let half = exponent / 2;
let scales = bitcast<vec2f>(vec2u(vec2i(half, exponent - half) + 127) << vec2u(23u));
return x.mantissa * scales.x * scales.y;
}`);
  },
  lift: (element) => `lift(${element}, 0)`,
  value: (state) => `valueOf(${state})`,
  place: itself,
};

/** Products. */
export function productJoin(dtype: ScannedType): Join {
  return dtype === "float32" ? floatProduct : plain(dtype, "*", 1);
}

/** At ties the later element counts; NaN beats everything. */
function extremeJoin(dtype: ScannedType, reaches: ">=" | "<="): Join {
  const type = wgslType(dtype);
  return {
    type: "Extreme",
    neutral: `Extreme(${type}(0), -1)`,
    declare: (shader) => {
      const reached = `b.value ${reaches} a.value`;
      let isLater = reached;
      if (dtype === "float32") {
        shader.helpers.use("isNan");
        isLater = `isNan(b.value) || (!isNan(a.value) && ${reached})`;
      }
      shader.declare(`struct Extreme { value: ${type}, place: i32 }
fn join(a: Extreme, b: Extreme) -> Extreme {
if (a.place < 0) { return b; }
if (b.place < 0) { return a; }
if (${isLater}) { return b; }
return a;
}`);
    },
    lift: (element, place) => `Extreme(${element}, ${place})`,
    value: (state) => `${state}.value`,
    place: (state) => `${state}.place`,
  };
}

/** Maxima. */
export function maxJoin(dtype: ScannedType): Join {
  return extremeJoin(dtype, ">=");
}

/** Minima. */
export function minJoin(dtype: ScannedType): Join {
  return extremeJoin(dtype, "<=");
}
