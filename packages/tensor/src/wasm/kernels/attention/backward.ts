/**
 * The backward pass of attention: block by block, the weights are computed again from the logarithms
 * of the rows' sums, so nothing quadratic was stored.
 *
 * With P the weights, D_i = y_i · dy_i and dS = P ∘ (dy vᵀ − D):
 *
 *   dv = Pᵀ dy,   dk = scale · dSᵀ q,   dq = scale · dS k.
 *
 * One item goes over blocks of keys and, within, over blocks of queries. It either computes all three
 * for a whole key head, or, where there are fewer heads than threads, dk and dv of one block of keys or
 * dq of one block of queries. Sums are in the same order either way, and so are the results.
 */

import { i32, type I32, type Local, v128 } from "../../assembler/index.js";
import type { KernelCode } from "../../launch.js";
import { type View, WordReader } from "../arguments.js";
import { divide, integers, kernelCode, smaller, vectors } from "../code.js";
import {
  addressesOf,
  type AttentionSpec,
  blockSize,
  layOut,
  type Layout,
  specText,
} from "./block.js";
import {
  copyColumns,
  copyRows,
  eachFour,
  loadPartial,
  matrixRowBytes,
  roundUp,
  tileColumns,
  unit,
} from "./pack.js";
import { multiply, type ProductSpec } from "./product.js";
import { listLimits, withGuide } from "./visibility.js";
import { drawBytes, sumOfLanes, weightGradientsFunction } from "./weights.js";

/** What makes the code of the backward kernel. */
export interface BackwardSpec extends AttentionSpec {
  /** Whether the cotangent of the queries is computed. */
  readonly queries: boolean;
  /** Whether those of keys and values are. */
  readonly keys: boolean;
}

type Part =
  | ("queries" | "cotangents" | "columns" | "keys" | "values" | "weights" | "gradients")
  | ("dq" | "dk" | "dv" | "guide" | "lows" | "highs");

/** Scratch memory of the backward kernel. */
export function backwardLayout(spec: AttentionSpec): Layout<Part> {
  const { keySize, valueSize, guide } = spec;
  const block = blockSize(spec);
  const rowBytes = matrixRowBytes(block);
  const [keys, values] = [block * matrixRowBytes(keySize), block * matrixRowBytes(valueSize)];
  return layOut({
    queries: keys,
    cotangents: values,
    columns: keySize * rowBytes,
    keys,
    values: valueSize * rowBytes,
    weights: block * rowBytes,
    gradients: block * rowBytes,
    dq: keys,
    dk: keys,
    dv: values,
    guide: guide === null ? 0 : block * rowBytes,
    lows: block * 4,
    highs: block * 4,
  });
}

/**
 * The code of the backward kernel. Its words are those of the problem, dy, the logarithms of sums,
 * then `products` [b, h, n], `dq`, `dk` and `dv`, which are dense; an item is one of `keyItems` parts
 * of the keys and one of `queryItems` parts of the queries of a head.
 */
