/**
 * Products of few rows: decoding, and matrices times vectors. They read the large matrix
 * once, as fast as memory gives it, in the order in which it lies there.
 *
 * `"dot"`: the summed axis is contiguous in both; each number of the output is a dot product.
 * `"scale"`: rows of the large matrix are contiguous; they are scaled and added to the output.
 */

import {
  type FunctionBuilder,
  type FunctionReference,
  i32,
  type I32,
  i32x4,
  kernelSignature,
  type Local,
  type ModuleBuilder,
  v128,
  type V128,
} from "../../assembler/index.js";
import { bytesPerElement, type DType } from "../../../tensor/dtype.js";
import type { KernelCode } from "../../launch.js";
import { argumentOffset, endOfArguments } from "../arguments.js";
import { offsetsAt } from "../strided.js";
import { loadFour, loadOne } from "./load.js";

/** What makes the code of the kernel. */
export interface VectorSpec {
  readonly form: "dot" | "scale";
  /** Rows of the small matrix, 1 to `mostVectorRows`. */
  readonly rows: number;
  /** Whether the small matrix is first gathered into scratch memory (`"dot"` only). */
  readonly gather: boolean;
  /** What the numbers of the large matrix are kept as. */
  readonly rightType: DType;
}

/** The most rows that the kernel takes. */
export const mostVectorRows = 8;

/**
 * The argument words; the loops of the batch follow. Strides are in bytes; `left` is the small
 * matrix. An item is a block of `blockColumns` of the `n` columns of the output.
 */
export const vectorArguments = [
  "left",
  "right",
  "output",
  "leftRowStride",
  "leftColumnStride",
  // Between rows of the right matrix ("scale") or between its columns ("dot").
  "rightStride",
  "outputRowStride",
  "outputColumnStride",
  "outputMatrixBytes",
  "n",
  "k",
  "blockColumns",
  "columnBlocks",
] as const;

type Word = (name: (typeof vectorArguments)[number]) => I32;

/** The code of a product of few rows. */
export function vectorCode(spec: VectorSpec): KernelCode {
  const { form, rows, gather, rightType } = spec;
  const key = `gemm ${form} ${rows} ${rightType}${gather ? " gather" : ""}`;
  return {
    key,
    emit: (module) => {
      module.function(key, kernelSignature, (f, args, begin, end, scratch) => {
        const word: Word = (name) => i32.load(args, argumentOffset(vectorArguments, name));
        const gatheredFor = f.letI32(-1);
        f.for(begin, begin, end, 1, () => {
          const block = f.let(begin.remainderUnsigned(word("columnBlocks")));
          const batch = f.let(begin.divideUnsigned(word("columnBlocks")));
          const loops = endOfArguments(vectorArguments, args);
          const [leftOffset, rightOffset] = offsetsAt(f, loops, batch, 2) as [
            Local<I32>,
            Local<I32>,
          ];
          const left = f.let(word("left").add(leftOffset));
          const right = f.let(word("right").add(rightOffset));
          const column = f.let(block.multiply(word("blockColumns")));
          const columnsLeft = f.let(word("n").subtract(column));
          const blockColumns = f.let(word("blockColumns"));
          const columns = f.let(columnsLeft.minimum(blockColumns));
          const output = f.let(
            word("output")
              .add(batch.multiply(word("outputMatrixBytes")))
              .add(column.multiply(word("outputColumnStride"))),
          );
          if (form === "scale") {
            f.increment(right, column.multiply(bytesPerElement(rightType)));
            scaleColumns(f, module, rows, rightType, { left, right, output, columns, word });
            return;
          }
          f.increment(right, column.multiply(word("rightStride")));
          const leftRowStride = f.let(gather ? word("k").shiftLeft(2) : word("leftRowStride"));
          if (gather) {
            f.if(batch.notEqual(gatheredFor), () => {
              gatherRows(f, rows, left, scratch, word);
              f.set<I32>(gatheredFor, batch);
            });
            f.set<I32>(left, scratch);
          }
          const at = { left, leftRowStride, right, output, columns, word };
          dotColumns(f, module, rows, rightType, at);
        });
      });
    },
  };
}

interface Block {
  readonly left: Local<I32>;
  readonly right: Local<I32>;
  readonly output: Local<I32>;
  readonly columns: Local<I32>;
  readonly word: Word;
}

// Copies the small matrix so that each row is contiguous.
function gatherRows(f: FunctionBuilder, rows: number, left: I32, to: I32, word: Word): void {
  const out = f.let(to);
  const steps = f.local(i32);
  for (let row = 0; row < rows; row++) {
    const from = f.let(left.add(word("leftRowStride").multiply(row)));
    f.for(steps, word("k"), 0, -1, () => {
      f.storeI32(out, i32.load(from));
      f.increment(from, word("leftColumnStride"));
      f.increment(out, 4);
    });
  }
}

