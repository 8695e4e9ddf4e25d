/**
 * Scaled dot-product attention without the matrix of scores: a block of queries goes over the keys in
 * blocks, and a running softmax (see `weights.ts`) makes the results of the blocks fit together. A few
 * queries, as in decoding, are taken one by one and use the keys where they are (see `direct.ts`).
 *
 * A work item is one block of queries of one head. Blocks of keys that no query of the block sees are
 * left out.
 */

import { f32x4, i32 } from "../../assembler/index.js";
import type { KernelCode } from "../../launch.js";
import { WordReader } from "../arguments.js";
import { divide, integers, kernelCode, limit, smaller } from "../code.js";
import {
  addressesOf,
  type AttentionSpec,
  blockSize,
  layOut,
  type Layout,
  specText,
} from "./block.js";
import { directOutputFunction, directScoresFunction } from "./direct.js";
import {
  copyColumns,
  copyRows,
  matrixRowBytes,
  roundUp,
  tileColumns,
  tileRows,
  unit,
} from "./pack.js";
import { multiply } from "./product.js";
import { listLimits, withGuide } from "./visibility.js";
import { drawBytes, finish, weightsFunction } from "./weights.js";

/** What makes the code of the forward kernel. */
export interface ForwardSpec extends AttentionSpec {
  /** Whether each query is by itself and uses keys and values where they are; see `direct.ts`. */
  readonly direct: boolean;
}

/** Queries and keys of a block. */
export function forwardBlock(spec: ForwardSpec): readonly [queries: number, keys: number] {
  const size = blockSize(spec);
  return spec.direct ? [1, 256] : [size, size];
}

type Part =
  | ("queries" | "columns" | "values" | "weights" | "output" | "guide")
  | ("lows" | "highs" | "maxima" | "sums" | "factors");

/** Scratch memory of the forward kernel. */
export function forwardLayout(spec: ForwardSpec): Layout<Part> {
  const { keySize, valueSize, guide, direct } = spec;
  const [blockRows, columns] = forwardBlock(spec);
  const rows = roundUp(blockRows, tileRows);
  const [list, rowBytes] = [rows * 4, matrixRowBytes(columns)];
  return layOut({
    queries: rows * matrixRowBytes(keySize),
    columns: direct ? 0 : keySize * rowBytes,
    values: direct ? 0 : columns * matrixRowBytes(valueSize),
    weights: rows * rowBytes,
    output: rows * matrixRowBytes(valueSize),
    guide: guide === null ? 0 : rows * rowBytes,
    lows: list,
    highs: list,
    maxima: list,
    sums: list,
    factors: list,
  });
}

/**
 * The code of the forward kernel. Its words are those of the problem, `y` [b, h, n, e] and `lse`
 * [b, h, n], both dense, and the blocks of queries.
 */