export function backwardCode(spec: BackwardSpec): KernelCode {
  const { keySize, valueSize, guide, queries: hasQueries, keys: hasKeys } = spec;
  const block = blockSize(spec);
  const layout = backwardLayout(spec);
  const key = `attention/backward ${hasQueries ? "dq" : ""}${hasKeys ? "dkdv" : ""} ${specText(spec)}`;
  const rowBytes = matrixRowBytes(block);
  const [keyBytes, valueBytes] = [matrixRowBytes(keySize), matrixRowBytes(valueSize)];
  const scores = (left: number): ProductSpec => ({
    left,
    step: 4,
    right: rowBytes,
    output: rowBytes,
    limits: "columns",
    start: "zero",
  });
  // Weights and gradients are read by rows for dq, and transposed for dk and dv.
  const byColumns = (bytes: number): ProductSpec => ({
    left: 4,
    step: rowBytes,
    right: bytes,
    output: bytes,
    start: "output",
    hides: true,
  });
  const byRows: ProductSpec = {
    left: rowBytes,
    step: 4,
    right: keyBytes,
    output: keyBytes,
    limits: "depth",
    start: "output",
    hides: true,
  };
  return kernelCode(key, (c, words, scratch) => {
    const { module, f } = c;
    const read = new WordReader(f, words.add(drawBytes));
    const [keys, queries, heads, group, left, right, scale] = read.words(7);
    const [q, k, v, guides] = [read.view(4), read.view(4), read.view(4), read.view(4)];
    const [dy, logarithms] = [read.view(4), read.view(3)];
    const [products, toQueries, toKeys, toValues, keyItems, queryItems] = read.words(6);
    const at = addressesOf(f, scratch, layout);
    const lists = [at.lows, at.highs] as const;
    const [none, one] = [i32.const(0), i32.const(unit)];
    const [keyColumns, valueColumns] = [keySize, valueSize].map((size) =>
      i32.const(roundUp(size, tileColumns)),
    ) as [I32, I32];
    const gradients = weightGradientsFunction(module, {
      ...spec,
      key,
      rowBytes,
      offsets: layout.offsets,
    });
    const [keyAt, queryAt, inGroup] = integers(f, 3);
    const pack = (rows: readonly I32[], size: number, to: I32, factor: I32): Local<I32> =>
      f.let(
        copyRows(module, { size, check: true }).call(
          ...(rows as [I32, I32, I32]),
          to,
          i32.const(matrixRowBytes(size)),
          none,
          factor,
        ),
      );
    const packColumns = (rows: readonly I32[], size: number, to: I32): void => {
      f.call(
        copyColumns(module, { size }, rowBytes),
        ...(rows as [I32, I32, I32]),
        to,
        none,
        none,
        one,
      );
    };
    const unpack = (from: I32, size: number, count: I32, to: I32): void => {
      const bytes = i32.const(size * 4);
      f.call(
        copyRows(module, { size }, true),
        from,
        i32.const(matrixRowBytes(size)),
        count,
        to,
        bytes,
        none,
        one,
      );
    };
    /** From where to where part `number` of so many parts of a length goes. */
    const partOf = (number: I32, parts: I32, length: I32): [Local<I32>, Local<I32>] => {
      const size = f.let(parts.equal(1).select<I32>(length, i32.const(block)));
      const from = f.let(number.multiply(size));
      return [from, smaller(f, from.add(size), length)];
    };

    return (item) => {
      const [rest, queryPart] = divide(f, item, queryItems);
      const [head, keyPart] = divide(f, rest, keyItems);
      const [batch, keyHead] = divide(f, head, f.let(heads.divideUnsigned(group)));
      const [keyStart, keyEnd] = partOf(keyPart, keyItems, keys);
      const [queryStart, queryEnd] = partOf(queryPart, queryItems, queries);
      const queryHead = (): I32 => keyHead.multiply(group).add(inGroup);
      const firstRow = (): I32 => batch.multiply(heads).add(queryHead()).multiply(queries);
      const rowsOf = (view: View, number: I32, from: I32, count: I32): readonly I32[] => [
        f.let(view.at(batch, number, from)),
        view.strides[2]!,
        count,
      ];

      if (hasQueries) {
        const bytes = queryEnd.subtract(queryStart).multiply(keySize * 4);
        f.for(inGroup, 0, group, 1, () => {
          const from = firstRow()
            .add(queryStart)
            .multiply(keySize * 4);
          f.memoryFill(toQueries.add(from), 0, bytes);
        });
      }
      f.for(keyAt, keyStart, keyEnd, block, () => {
        const keyCount = smaller(f, keyEnd.subtract(keyAt), block);
        const keyRows = rowsOf(k, keyHead, keyAt, keyCount);
        packColumns(keyRows, keySize, at.columns);
        packColumns(rowsOf(v, keyHead, keyAt, keyCount), valueSize, at.values);
        const finiteKeys = hasQueries ? pack(keyRows, keySize, at.keys, scale) : none;
        if (hasKeys) {
          f.memoryFill(at.dk, 0, block * keyBytes);
          f.memoryFill(at.dv, 0, block * valueBytes);
        }
        f.for(inGroup, 0, group, 1, () => {
          const number = f.let(queryHead());
          f.for(queryAt, queryStart, queryEnd, block, () => {
            const queryCount = smaller(f, queryEnd.subtract(queryAt), block);
            const counts = [queryCount, keyCount] as const;
            // The first query's own place, counted in the block of keys.
            const own = f.let(queryAt.add(keys).subtract(queries).subtract(keyAt));
            const compute = (guideStride: I32): void => {
              const queryRows = rowsOf(q, number, queryAt, queryCount);
              const finiteQueries = pack(queryRows, keySize, at.queries, scale);
              const cotangentRows = rowsOf(dy, number, queryAt, queryCount);
              const finiteCotangents = pack(cotangentRows, valueSize, at.cotangents, one);
              for (const [size, bytes, ...operands] of [
                [keySize, keyBytes, at.queries, at.columns, at.weights],
                [valueSize, valueBytes, at.cotangents, at.values, at.gradients],
              ] as const) {
                multiply(c, scores(bytes), [
                  ...operands,
                  queryCount,
                  none,
                  i32.const(size),
                  ...lists,
                ]);
              }
              const row = f.let(firstRow().add(queryAt));
              f.call(
                gradients,
                scratch,
                words,
                queryCount,
                row.multiply(keys).add(keyAt),
                guideStride,
                keyCount,
                logarithms.at(batch, number, queryAt),
                products.add(row.shiftLeft(2)),
              );
              if (hasKeys) {
                const toValue = [
                  at.weights,
                  at.cotangents,
                  at.dv,
                  keyCount,
                  valueColumns,
                  queryCount,
                ];
                multiply(c, byColumns(valueBytes), toValue, finiteCotangents);
                const toKey = [at.gradients, at.queries, at.dk, keyCount, keyColumns, queryCount];
                multiply(c, byColumns(keyBytes), toKey, finiteQueries);
              }
              if (hasQueries) {
                const dq = f.let(toQueries.add(row.multiply(keySize * 4)));
                pack([dq, i32.const(keySize * 4), queryCount], keySize, at.dq, one);
                multiply(
                  c,
                  byRows,
                  [at.gradients, at.keys, at.dq, queryCount, keyColumns, none, ...lists],
                  finiteKeys,
                );
                unpack(at.dq, keySize, queryCount, dq);
              }
            };
            const sees = own.add(queryCount).add(right).greater(0);
            f.if(sees.and(own.subtract(left).less(keyCount)), () => {
              listLimits(f, own, counts, [left, right], lists);
              const place = [batch, number, queryAt, keyAt];
              withGuide(c, guide, rowBytes, guides, place, counts, at.guide, compute);
            });
          });
        });
        if (hasKeys) {
          const keyRow = f.let(head.multiply(keys).add(keyAt));
          unpack(at.dk, keySize, keyCount, toKeys.add(keyRow.multiply(keySize * 4)));
          unpack(at.dv, valueSize, keyCount, toValues.add(keyRow.multiply(valueSize * 4)));
        }
      });
    };
  });
}

