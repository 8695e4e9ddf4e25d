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
  switch (dtype) {
    case "float32":
    case "float16":
      return "float";
    case "int32":
    case "int8":
      return "int";
    case "uint32":
      return "uint";
    case "bool":
      return "bool";
  }
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
  if (stored === "bool") return i32x4.notEqual(bits, integer(c, 0));
  return bits;
}

/** Four neighbouring elements. */
export function loadVector(c: MathContext, stored: DType, address: I32, offset: number): V128 {
  switch (bytesPerElement(stored)) {
    case 4:
      return v128.load(address, offset);
    case 2:
      return decode(c, v128.load16x4Unsigned(address, offset), stored);
    default: {
      const bytes = v128.load32Zero(address, offset);
      return stored === "int8"
        ? i32x4.extendLow(i16x8.extendLow(bytes))
        : decode(c, i32x4.extendLowUnsigned(i16x8.extendLowUnsigned(bytes)), stored);
    }
  }
}

// The bits of one element as a 32-bit number.
function loadBits(stored: DType, address: I32, offset: number): I32 {
  switch (stored) {
    case "float16":
      return i32.load16Unsigned(address, offset);
    case "int8":
      return i32.load8(address, offset);
    case "bool":
      return i32.load8Unsigned(address, offset);
    default:
      return i32.load(address, offset);
  }
}

/** One element in all lanes. */
export function loadSplat(c: MathContext, stored: DType, address: I32, offset: number): V128 {
  if (bytesPerElement(stored) === 4) return v128.load32Splat(address, offset);
  return decode(c, i32x4.splat(loadBits(stored, address, offset)), stored);
}

/** Four elements at equal distances of `step` bytes, step > 0. */
export function loadStrided(
  c: MathContext,
  stored: DType,
  address: I32,
  offset: number,
  step: number,
): V128 {
  const at = [0, 1, 2, 3].map((lane) => offset + lane * step);
  if (bytesPerElement(stored) === 4) {
    return at
      .slice(1)
      .reduce(
        (vector, place, lane) => v128.load32Lane(address, vector, lane + 1, place),
        v128.load32Zero(address, offset),
      );
  }
  const bits = at
    .slice(1)
    .reduce(
      (vector, place, lane) =>
        i32x4.replaceLane(vector, lane + 1, loadBits(stored, address, place)),
      i32x4.splat(loadBits(stored, address, offset)),
    );
  return decode(c, bits, stored);
}

/**
 * The elements of those lanes whose bit is set in `lanes`, 0 elsewhere; nothing else is read.
 * `address` is lane 0's; lanes are `step` bytes apart.
 */
export function loadSomeLanes(
  c: MathContext,
  stored: DType,
  address: I32,
  offset: number,
  step: number,
  lanes: I32,
): V128 {
  const { f } = c;
  const vector = f.local(v128);
  f.set(vector, v128.zero());
  const [kept, at] = [f.keep(lanes), f.keep(address)];
  for (let lane = 0; lane < 4; lane++) {
    const place = laneAddress(at, offset, lane * step);
    f.if(kept.and(1 << lane), () => {
      f.set(
        vector,
        bytesPerElement(stored) === 4
          ? v128.load32Lane(place.address, vector, lane, place.offset)
          : i32x4.replaceLane(vector, lane, loadBits(stored, place.address, place.offset)),
      );
    });
  }
  return decode(c, vector, stored);
}

// Offsets of instructions are not negative; backward steps are subtracted from the address.
function laneAddress(address: I32, offset: number, by: number): { address: I32; offset: number } {
  return by >= 0 ? { address, offset: offset + by } : { address: address.add(by), offset };
}

/** Register lanes of `from` as register lanes of `to`. */
export function castLanes(c: MathContext, value: V128, from: DType, to: DType): V128 {
  if (from === to) return value;
  const [a, b] = [lanesOf(from), lanesOf(to)];
  if (b === "bool") {
    if (a === "bool") return value;
    return a === "float"
      ? f32x4.notEqual(value, float(c, 0))
      : i32x4.notEqual(value, integer(c, 0));
  }
  if (a === "bool") return value.and(b === "float" ? float(c, 1) : integer(c, 1));
  if (to === "float16") {
    return widenFloat16(c, narrowToFloat16(c, castLanes(c, value, from, "float32")));
  }
  if (b === "float") {
    if (a === "float") return value;
    return a === "int" ? f32x4.convertI32x4(value) : f32x4.convertI32x4Unsigned(value);
  }
  if (a === "float") {
    if (to === "uint32") return i32x4.truncateF32x4Unsigned(value);
    const whole = i32x4.truncateF32x4(value);
    return to === "int8" ? saturateToInt8(c, whole) : whole;
  }
  return to === "int8" ? wrapToInt8(value) : value;
}

// Register lanes as 32-bit lanes whose low bits are what is stored.
function encode(c: MathContext, value: V128, stored: DType): V128 {
  if (stored === "float16") return narrowToFloat16(c, value);
  if (stored === "bool") return value.and(integer(c, 1));
  return value;
}

const lowBytes = [0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12];

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
  switch (bytesPerElement(stored)) {
    case 4:
      f.storeV128(address, encoded, offset);
      break;
    case 2: {
      const lanes = f.keep(encoded);
      f.storeLane(64, address, i16x8.narrowUnsigned(lanes, lanes), 0, offset);
      break;
    }
    default: {
      const lanes = f.keep(encoded);
      f.storeLane(32, address, i8x16.shuffle(lanes, lanes, lowBytes), 0, offset);
    }
  }
}

/** Stores those lanes whose bit is set in `lanes`, or the first `lanes` (a number) of them. */
export function storeSomeLanes(
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
  const at = f.keep(address);
  const bits = (8 * bytesPerElement(stored)) as 8 | 16 | 32;
  // A narrow lane lies at the bottom of its 32-bit lane.
  const part = 32 / bits;
  const kept = typeof lanes === "number" ? null : f.keep(lanes);
  for (let lane = 0; lane < (typeof lanes === "number" ? lanes : 4); lane++) {
    const place = laneAddress(at, offset, lane * step);
    const store = (): void => {
      f.storeLane(bits, place.address, encoded, lane * part, place.offset);
    };
    if (kept) f.if(kept.and(1 << lane), store);
    else store();
  }
}
