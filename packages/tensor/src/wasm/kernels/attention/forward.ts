/**
 * Scaled dot-product attention without the matrix of scores: a block of queries goes over the keys in
 * blocks, and a running softmax (see `weights.ts`) makes the results of the blocks fit together. A few
 * queries, as in decoding, are taken one by one and use the keys where they are (see `direct.ts`).
 *
 * A work item is one block of queries of one head. Blocks of keys that no query of the block sees are
 * left out.
 */

import { f32, f32x4, i32, type I32, kernelSignature, type Local } from "../../assembler/index.js";
import type { KernelCode } from "../../launch.js";
import { argumentOffset, readArguments } from "../arguments.js";
import {
  type AttentionSpec,
  blockSize,
  commonArguments,
  firstBlock,
  layOutScratch,
  paddedRowBytes,
  scratchAddresses,
  smaller,
} from "./block.js";
import { directOutputFunction, directScoresFunction } from "./direct.js";
import { packColumns, packPanels, packRows, roundUp, unpackRows } from "./pack.js";
import {
  carefulProductFunction,
  finiteFunction,
  productFunction,
  type ProductSpec,
} from "./product.js";
import { panelColumns, panelRowBytes, tileRows } from "./register-tile.js";
import { guideFunction, limitsFunction } from "./visibility.js";
import { drawWords, finishFunction, weightsFunction } from "./weights.js";

/** The argument words of the forward kernel. `y` [b, h, n, e] and `lse` [b, h, n] are dense. */
export const forwardArguments: readonly [...typeof commonArguments, "y", "lse", "blocks"] = [
  ...commonArguments,
  "y",
  "lse",
  "blocks",
];

/** What makes the code of the forward kernel. */
export interface ForwardSpec extends AttentionSpec {
  /** Whether each query is by itself and uses keys and values where they are; see `direct.ts`. */
  readonly direct: boolean;
}

/** Queries and keys of a block. */
export function forwardBlock(spec: ForwardSpec): {
  readonly rows: number;
  readonly columns: number;
} {
  const size = blockSize(spec);
  return spec.direct ? { rows: 1, columns: 256 } : { rows: size, columns: size };
}

function layout(spec: ForwardSpec) {
  const { keySize, valueSize, guide, direct } = spec;
  const { rows: blockRows, columns } = forwardBlock(spec);
  const rows = roundUp(blockRows, tileRows);
  return layOutScratch({
    rows: rows * keySize * 4,
    columns: direct ? 0 : columns * keySize * 4,
    values: direct ? 0 : columns * paddedRowBytes(valueSize),
    scores: rows * columns * 4,
    output: rows * paddedRowBytes(valueSize),
    guide: guide === null ? 0 : rows * columns * 4,
    lows: rows * 4,
    highs: rows * 4,
    maxima: rows * 4,
    sums: rows * 4,
    factors: rows * 4,
    zeros: keySize * 4,
    draw: drawWords.bytes,
  });
}

/** Scratch memory of the forward kernel. */
export function forwardScratchBytes(spec: ForwardSpec): number {
  return layout(spec).bytes;
}

