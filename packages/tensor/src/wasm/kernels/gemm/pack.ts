/**
 * Packing: copying a strided matrix into panels, the order in which tiles read it.
 *
 * A panel holds `width` rows of the left matrix or `width` columns of the right one; for each step
 * along the summed axis (the depth) their numbers stand together. Both matrices are packed by the
 * same code: only the strides differ.
 */

import {
  type FunctionBuilder,
  type FunctionReference,
  i32,
  type I32,
  type I32Like,
  i32x4,
  type Local,
  type ModuleBuilder,
  type Signature,
  v128,
  type V128,
} from "../../assembler/index.js";
import { bytesPerElement, type DType } from "../../../tensor/dtype.js";
import type { MathContext } from "../../math/index.js";
import { loadFour, loadOne, loadSome } from "./load.js";

/** In which direction the numbers of the source are neighbours. */
export type PackOrder =
  /** Across the panel: a step's numbers are copied as they stand. */
  | "across"
  /** Along the depth: blocks are transposed. */
  | "along"
  /** In neither. */
  | "strided";

/** The order a matrix is packed in, from its strides in elements. */
export function packOrder(widthStride: number, depthStride: number): PackOrder {
  if (widthStride === 1) return "across";
  return depthStride === 1 ? "along" : "strided";
}

type Word = typeof i32;

const signature: Signature<readonly [Word, Word, Word, Word, Word, Word], null> = {
  parameters: [i32, i32, i32, i32, i32, i32],
  result: null,
};

/**
 * A function that packs one panel: `(from, to, depth, valid, widthStride, depthStride)`, strides in
 * bytes. Only the first `valid ≥ 1` lanes of the source exist; the others get any finite number or
 * a copy of one that exists, and what is computed from them must be thrown away.
 */
type PackFunction = FunctionReference<typeof signature.parameters, null>;

// The function that packs panels of a width, added to the module if it is not there yet.
function packFunction(
  module: ModuleBuilder,
  width: number,
  order: PackOrder,
  dtype: DType,
): PackFunction {
  const key = `gemm/pack ${width} ${order} ${dtype}`;
  // The key names the signature.
  if (module.has(key)) return module.get(key) as unknown as PackFunction;
  const partial = order === "across" && width % 4 === 0 ? lanesFunction(module, dtype) : null;
  return module.function<typeof signature.parameters, null>(
    key,
    signature,
    (f, from, to, depth, valid, widthStride, depthStride) => {
      const c = { module, f };
      const panel = { dtype, from, to, depth, valid, widthStride };
      if (order === "along") packAlong(c, width, panel);
      else if (order === "strided") packStrided(c, width, panel, depthStride);
      else if (partial) {
        f.if(
          valid.equal(width),
          () => {
            packAcross(c, width, panel, depthStride);
          },
          () => {
            for (let lane = 0; lane < width; lane += 4) {
              f.call(
                partial,
                from.add(lane * bytesPerElement(dtype)),
                to.add(lane * 4),
                depth,
                valid.subtract(lane),
                depthStride,
                i32.const(width * 4),
              );
            }
          },
        );
      } else {
        // Widths that are no multiple of four are those of the left matrix, whose panels are full.
        packAcross(c, width, panel, depthStride);
      }
    },
    { export: false },
  );
}

interface Panel {
  readonly dtype: DType;
  readonly from: Local<I32>;
  readonly to: Local<I32>;
  readonly depth: Local<I32>;
  readonly valid: Local<I32>;
  readonly widthStride: Local<I32>;
}

// Copies `width` neighbours for each step.
function packAcross(
  c: MathContext,
  width: number,
  { dtype, from, to, depth }: Panel,
  depthStride: I32,
): void {
  const { f } = c;
  f.while(depth, () => {
    const parts: [Local<V128>, number, 32 | 64 | 128][] = [];
    let lane = 0;
    for (; lane + 4 <= width; lane += 4) {
      parts.push([f.let(loadFour(c, dtype, from, lane * bytesPerElement(dtype))), lane, 128]);
    }
    if (width - lane >= 2) {
      parts.push([f.let(v128.load64Zero(from, lane * 4)), lane, 64]);
      lane += 2;
    }
    if (width > lane) parts.push([f.let(v128.load32Zero(from, lane * 4)), lane, 32]);
    for (const [value, at, bits] of parts) {
      if (bits === 128) f.storeV128(to, value, at * 4);
      else f.storeLane(bits, to, value, 0, at * 4);
    }
    f.increment(from, depthStride);
    f.increment(to, width * 4);
    f.increment(depth, -1);
  });
}