// Rows are done in pairs: with more, fewer streams of the large matrix would be read at once, and
// the second pair finds in the cache what the first has read. Gives first row and number of each.
function rowPairs(rows: number): [number, number][] {
  const pairs: [number, number][] = [];
  for (let row = 0; row < rows; row += 2) pairs.push([row, Math.min(2, rows - row)]);
  return pairs;
}

// --- dot -----------------------------------------------------------------------------------------

const dotSignature = {
  parameters: [i32, i32, i32, i32, i32, i32, i32, i32],
  result: null,
} as const;

// (left, leftRowStride, right, rightStride, output, outputRowStride, outputColumnStride, depth)
type DotFunction = FunctionReference<(typeof dotSignature)["parameters"], null>;

// Columns done at once.
const dotGroup = 4;

function dotColumns(
  f: FunctionBuilder,
  module: ModuleBuilder,
  rows: number,
  rightType: DType,
  { left, leftRowStride, right, output, columns, word }: Block & { leftRowStride: I32 },
): void {
  const run = (count: number, condition: I32): void => {
    f.while(condition, () => {
      const rightStride = word("rightStride");
      const columnStride = word("outputColumnStride");
      const rowStride = word("outputRowStride");
      for (const [first, pair] of rowPairs(rows)) {
        f.call(
          dotFunction(module, pair, count, rightType),
          left.add(leftRowStride.multiply(first)),
          leftRowStride,
          right,
          rightStride,
          output.add(rowStride.multiply(first)),
          rowStride,
          columnStride,
          word("k"),
        );
      }
      f.increment(right, rightStride.multiply(count));
      f.increment(output, columnStride.multiply(count));
      f.increment(columns, -count);
    });
  };
  run(dotGroup, columns.greaterEqual(dotGroup));
  run(1, columns);
}

/**
 * Dot products of one or two rows with `count` columns. The order of summation does not depend on `count`:
 * two sums of four lanes each take turns over the vectors of the summed axis, the rest of it goes
 * to lane 0, then sums and lanes are added.
 */
function dotFunction(
  module: ModuleBuilder,
  rows: number,
  count: number,
  rightType: DType,
): DotFunction {
  const key = `gemm/dot ${rows}x${count} ${rightType}`;
  // The key names the signature.
  if (module.has(key)) return module.get(key) as unknown as DotFunction;
  // With one row there are registers for two sums each, which hide the latency of the additions.
  const turns = rows === 1 ? 2 : 1;
  return module.function<typeof dotSignature.parameters, null>(
    key,
    dotSignature,
    (f, left, leftStride, right, rightStride, output, outputRowStride, outputStride, depth) => {
      const lefts = [left, ...f.localArray(i32, rows - 1)];
      const rights = [right, ...f.localArray(i32, count - 1)];
      const follow = (addresses: Local<I32>[], stride: I32): void => {
        for (let i = 1; i < addresses.length; i++) {
          f.set<I32>(addresses[i]!, addresses[i - 1]!.add(stride));
        }
      };
      follow(lefts, leftStride);
      follow(rights, rightStride);
      const sums = Array.from({ length: turns }, () => f.localArray(v128, rows * count));
      const leftVectors = f.localArray(v128, rows);
      const rightVector = f.local(v128);
      const rightBytes = bytesPerElement(rightType);
      const step = (turn: number, load: typeof loadFour): void => {
        leftVectors.forEach((vector, i) => {
          f.set<V128>(vector, load({ module, f }, "float32", lefts[i]!, turn * 16));
        });
        rights.forEach((address, j) => {
          f.set<V128>(rightVector, load({ module, f }, rightType, address, turn * 4 * rightBytes));
          leftVectors.forEach((vector, i) => {
            const sum = sums[turn]![i * count + j]!;
            f.set<V128>(sum, module.madd(vector, rightVector, sum));
          });
        });
      };
      const advance = (numbers: number): void => {
        for (const address of lefts) f.increment(address, 4 * numbers);
        for (const address of rights) f.increment(address, rightBytes * numbers);
      };
      const rest = f.let(depth.subtract(4 * turns));
      f.while(rest.greaterEqual(0), () => {
        for (let turn = 0; turn < turns; turn++) step(turn, loadFour);
        advance(4 * turns);
        f.increment(rest, -4 * turns);
      });
      f.increment(rest, 4 * turns);
      if (turns > 1) {
        f.if(rest.greaterEqual(4), () => {
          step(0, loadFour);
          advance(4);
          f.increment(rest, -4);
        });
      }
      f.while(rest, () => {
        step(0, loadOne);
        advance(1);
        f.increment(rest, -1);
      });
      for (let j = 0; j < count; j++) {
        const at = f.let(output);
        for (let i = 0; i < rows; i++) {
          const parts = sums.map((turn) => turn[i * count + j]!);
          const sum = f.let(parts.slice(1).reduce<V128>((a, b) => a.f32x4Add(b), parts[0]!));
          f.set<V128>(sum, sum.f32x4Add(i32x4.shuffle(sum, sum, [2, 3, 0, 1])));
          f.set<V128>(sum, sum.f32x4Add(i32x4.shuffle(sum, sum, [1, 0, 3, 2])));
          f.storeLane(32, at, sum, 0);
          if (i < rows - 1) f.increment(at, outputRowStride);
        }
        if (j < count - 1) f.increment(output, outputStride);
      }
    },
    { export: false },
  );
}