/** The code of the forward kernel. */
export function forwardCode(spec: ForwardSpec): KernelCode {
  const { keySize, valueSize, guide, dropout, direct } = spec;
  const block = forwardBlock(spec);
  const listBytes = roundUp(block.rows, tileRows) * 4;
  const key =
    `attention/forward${direct ? " direct" : ""} ${keySize}x${valueSize} ${guide}` +
    (dropout ? " dropout" : "");
  const outputBytes = paddedRowBytes(valueSize);
  const scoreBytes = block.columns * 4;
  const panels = Math.ceil(valueSize / panelColumns);
  const scoresSpec: ProductSpec = {
    left: { row: keySize * 4, step: 4 },
    panel: keySize * panelRowBytes,
    output: scoreBytes,
    depth: keySize,
    panels: null,
    limits: "columns",
    start: "zero",
  };
  const outputSpec: ProductSpec = {
    left: { row: scoreBytes, step: 4 },
    panel: block.columns * panelRowBytes,
    output: outputBytes,
    depth: null,
    panels,
    limits: "depth",
    start: "scaled",
  };
  const valuesSpec = {
    size: valueSize,
    gather: false,
    capacity: block.columns,
    multiple: panelColumns,
  };
  const emit: KernelCode["emit"] = (module) => {
    module.function(key, kernelSignature, (f, args, begin, end, scratch) => {
      const words = readArguments(f, args, forwardArguments);
      const one = f32.const(1);
      const none = i32.const(0);
      const at = scratchAddresses(f, scratch, layout(spec).offsets);
      const item = f.local(i32);
      const gather = false;
      const packQueries = packRows(module, { size: keySize, gather, multiple: tileRows });
      const unpack = unpackRows(module, {
        size: valueSize,
        gather,
        rowBytes: outputBytes,
        panelBytes: panelRowBytes,
      });
      const weights = weightsFunction(module, { guide, dropout, rowBytes: scoreBytes });
      const finish = finishFunction(module, outputBytes);

      f.memoryFill(at.zeros, 0, keySize * 4);
      if (dropout) {
        for (const name of ["key0", "key1", "counter"] as const) {
          f.storeI32(at.draw, i32.load(words[name]), drawWords[name]);
        }
        f.storeI32(at.draw, words.threshold, drawWords.threshold);
        f.storeI32(at.draw, words.dropoutScale, drawWords.scale);
      }

      f.for(item, begin, end, 1, () => {
        // The last queries come first: when causal they have the most to do.
        const head = f.let(item.divideUnsigned(words.blocks));
        const number = words.blocks.subtract(1).subtract(item.remainderUnsigned(words.blocks));
        const first = f.let(number.multiply(block.rows));
        const rows = smaller(f, words.queries.subtract(first), i32.const(block.rows));
        const batch = f.let(head.divideUnsigned(words.heads));
        const queryHead = f.let(head.subtract(batch.multiply(words.heads)));
        const keyHead = f.let(queryHead.divideUnsigned(words.group));
        const place = (name: "q" | "k" | "v" | "guide", headNumber: I32): Local<I32> =>
          f.let<I32>(
            words[name]
              .add(batch.multiply(words[`${name}Batch`]))
              .add(headNumber.multiply(words[`${name}Head`])),
          );
        const [q, k, v] = [place("q", queryHead), place("k", keyHead), place("v", keyHead)];
        const guides = guide === null ? none : place("guide", queryHead);
        const from = f.let(q.add(first.multiply(words.qRow)));
        const scale = f32.load(args, argumentOffset(forwardArguments, "scale"));
        f.call(packQueries, from, words.qRow, rows, none, scale, at.rows);
        f.memoryFill(at.output, 0, block.rows * outputBytes);
        f.memoryFill(at.sums, 0, listBytes);
        const entry = f.local(i32);
        f.for(entry, 0, listBytes, 16, () => {
          f.storeV128(at.maxima.add(entry), f32x4.splat(-Infinity));
        });

        // The key at the first query's own place, and the keys that any of the queries sees.
        const own = f.let(first.add(words.keys).subtract(words.queries));
        const firstKey = firstBlock(f, own.subtract(words.left), block.columns);
        const beyond = own.add(rows).add(words.right);
        const lastKey = smaller(f, beyond, words.keys);
        const keyAt = f.local(i32);
        const rowNumber = f.let(head.multiply(words.queries).add(first));
        f.for(keyAt, firstKey, lastKey, block.columns, () => {
          const columns = smaller(f, lastKey.subtract(keyAt), i32.const(block.columns));
          const compute = (): void => {
            const keys = f.let(k.add(keyAt.multiply(words.kRow)));
            const values = f.let(v.add(keyAt.multiply(words.vRow)));
            const { left, right, kRow, vRow } = words;
            const ownKey = own.subtract(keyAt);
            f.call(limitsFunction(module), ownKey, rows, columns, left, right, at.lows, at.highs);
            const lists = [at.lows, at.highs, at.factors] as const;
            const range = [i32.load(at.lows), i32.load(at.highs)] as const;
            if (direct) {
              const scores = directScoresFunction(module, keySize);
              f.call(scores, at.rows, keys, kRow, ...range, at.scores);
            } else {
              const packKeys = packColumns(module, { size: keySize, gather });
              const packValues = packPanels(module, valuesSpec);
              const scores = productFunction(module, scoresSpec);
              f.call(packKeys, keys, kRow, columns, none, one, at.columns, at.zeros);
              f.call(packValues, values, vRow, columns, none, one, at.values);
              f.call(scores, at.rows, at.columns, at.scores, rows, none, ...lists);
            }
            const guideStride = words.guideRow.isZero().select(none, i32.const(scoreBytes));
            f.call(
              weights,
              at.scores,
              rows,
              at.lows,
              at.highs,
              at.guide,
              guide === null ? none : guideStride,
              at.maxima,
              at.sums,
              at.factors,
              at.draw,
              rowNumber.multiply(words.keys).add(keyAt),
              words.keys,
            );
            if (direct) {
              const output = directOutputFunction(module, valueSize);
              f.call(output, at.scores, values, vRow, ...range, at.output, at.factors);
              return;
            }
            const operands = [at.scores, at.values, at.output, rows, columns, ...lists] as const;
            f.if(
              finiteFunction(module, panels, outputSpec.panel).call(at.values, columns),
              () => {
                f.call(productFunction(module, outputSpec), ...operands);
              },
              () => {
                f.call(carefulProductFunction(module, outputSpec), ...operands);
              },
            );
          };
          if (guide === null) compute();
          else {
            const pack = guideFunction(module, guide, scoreBytes);
            const source = guides
              .add(first.multiply(words.guideRow))
              .add(keyAt.multiply(words.guideColumn));
            // A mask for all queries alike is copied once.
            const guideRows = words.guideRow.isZero().select(i32.const(1), rows);
            const strides = [words.guideRow, words.guideColumn] as const;
            f.if(pack.call(source, ...strides, guideRows, columns, at.guide), compute);
          }
        });
        const lse = words.lse.add(rowNumber.shiftLeft(2));
        f.call(finish, at.output, rows, at.maxima, at.sums, lse);
        const y = words.y.add(rowNumber.multiply(valueSize * 4));
        f.call(unpack, at.output, rows, none, y, i32.const(valueSize * 4));
      });
    });
  };
  return { key, emit };
}
