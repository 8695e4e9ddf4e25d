/**
 * Scaled dot-product attention without the matrix of scores: a block of queries goes over the keys in
 * blocks, and a running softmax (see `weights.ts`) makes the results of the blocks fit together. A few
 * queries, as in decoding, are taken one by one and use the keys where they are (see `direct.ts`).
 *
 * A work item is one block of queries of one head. Blocks of keys that no query of the block sees are
 * left out.
 */

import { f32x4, i32, type I32 } from "../../assembler/index.js";
import type { KernelCode } from "../../launch.js";
import { WordReader } from "../arguments.js";
import { divide, entryAt, integers, kernelCode, limit, smaller } from "../code.js";
import { type AttentionSpec, blockSize, specText } from "./block.js";
import { directOutputFunction, directScoresFunction } from "./direct.js";
import { layOut, type Layout, matricesOf } from "./matrix.js";
import { pack, packColumns, unpack } from "./pack.js";
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
  const list = [1, blockRows] as const;
  return layOut({
    queries: [blockRows, keySize],
    columns: direct ? [0, 0] : [keySize, columns],
    values: direct ? [0, 0] : [columns, valueSize],
    weights: [blockRows, columns],
    output: [blockRows, valueSize],
    guide: guide === null ? [0, 0] : [blockRows, columns],
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
  const key = `attention/forward${direct ? " direct" : ""} ${specText(spec)}`;
  return kernelCode(key, (c, words, scratch) => {
    const { module, f } = c;
    const read = new WordReader(f, words.add(drawBytes));
    const [keys, queries, heads, group, left, right, scale] = read.words(7);
    const [q, k, v, guides] = [read.view(4), read.view(4), read.view(4), read.view(4)];
    const [y, lse, blocks] = read.words(3);
    const at = matricesOf(f, scratch, layout);
    const lists = [at.lows, at.highs] as const;
    const weights = weightsFunction(module, { ...spec, key, places: layout.places });
    const [firstKey, keyAt, entry] = integers(f, 3);

    return (item) => {
      // The last queries come first: when causal they have the most to do.
      const [head, number] = divide(f, item, blocks);
      const first = f.let(blocks.subtract(1).subtract(number).multiply(blockRows));
      const rows = smaller(f, queries.subtract(first), blockRows);
      const [batch, queryHead] = divide(f, head, heads);
      const keyHead = f.let(queryHead.divideUnsigned(group));
      pack(c, keySize, [q.at(batch, queryHead, first), q.strides[2]!, rows], at.queries, scale);
      const [output, outputBytes] = at.output;
      const [[maxima, listBytes], [sums]] = [at.maxima, at.sums];
      f.memoryFill(output, 0, blockRows * outputBytes);
      f.memoryFill(sums, 0, listBytes);
      f.for(entry, 0, listBytes, 16, () => {
        f.storeV128(maxima.add(entry), f32x4.splat(-Infinity));
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
        withGuide(c, guide, guides, place, counts, at.guide, (guideStride) => {
          const keyRows = [f.let(k.at(batch, keyHead, keyAt)), k.strides[2]!, columns] as const;
          const valueRows = [f.let(v.at(batch, keyHead, keyAt)), v.strides[2]!, columns] as const;
          const seen = lists.map(([list]) => i32.load(list)) as [I32, I32];
          if (direct) {
            const scores = directScoresFunction(module, keySize);
            f.call(scores, at.queries[0], keyRows[0], keyRows[1], ...seen, at.weights[0]);
          } else {
            packColumns(c, keySize, keyRows, at.columns);
            const matrices = [at.queries, at.columns, at.weights] as const;
            const scores = { start: "zero", limits: "columns" } as const;
            multiply(c, scores, matrices, [rows, 0, keySize], lists);
          }
          const position = rowNumber.multiply(keys).add(keyAt);
          f.call(weights, scratch, words, rows, position, guideStride);
          if (direct) {
            const [from, stride] = valueRows;
            const sum = directOutputFunction(module, valueSize);
            f.call(sum, at.weights[0], from, stride, ...seen, output, at.factors[0]);
          } else {
            const isFinite = pack(c, valueSize, valueRows, at.values, undefined, true);
            const matrices = [at.weights, at.values, at.output] as const;
            const sum = { start: "scaled", limits: "depth", hides: true } as const;
            multiply(c, sum, matrices, [rows, valueSize], [...lists, at.factors], isFinite);
          }
        });
      });
      finish(c, at.output, rows, [maxima, sums, entryAt(lse, rowNumber)]);
      const stride = i32.const(valueSize * 4);
      unpack(c, valueSize, at.output, [y.add(rowNumber.multiply(stride)), stride, rows]);
    };
  });
}