// --- scale ---------------------------------------------------------------------------------------

const scaleSignature = {
  parameters: [i32, i32, i32, i32, i32, i32, i32, i32],
  result: null,
} as const;

// (left, leftRowStride, leftColumnStride, right, rightStride, output, outputRowStride, columns)
type ScaleFunction = FunctionReference<(typeof scaleSignature)["parameters"], null>;

function scaleColumns(
  f: FunctionBuilder,
  module: ModuleBuilder,
  rows: number,
  rightType: DType,
  { left, right, output, columns, word }: Block,
): void {
  const outputRowStride = f.let(word("outputRowStride"));
  for (let row = 0; row < rows; row++) {
    f.memoryFill(output.add(outputRowStride.multiply(row)), 0, columns.shiftLeft(2));
  }
  const steps = f.let(word("k"));
  const run = (count: number, condition: I32): void => {
    f.while(condition, () => {
      const rowStride = word("leftRowStride");
      const columnStride = word("leftColumnStride");
      const rightStride = word("rightStride");
      for (const [first, pair] of rowPairs(rows)) {
        f.call(
          scaleFunction(module, pair, count, rightType),
          left.add(rowStride.multiply(first)),
          rowStride,
          columnStride,
          right,
          rightStride,
          output.add(outputRowStride.multiply(first)),
          outputRowStride,
          columns,
        );
      }
      f.increment(left, columnStride.multiply(count));
      f.increment(right, rightStride.multiply(count));
      f.increment(steps, -count);
    });
  };
  // Rows of the large matrix read at once: as many factors as fit in registers beside the sums.
  const group = rows === 1 ? 8 : 4;
  run(group, steps.greaterEqual(group));
  run(1, steps);
}

/** Adds `count` scaled rows of the large matrix to each row of the output, one after the other. */
function scaleFunction(
  module: ModuleBuilder,
  rows: number,
  count: number,
  rightType: DType,
): ScaleFunction {
  const key = `gemm/scale ${rows}x${count} ${rightType}`;
  // The key names the signature.
  if (module.has(key)) return module.get(key) as unknown as ScaleFunction;
  return module.function<typeof scaleSignature.parameters, null>(
    key,
    scaleSignature,
    (
      f,
      left,
      leftRowStride,
      leftColumnStride,
      right,
      rightStride,
      output,
      outputStride,
      columns,
    ) => {
      const factors: Local<V128>[][] = [];
      for (let row = 0; row < rows; row++) {
        const at = f.let(left);
        const rowFactors: Local<V128>[] = [];
        for (let i = 0; i < count; i++) {
          rowFactors.push(f.let(v128.load32Splat(at)));
          if (i < count - 1) f.increment(at, leftColumnStride);
        }
        factors.push(rowFactors);
        if (row < rows - 1) f.increment(left, leftRowStride);
      }
      const rights = [right, ...f.localArray(i32, count - 1)];
      const outputs = [output, ...f.localArray(i32, rows - 1)];
      for (let i = 1; i < count; i++) f.set<I32>(rights[i]!, rights[i - 1]!.add(rightStride));
      for (let i = 1; i < rows; i++) f.set<I32>(outputs[i]!, outputs[i - 1]!.add(outputStride));
      const sums = f.localArray(v128, rows);
      const vector = f.local(v128);
      const step = (
        load: typeof loadFour,
        store: (address: I32, value: V128) => void,
        numbers: number,
      ): void => {
        sums.forEach((sum, row) => {
          f.set<V128>(sum, load({ module, f }, "float32", outputs[row]!));
        });
        rights.forEach((address, i) => {
          f.set<V128>(vector, load({ module, f }, rightType, address));
          sums.forEach((sum, row) => {
            f.set<V128>(sum, module.madd(factors[row]![i]!, vector, sum));
          });
          f.increment(address, numbers * bytesPerElement(rightType));
        });
        sums.forEach((sum, row) => {
          store(outputs[row]!, sum);
          f.increment(outputs[row]!, 4 * numbers);
        });
      };
      const rest = f.let(columns.subtract(4));
      f.while(rest.greaterEqual(0), () => {
        step(
          loadFour,
          (address, value) => {
            f.storeV128(address, value);
          },
          4,
        );
        f.increment(rest, -4);
      });
      f.increment(rest, 4);
      f.while(rest, () => {
        step(
          loadOne,
          (address, value) => {
            f.storeLane(32, address, value, 0);
          },
          1,
        );
        f.increment(rest, -1);
      });
    },
    { export: false },
  );
}
