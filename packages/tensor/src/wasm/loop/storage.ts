/**
 * Elements between memory and registers.
 *
 * In registers four elements fill a vector: float32 and float16 as float32, int32 and int8 as
 * int32, uint32 as itself, bool as lane masks (all ones or zeros).
 */

import { bytesPerElement, type DType } from "../../tensor/dtype.js";
import { f32x4, i16x8, i32, type I32, i32x4, i8x16, v128, type V128 } from "../assembler/index.js";
import {
  float,
  integer,
  type MathContext,
  narrowToFloat16,
  saturateToInt8,
  widenFloat16,
  wrapToInt8,
} from "../math/index.js";

/** How elements of a type look in registers. */
export type Lanes = "float" | "int" | "uint" | "bool";

/** The register form of a type. */
export function lanesOf(dtype: DType): Lanes {
  if (dtype.startsWith("float")) return "float";
  if (dtype.startsWith("int")) return "int";
  return dtype === "bool" ? "bool" : "uint";
}

/** A vector of equal constants. */
export function constantLanes(c: MathContext, value: number, dtype: DType): V128 {
  const lanes = lanesOf(dtype);
  if (lanes === "float") return float(c, value);
  return integer(c, lanes === "bool" ? -Number(value !== 0) : value);
}

// 32-bit lanes that hold the stored bits, zero- or sign-extended, as register lanes.
function decode(c: MathContext, bits: V128, stored: DType): V128 {
  if (stored === "float16") return widenFloat16(c, bits);
  return stored === "bool" ? i32x4.notEqual(bits, integer(c, 0)) : bits;
}

// Register lanes as 32-bit lanes whose low bits are what is stored.
function encode(c: MathContext, value: V128, stored: DType): V128 {
  if (stored === "float16") return narrowToFloat16(c, value);
  return stored === "bool" ? value.and(integer(c, 1)) : value;
}

/** Four neighbouring elements. */
export function loadVector(c: MathContext, stored: DType, address: I32, offset: number): V128 {
  const bytes = bytesPerElement(stored);
  if (bytes === 4) return v128.load(address, offset);
  const bits =
    bytes === 2
      ? v128.load16x4Unsigned(address, offset)
      : i32x4.extendLow(i16x8.extendLow(v128.load32Zero(address, offset)));
  return decode(c, bits, stored);
}

// The bits of one element as a 32-bit number.
function loadBits(stored: DType, address: I32, offset: number): I32 {
  const bytes = bytesPerElement(stored);
  const load = bytes === 4 ? i32.load : bytes === 2 ? i32.load16Unsigned : i32.load8;
  return load(address, offset);
}

/** One element in all lanes. */
export function loadSplat(c: MathContext, stored: DType, address: I32, offset: number): V128 {
  if (bytesPerElement(stored) === 4) return v128.load32Splat(address, offset);
  return decode(c, i32x4.splat(loadBits(stored, address, offset)), stored);
}

// Does something for lanes `step` bytes apart, only for those whose bit is set in `lanes`.
function byLane(
  c: MathContext,
  first: I32,
  offset: number,
  step: number,
  lanes: I32 | number,
  body: (lane: number, address: I32, offset: number) => void,
): void {
  const { f } = c;
  const [address, kept] = [f.keep(first), f.keep(i32.from(lanes))];
  for (let lane = 0; lane < 4; lane++) {
    const by = lane * step;
    // Offsets of instructions are not negative; backward steps are subtracted from the address.
    const access = (): void => {
      body(lane, by < 0 ? address.add(by) : address, offset + Math.max(by, 0));
    };
    if (kept.constant === undefined) f.if(kept.and(1 << lane), access);
    else if (kept.constant & (1 << lane)) access();
  }
}

/**
 * The elements of those lanes whose bit is set in `lanes`, 0 elsewhere; nothing else is read.
 * `address` is lane 0's; lanes are `step` bytes apart.
 */
export function loadLanes(
  c: MathContext,
  stored: DType,
  address: I32,
  offset: number,
  step: number,
  lanes: I32 | number,
): V128 {
  const { f } = c;
  const vector = f.let(v128.zero());
  byLane(c, address, offset, step, lanes, (lane, at, by) => {
    f.set(
      vector,
      bytesPerElement(stored) === 4
        ? v128.load32Lane(at, vector, lane, by)
        : i32x4.replaceLane(vector, lane, loadBits(stored, at, by)),
    );
  });
  return decode(c, vector, stored);
}

/** Register lanes of `from` as register lanes of `to`. */
export function castLanes(c: MathContext, value: V128, from: DType, to: DType): V128 {
  const [a, b] = [lanesOf(from), lanesOf(to)];
  if (from === to || (a === "bool" && b === "bool")) return value;
  if (b === "bool") return (a === "float" ? f32x4 : i32x4).notEqual(value, integer(c, 0));
  if (a === "bool") return value.and(constantLanes(c, 1, to));
  if (to === "float16") {
    return widenFloat16(c, narrowToFloat16(c, castLanes(c, value, from, "float32")));
  }
  if (b === "float") {
    if (a === "float") return value;
    return a === "int" ? f32x4.convertI32x4(value) : f32x4.convertI32x4Unsigned(value);
  }
  if (a !== "float") return to === "int8" ? wrapToInt8(value) : value;
  if (b === "uint") return i32x4.truncateF32x4Unsigned(value);
  const whole = i32x4.truncateF32x4(value);
  return to === "int8" ? saturateToInt8(c, whole) : whole;
}

/** Stores four neighbouring elements. */
export function storeVector(
  c: MathContext,
  stored: DType,
  address: I32,
  offset: number,
  value: V128,
): void {
  const { f } = c;
  const encoded = encode(c, value, stored);
  const bytes = bytesPerElement(stored);
  if (bytes === 4) {
    f.storeV128(address, encoded, offset);
    return;
  }
  // The low bytes of each lane, side by side.
  const order = [0, 4, 8, 12].flatMap((lane) => (bytes === 2 ? [lane, lane + 1] : [lane]));
  const all = Array.from({ length: 16 }, (_, i) => order[i % order.length]!);
  const lanes = f.keep(encoded);
  f.storeLane(bytes === 2 ? 64 : 32, address, i8x16.shuffle(lanes, lanes, all), 0, offset);
}

/** Stores those lanes whose bit is set in `lanes`; they come `step` bytes apart. */
export function storeLanes(
  c: MathContext,
  stored: DType,
  address: I32,
  offset: number,
  step: number,
  value: V128,
  lanes: I32 | number,
): void {
  const { f } = c;
  const encoded = f.keep(encode(c, value, stored));
  const bits = (8 * bytesPerElement(stored)) as 8 | 16 | 32;
  byLane(c, address, offset, step, lanes, (lane, at, by) => {
    // A narrow lane lies at the bottom of its 32-bit lane.
    f.storeLane(bits, at, encoded, (lane * 32) / bits, by);
  });
}