/**
 * The code that computes y · dy for every row; an item is a row. Its words are y, dy, the products, and
 * the numbers of heads and queries.
 */
export function rowProductCode(valueSize: number): KernelCode {
  return kernelCode(`attention/row products ${valueSize}`, ({ module, f }, words) => {
    const read = new WordReader(f, words);
    const [y, dy] = [read.view(4), read.view(4)];
    const [products, heads, queries] = read.words(3);
    const [left, right, end] = integers(f, 3);
    const [sum] = vectors(f, 1);
    return (item) => {
      const [outer, row] = divide(f, item, queries);
      const place = divide(f, outer, heads);
      f.set<I32>(left, y.at(...place, row));
      f.set<I32>(right, dy.at(...place, row));
      f.set(sum, v128.zero());
      const add = (lanes: number): void => {
        f.set(sum, module.madd(loadPartial(left, 0, lanes), loadPartial(right, 0, lanes), sum));
      };
      f.set<I32>(end, left.add((valueSize & -4) * 4));
      f.forAddress(left, left, end, 16, () => {
        add(4);
        f.increment(right, 16);
      });
      eachFour(valueSize % 4, (_, lanes) => {
        add(lanes);
      });
      f.set(sum, sumOfLanes(f, sum));
      f.storeLane(32, products.add(item.shiftLeft(2)), sum, 0);
    };
  });
}