/**
 * Copies up to four neighbours for each step and zeros for the rest of the four:
 * `(from, to, depth, valid, fromStride, toStride)`; `valid` may be below 1 or above 4.
 */
function lanesFunction(module: ModuleBuilder, dtype: DType): PackFunction {
  const key = `gemm/pack lanes ${dtype}`;
  // The key names the signature.
  if (module.has(key)) return module.get(key) as unknown as PackFunction;
  return module.function<typeof signature.parameters, null>(
    key,
    signature,
    (f, from, to, depth, valid, fromStride, toStride) => {
      const steps = f.local(i32);
      const copy = (condition: I32, value: () => V128): void => {
        f.if(condition, () => {
          f.set<I32>(steps, depth);
          f.while(steps, () => {
            f.storeV128(to, value());
            f.increment(from, fromStride);
            f.increment(to, toStride);
            f.increment(steps, -1);
          });
        });
      };
      copy(valid.lessEqual(0), () => v128.zero());
      for (let count = 1; count < 4; count++) {
        copy(valid.equal(count), () => loadSome({ module, f }, dtype, from, 0, count));
      }
      copy(valid.greaterEqual(4), () => loadFour({ module, f }, dtype, from));
    },
    { export: false },
  );
}

// Transposes four, two or one rows at a time, four steps at a time.
function packAlong(c: MathContext, width: number, panel: Panel): void {
  const { f } = c;
  const { dtype, from, to, depth, valid, widthStride } = panel;
  const last = f.let(from.add(valid.subtract(1).multiply(widthStride)));
  const lane = f.letI32(0);
  const next = f.let(from);
  const rows = f.localArray(i32, 4);
  const out = f.local(i32);
  const steps = f.local(i32);
  for (let first = 0; first < width;) {
    const count = width - first >= 4 ? 4 : width - first >= 2 ? 2 : 1;
    for (const row of rows.slice(0, count)) {
      f.set<I32>(row, next);
      // Rows that do not exist repeat the last one.
      f.increment(lane, 1);
      f.set<I32>(next, lane.less(valid).select(next.add(widthStride), last));
    }
    f.set<I32>(out, to.add(first * 4));
    f.set<I32>(steps, depth.subtract(4));
    f.while(steps.greaterEqual(0), () => {
      transposeBlock(c, dtype, rows.slice(0, count), out, width * 4);
      for (const row of rows.slice(0, count)) f.increment(row, 4 * bytesPerElement(dtype));
      f.increment(out, width * 16);
      f.increment(steps, -4);
    });
    f.increment(steps, 4);
    f.while(steps, () => {
      rows.slice(0, count).forEach((row, i) => {
        f.storeLane(32, out, loadOne(c, dtype, row), 0, i * 4);
        f.increment(row, bytesPerElement(dtype));
      });
      f.increment(out, width * 4);
      f.increment(steps, -1);
    });
    first += count;
  }
}

// Four numbers of each of one, two or four rows to `to`, where steps are `stride` bytes apart.
function transposeBlock(
  c: MathContext,
  dtype: DType,
  rows: readonly Local<I32>[],
  to: I32,
  stride: number,
): void {
  const { f } = c;
  const values = rows.map((row) => f.let(loadFour(c, dtype, row)));
  if (values.length === 1) {
    for (let i = 0; i < 4; i++) f.storeLane(32, to, values[0]!, i, i * stride);
    return;
  }
  const low = (a: V128, b: V128): V128 => i32x4.shuffle(a, b, [0, 4, 1, 5]);
  const high = (a: V128, b: V128): V128 => i32x4.shuffle(a, b, [2, 6, 3, 7]);
  if (values.length === 2) {
    const pairs = [f.let(low(values[0]!, values[1]!)), f.let(high(values[0]!, values[1]!))];
    for (let i = 0; i < 4; i++) f.storeLane(64, to, pairs[i >> 1]!, i & 1, i * stride);
    return;
  }
  // Four were loaded; the type of `map` does not count.
  const [v0, v1, v2, v3] = values as unknown as [V128, V128, V128, V128];
  const [ac0, ac1] = [f.let(low(v0, v2)), f.let(high(v0, v2))];
  const [bd0, bd1] = [f.let(low(v1, v3)), f.let(high(v1, v3))];
  f.storeV128(to, low(ac0, bd0));
  f.storeV128(to, high(ac0, bd0), stride);
  f.storeV128(to, low(ac1, bd1), 2 * stride);
  f.storeV128(to, high(ac1, bd1), 3 * stride);
}

