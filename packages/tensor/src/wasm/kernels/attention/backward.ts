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
import { divide, entryAt, integers, kernelCode, smaller, vectors } from "../code.js";
import { type AttentionSpec, blockSize, specText } from "./block.js";
import { layOut, type Layout, type Matrix, matricesOf } from "./matrix.js";
import { eachFour, loadPartial, pack, packColumns, type Rows, unpack } from "./pack.js";
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
  const [keys, values, pairs] = [
    [block, keySize],
    [block, valueSize],
    [block, block],
  ] as const;
  return layOut({
    queries: keys,
    cotangents: values,
    columns: [keySize, block],
    keys,
    values: [valueSize, block],
    weights: pairs,
    gradients: pairs,
    dq: keys,
    dk: keys,
    dv: values,
    guide: guide === null ? [0, 0] : pairs,
    lows: [1, block],
    highs: [1, block],
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
  const scores: ProductSpec = { start: "zero", limits: "columns" };
  // Weights and gradients are read by rows for dq, and transposed for dk and dv.
  const byRows: ProductSpec = { start: "output", limits: "depth", hides: true };
  const byColumns: ProductSpec = { start: "output", transposed: true, hides: true };
  return kernelCode(key, (c, words, scratch) => {
    const { module, f } = c;
    const read = new WordReader(f, words.add(drawBytes));
    const [keys, queries, heads, group, left, right, scale] = read.words(7);
    const [q, k, v, guides] = [read.view(4), read.view(4), read.view(4), read.view(4)];
    const [dy, logarithms] = [read.view(4), read.view(3)];
    const [products, toQueries, toKeys, toValues, keyItems, queryItems] = read.words(6);
    const at = matricesOf(f, scratch, layout);
    const lists = [at.lows, at.highs] as const;
    const gradients = weightGradientsFunction(module, { ...spec, key, places: layout.places });
    const [keyAt, queryAt, inGroup] = integers(f, 3);
    const packChecked = (size: number, rows: Rows, to: Matrix, factor?: I32): Local<I32> =>
      pack(c, size, rows, to, factor, true);
    const store = (from: Matrix, size: number, count: I32, to: I32, row: I32): void => {
      unpack(c, size, from, [to.add(row.multiply(size * 4)), size * 4, count]);
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
      const rowsOf = (view: View, number: I32, from: I32, count: I32): Rows => [
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
        packColumns(c, keySize, keyRows, at.columns);
        packColumns(c, valueSize, rowsOf(v, keyHead, keyAt, keyCount), at.values);
        const finiteKeys = hasQueries ? packChecked(keySize, keyRows, at.keys, scale) : undefined;
        if (hasKeys) {
          for (const [matrix, rowBytes] of [at.dk, at.dv]) {
            f.memoryFill(matrix, 0, block * rowBytes);
          }
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
              const finiteQueries = packChecked(keySize, queryRows, at.queries, scale);
              const cotangentRows = rowsOf(dy, number, queryAt, queryCount);
              const finiteCotangents = packChecked(valueSize, cotangentRows, at.cotangents);
              const toWeights = [at.queries, at.columns, at.weights] as const;
              multiply(c, scores, toWeights, [queryCount, 0, keySize], lists);
              const toGradients = [at.cotangents, at.values, at.gradients] as const;
              multiply(c, scores, toGradients, [queryCount, 0, valueSize], lists);
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
                entryAt(products, row),
              );
              if (hasKeys) {
                const toValue = [at.weights, at.cotangents, at.dv] as const;
                const toKey = [at.gradients, at.queries, at.dk] as const;
                multiply(
                  c,
                  byColumns,
                  toValue,
                  [keyCount, valueSize, queryCount],
                  [],
                  finiteCotangents,
                );
                multiply(c, byColumns, toKey, [keyCount, keySize, queryCount], [], finiteQueries);
              }
              if (hasQueries) {
                const dq = f.let(toQueries.add(row.multiply(keySize * 4)));
                pack(c, keySize, [dq, keySize * 4, queryCount], at.dq);
                const toQuery = [at.gradients, at.keys, at.dq] as const;
                multiply(c, byRows, toQuery, [queryCount, keySize], lists, finiteKeys);
                store(at.dq, keySize, queryCount, toQueries, row);
              }
            };
            const sees = own.add(queryCount).add(right).greater(0);
            f.if(sees.and(own.subtract(left).less(keyCount)), () => {
              listLimits(f, own, counts, [left, right], lists);
              const place = [batch, number, queryAt, keyAt];
              withGuide(c, guide, guides, place, counts, at.guide, compute);
            });
          });
        });
        if (hasKeys) {
          const keyRow = f.let(head.multiply(keys).add(keyAt));
          store(at.dk, keySize, keyCount, toKeys, keyRow);
          store(at.dv, valueSize, keyCount, toValues, keyRow);
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