export function forwardCode(spec: ForwardSpec): KernelCode {
  const { keySize, valueSize, guide, direct } = spec;
  const [blockRows, blockColumns] = forwardBlock(spec);
  const layout = forwardLayout(spec);
  const listBytes = roundUp(blockRows, tileRows) * 4;
  const key = `attention/forward${direct ? " direct" : ""} ${specText(spec)}`;
  const [keyBytes, valueBytes] = [matrixRowBytes(keySize), matrixRowBytes(valueSize)];
  const rowBytes = matrixRowBytes(blockColumns);
  return kernelCode(key, (c, words, scratch) => {
    const { module, f } = c;
    const read = new WordReader(f, words.add(drawBytes));
    const [keys, queries, heads, group, left, right, scale] = read.words(7);
    const [q, k, v, guides] = [read.view(4), read.view(4), read.view(4), read.view(4)];
    const [y, lse, blocks] = read.words(3);
    const at = addressesOf(f, scratch, layout);
    const lists = [at.lows, at.highs] as const;
    const [none, one] = [i32.const(0), i32.const(unit)];
    const weights = weightsFunction(module, { ...spec, key, rowBytes, offsets: layout.offsets });
    const [firstKey, keyAt, entry] = integers(f, 3);

    return (item) => {
      // The last queries come first: when causal they have the most to do.
      const [head, number] = divide(f, item, blocks);
      const first = f.let(blocks.subtract(1).subtract(number).multiply(blockRows));
      const rows = smaller(f, queries.subtract(first), blockRows);
      const [batch, queryHead] = divide(f, head, heads);
      const keyHead = f.let(queryHead.divideUnsigned(group));
      const packQueries = copyRows(module, { size: keySize });
      const from = q.at(batch, queryHead, first);
      f.call(packQueries, from, q.strides[2]!, rows, at.queries, i32.const(keyBytes), none, scale);
      f.memoryFill(at.output, 0, blockRows * valueBytes);
      f.memoryFill(at.sums, 0, listBytes);
      f.for(entry, 0, listBytes, 16, () => {
        f.storeV128(at.maxima.add(entry), f32x4.splat(-Infinity));
      });

      // The key at the first query's own place, and the keys that any of the queries sees.
      const own = f.let(first.add(keys).subtract(queries));
      limit(f, firstKey, own.subtract(left), keys);
      const lastKey = smaller(f, own.add(rows).add(right), keys);
      const rowNumber = f.let(head.multiply(queries).add(first));
      f.for(keyAt, firstKey.and(-blockColumns), lastKey, blockColumns, () => {
        const columns = smaller(f, lastKey.subtract(keyAt), blockColumns);
        const counts = [rows, columns] as const;
        listLimits(f, own.subtract(keyAt), counts, [left, right], lists);
        const place = [batch, queryHead, first, keyAt];
        withGuide(c, guide, rowBytes, guides, place, counts, at.guide, (guideStride) => {
          const keyRows = [f.let(k.at(batch, keyHead, keyAt)), k.strides[2]!] as const;
          const valueRows = [f.let(v.at(batch, keyHead, keyAt)), v.strides[2]!] as const;
          const range = [i32.load(at.lows), i32.load(at.highs)] as const;
          if (direct) {
            const scores = directScoresFunction(module, keySize);
            f.call(scores, at.queries, ...keyRows, ...range, at.weights);
          } else {
            const packKeys = copyColumns(module, { size: keySize }, rowBytes);
            f.call(packKeys, ...keyRows, columns, at.columns, none, none, one);
            multiply(
              c,
              {
                left: keyBytes,
                step: 4,
                right: rowBytes,
                output: rowBytes,
                limits: "columns",
                start: "zero",
              },
              [at.queries, at.columns, at.weights, rows, none, i32.const(keySize), ...lists],
            );
          }
          const position = rowNumber.multiply(keys).add(keyAt);
          f.call(weights, scratch, words, rows, position, guideStride);
          if (direct) {
            const output = directOutputFunction(module, valueSize);
            f.call(output, at.weights, ...valueRows, ...range, at.output, at.factors);
            return;
          }
          const packValues = copyRows(module, { size: valueSize, check: true });
          const isFinite = packValues.call(
            ...valueRows,
            columns,
            at.values,
            i32.const(valueBytes),
            none,
            one,
          );
          multiply(
            c,
            {
              left: rowBytes,
              step: 4,
              right: valueBytes,
              output: valueBytes,
              limits: "depth",
              start: "scaled",
              hides: true,
            },
            [
              at.weights,
              at.values,
              at.output,
              rows,
              i32.const(roundUp(valueSize, tileColumns)),
              none,
              ...lists,
              at.factors,
            ],
            isFinite,
          );
        });
      });
      finish(c, at.output, valueBytes, rows, [at.maxima, at.sums, lse.add(rowNumber.shiftLeft(2))]);
      const unpack = copyRows(module, { size: valueSize }, true);
      const outputBytes = i32.const(valueSize * 4);
      const to = y.add(rowNumber.multiply(outputBytes));
      f.call(unpack, at.output, i32.const(valueBytes), rows, to, outputBytes, none, one);
    };
  });
}