// One number at a time.
function packStrided(c: MathContext, width: number, panel: Panel, depthStride: I32): void {
  const { f } = c;
  const { dtype, from, to, depth, valid, widthStride } = panel;
  const [lane, steps, source, out] = f.localArray(i32, 4) as [
    Local<I32>,
    Local<I32>,
    Local<I32>,
    Local<I32>,
  ];
  f.for(lane, 0, width, 1, () => {
    f.set<I32>(source, from);
    f.set<I32>(out, to.add(lane.shiftLeft(2)));
    f.set<I32>(steps, depth);
    f.while(steps, () => {
      f.storeLane(32, out, loadOne(c, dtype, source), 0);
      f.increment(source, depthStride);
      f.increment(out, width * 4);
      f.increment(steps, -1);
    });
    f.if(lane.add(1).less(valid), () => {
      f.increment(from, widthStride);
    });
  });
}

/** What packs a block: a range of panels over a range of steps. */
export interface PackBlock {
  readonly width: number;
  readonly order: PackOrder;
  /** What the numbers of the source are kept as; panels hold float32. Default: that. */
  readonly dtype?: DType;
  /** Address of the first number. */
  readonly from: I32;
  /** Address of the first panel. */
  readonly to: I32;
  /** Steps to pack. */
  readonly depth: I32;
  /** Rows or columns to pack, at least 1; the last panel is padded. */
  readonly count: I32;
  /** Bytes between rows or columns of the source. */
  readonly widthStride: I32;
  /** Bytes between steps of the source. */
  readonly depthStride: I32;
  /** Bytes between panels in the destination. */
  readonly panelStride: I32;
}

// Steps of many neighbouring panels that are copied before the next ones: few enough that their
// cache lines survive from panel to panel even where the stride maps them onto the same sets.
const acrossSteps = 8;

/** Packs a block, in an order that reads the source along its neighbours. */
export function packBlock(f: FunctionBuilder, module: ModuleBuilder, block: PackBlock): void {
  const { width, order, dtype = "float32" } = block;
  const pack = packFunction(module, width, order, dtype);
  const count = f.let(block.count);
  const panelStride = f.let(block.panelStride);
  const widthStride = f.let(block.widthStride);
  const depthStride = f.let(block.depthStride);
  const [start, to, depth] = [f.let(block.from), f.let(block.to), f.let(block.depth)];
  const step = f.local(i32);
  const done = f.local(i32);
  const [from, out, steps] = [f.local(i32), f.local(i32), f.local(i32)];
  const panels = (stepsHere: I32Like): void => {
    f.set<I32>(from, start);
    f.set<I32>(out, to);
    f.set<I32>(steps, typeof stepsHere === "number" ? i32.const(stepsHere) : stepsHere);
    f.for(done, 0, count, width, () => {
      const left = f.let(count.subtract(done));
      f.call(pack, from, out, steps, left.minimum(width), widthStride, depthStride);
      f.increment(from, widthStride.multiply(width));
      f.increment(out, panelStride);
    });
  };
  if (order !== "across") {
    panels(depth);
    return;
  }
  f.for(step, 0, depth, acrossSteps, () => {
    const left = f.let(depth.subtract(step));
    panels(left.minimum(acrossSteps));
    f.increment(start, depthStride.multiply(acrossSteps));
    f.increment(to, acrossSteps * width * 4);
  });
}
