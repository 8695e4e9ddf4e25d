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

import { f32, i32, type I32, kernelSignature, type Local } from "../../assembler/index.js";
import type { KernelCode } from "../../launch.js";
import { argumentOffset, readArguments } from "../arguments.js";
import {
  type AttentionSpec,
  blockSize,
  commonArguments,
  layOutScratch,
  paddedRowBytes,
  scratchAddresses,
  smaller,
} from "./block.js";
import { packColumns, packPanels, packRows, unpackRows } from "./pack.js";
import {
  carefulProductFunction,
  finiteFunction,
  productFunction,
  type ProductSpec,
} from "./product.js";
import { panelColumns, panelRowBytes, tileRows } from "./register-tile.js";
import { guideFunction, limitsFunction } from "./visibility.js";
import { rowProductFunction, weightGradientsFunction } from "./weight-gradients.js";
import { drawWords } from "./weights.js";

/** What makes the code of the backward kernel. */
export interface BackwardSpec extends AttentionSpec {
  /** Whether the cotangent of the queries is computed. */
  readonly queries: boolean;
  /** Whether those of keys and values are. */
  readonly keys: boolean;
}

const ownArguments = [
  "dy",
  "lse",
  "products",
  "dq",
  "dk",
  "dv",
  "dyBatch",
  "dyHead",
  "dyRow",
  "lseBatch",
  "lseHead",
  "keyItems",
  "queryItems",
] as const;

/**
 * The argument words of the backward kernel. `products` [b, h, n], `dq`, `dk` and `dv` are dense; an
 * item is one of `keyItems` parts of the keys and one of `queryItems` parts of the queries of a head.
 */
export const backwardArguments: readonly [...typeof commonArguments, ...typeof ownArguments] = [
  ...commonArguments,
  ...ownArguments,
];

function layout({ keySize, valueSize, guide }: AttentionSpec, block: number) {
  return layOutScratch({
    queryRows: block * keySize * 4,
    queryPanels: block * paddedRowBytes(keySize),
    cotangentRows: block * valueSize * 4,
    cotangentPanels: block * paddedRowBytes(valueSize),
    keyColumns: block * keySize * 4,
    keyPanels: block * paddedRowBytes(keySize),
    valueColumns: block * valueSize * 4,
    weights: block * block * 4,
    gradients: block * block * 4,
    dq: block * paddedRowBytes(keySize),
    dk: block * paddedRowBytes(keySize),
    dv: block * paddedRowBytes(valueSize),
    guide: guide === null ? 0 : block * block * 4,
    lows: block * 4,
    highs: block * 4,
    zeros: Math.max(keySize, valueSize) * 4,
    draw: drawWords.bytes,
  });
}

/** Scratch memory of the backward kernel. */
export function backwardScratchBytes(spec: BackwardSpec): number {
  return layout(spec, blockSize(spec)).bytes;
}

/** The products of blocks. */
function productSpecs({ keySize, valueSize }: AttentionSpec, block: number) {
  const rowBytes = block * 4;
  const scores = (size: number): ProductSpec => ({
    left: { row: size * 4, step: 4 },
    panel: size * panelRowBytes,
    output: rowBytes,
    depth: size,
    panels: null,
    limits: "columns",
    start: "zero",
  });
  const sum = (size: number): Omit<ProductSpec, "left" | "limits"> => ({
    panel: block * panelRowBytes,
    output: paddedRowBytes(size),
    depth: null,
    panels: Math.ceil(size / panelColumns),
    start: "output",
  });
  // Weights and gradients are read by rows for dq, and transposed for dk and dv.
  const byRows = { left: { row: rowBytes, step: 4 }, limits: "depth" } as const;
  const byColumns = { left: { row: 4, step: rowBytes }, limits: null } as const;
  return {
    scores: scores(keySize),
    gradients: scores(valueSize),
    dq: { ...sum(keySize), ...byRows },
    dk: { ...sum(keySize), ...byColumns },
    dv: { ...sum(valueSize), ...byColumns },
  };
}

/** The code of the backward kernel. */
export function backwardCode(spec: BackwardSpec): KernelCode {
  const { keySize, valueSize, guide, dropout, queries: hasQueries, keys: hasKeys } = spec;
  const block = blockSize(spec);
  const outputs = `${hasQueries ? "dq" : ""}${hasKeys ? "dkdv" : ""}`;
  const key = `attention/backward ${outputs} ${keySize}x${valueSize} ${guide}${dropout ? " dropout" : ""}`;
  const rowBytes = block * 4;
  const specs = productSpecs(spec, block);
  const emit: KernelCode["emit"] = (module) => {
    module.function(key, kernelSignature, (f, args, begin, end, scratch) => {
      const words = readArguments(f, args, backwardArguments);
      const at = scratchAddresses(f, scratch, layout(spec, block).offsets);
      const [none, one] = [i32.const(0), f32.const(1)];
      const scale = f32.load(args, argumentOffset(backwardArguments, "scale"));
      const gather = false;
      const item = f.local(i32);
      const rows = (size: number) => packRows(module, { size, gather, multiple: tileRows });
      const columns = (size: number) => packColumns(module, { size, gather });
      const panels = (size: number) =>
        packPanels(module, { size, gather, capacity: block, multiple: panelColumns });
      const store = (size: number) =>
        unpackRows(module, {
          size,
          gather,
          rowBytes: paddedRowBytes(size),
          panelBytes: panelRowBytes,
        });
      const multiply = (spec: ProductSpec, isFinite: I32, ...operands: readonly I32[]): void => {
        const [left, right, output, rowCount, depth] = operands as [I32, I32, I32, I32, I32];
        const all = [left, right, output, rowCount, depth, at.lows, at.highs, none] as const;
        f.if(
          isFinite,
          () => {
            f.call(productFunction(module, spec), ...all);
          },
          () => {
            f.call(carefulProductFunction(module, spec), ...all);
          },
        );
      };
      const isFinite = (size: number, matrix: I32, count: I32): Local<I32> => {
        const test = finiteFunction(module, Math.ceil(size / panelColumns), block * panelRowBytes);
        return f.let<I32>(test.call(matrix, count));
      };

      f.memoryFill(at.zeros, 0, Math.max(keySize, valueSize) * 4);
      if (dropout) {
        for (const name of ["key0", "key1", "counter"] as const) {
          f.storeI32(at.draw, i32.load(words[name]), drawWords[name]);
        }
        f.storeI32(at.draw, words.threshold, drawWords.threshold);
        f.storeI32(at.draw, words.dropoutScale, drawWords.scale);
      }

      f.for(item, begin, end, 1, () => {
        const queryPart = f.let(item.remainderUnsigned(words.queryItems));
        const rest = f.let(item.divideUnsigned(words.queryItems));
        const keyPart = f.let(rest.remainderUnsigned(words.keyItems));
        const head = f.let(rest.divideUnsigned(words.keyItems));
        const keyHeads = f.let(words.heads.divideUnsigned(words.group));
        const batch = f.let(head.divideUnsigned(keyHeads));
        const keyHead = f.let(head.subtract(batch.multiply(keyHeads)));
        const part = (number: I32, parts: I32, length: I32): [Local<I32>, Local<I32>] => {
          const [from, to] = [f.local(i32), f.local(i32)];
          f.if(
            parts.equal(1),
            () => {
              f.set<I32>(from, none);
              f.set<I32>(to, length);
            },
            () => {
              f.set<I32>(from, number.multiply(block));
              f.set<I32>(to, from.add(block));
              f.set<I32>(to, to.minimum(length));
            },
          );
          return [from, to];
        };
        const [keyStart, keyEnd] = part(keyPart, words.keyItems, words.keys);
        const [queryStart, queryEnd] = part(queryPart, words.queryItems, words.queries);
        const place = (name: "q" | "k" | "v" | "dy" | "guide", headNumber: I32): I32 =>
          words[name]
            .add(batch.multiply(words[`${name}Batch`]))
            .add(headNumber.multiply(words[`${name}Head`]));
        const [k, v] = [f.let(place("k", keyHead)), f.let(place("v", keyHead))];
        const [group, keyAt, queryAt] = [f.local(i32), f.local(i32), f.local(i32)];
        const firstHead = f.let(keyHead.multiply(words.group));
        const headRows = (): I32 =>
          batch.multiply(words.heads).add(firstHead).add(group).multiply(words.queries);

        if (hasQueries) {
          const bytes = queryEnd.subtract(queryStart).multiply(keySize * 4);
          f.for(group, 0, words.group, 1, () => {
            const from = headRows()
              .add(queryStart)
              .multiply(keySize * 4);
            f.memoryFill(words.dq.add(from), 0, bytes);
          });
        }
        f.for(keyAt, keyStart, keyEnd, block, () => {
          const keyCount = smaller(f, keyEnd.subtract(keyAt), i32.const(block));
          const keys = f.let(k.add(keyAt.multiply(words.kRow)));
          const values = f.let(v.add(keyAt.multiply(words.vRow)));
          const keyRows = [keys, words.kRow, keyCount, none] as const;
          const valueRows = [values, words.vRow, keyCount, none] as const;
          f.call(columns(keySize), ...keyRows, one, at.keyColumns, at.zeros);
          f.call(columns(valueSize), ...valueRows, one, at.valueColumns, at.zeros);
          let finiteKeys: I32 = none;
          if (hasQueries) {
            f.call(panels(keySize), ...keyRows, scale, at.keyPanels);
            finiteKeys = isFinite(keySize, at.keyPanels, keyCount);
          }
          if (hasKeys) {
            f.memoryFill(at.dk, 0, block * paddedRowBytes(keySize));
            f.memoryFill(at.dv, 0, block * paddedRowBytes(valueSize));
          }
          f.for(group, 0, words.group, 1, () => {
            const queryHead = f.let(firstHead.add(group));
            const [q, dy] = [f.let(place("q", queryHead)), f.let(place("dy", queryHead))];
            const guides = guide === null ? none : f.let(place("guide", queryHead));
            f.for(queryAt, queryStart, queryEnd, block, () => {
              const queryCount = smaller(f, queryEnd.subtract(queryAt), i32.const(block));
              // The first query's own place, counted in the block of keys.
              const own = f.let(queryAt.add(words.keys).subtract(words.queries).subtract(keyAt));
              const compute = (): void => {
                const queries = f.let(q.add(queryAt.multiply(words.qRow)));
                const cotangents = f.let(dy.add(queryAt.multiply(words.dyRow)));
                const queryRows = [queries, words.qRow, queryCount, none] as const;
                const cotangentRows = [cotangents, words.dyRow, queryCount, none] as const;
                f.call(rows(keySize), ...queryRows, scale, at.queryRows);
                f.call(rows(valueSize), ...cotangentRows, one, at.cotangentRows);
                const { left, right } = words;
                const lists = [at.lows, at.highs] as const;
                const counts = [queryCount, keyCount] as const;
                f.call(limitsFunction(module), own, ...counts, left, right, ...lists);
                const pair = [queryCount, none, ...lists, none] as const;
                const scores = productFunction(module, specs.scores);
                f.call(scores, at.queryRows, at.keyColumns, at.weights, ...pair);
                const gradients = productFunction(module, specs.gradients);
                f.call(gradients, at.cotangentRows, at.valueColumns, at.gradients, ...pair);
                const row = f.let(headRows().add(queryAt));
                const lse = words.lse
                  .add(batch.multiply(words.lseBatch))
                  .add(queryHead.multiply(words.lseHead))
                  .add(queryAt.shiftLeft(2));
                f.call(
                  weightGradientsFunction(module, { guide, dropout, rowBytes }),
                  at.weights,
                  at.gradients,
                  ...counts,
                  ...lists,
                  at.guide,
                  words.guideRow.isZero().select(none, i32.const(rowBytes)),
                  lse,
                  words.products.add(row.shiftLeft(2)),
                  at.draw,
                  row.multiply(words.keys).add(keyAt),
                  words.keys,
                );
                if (hasKeys) {
                  f.call(panels(keySize), ...queryRows, scale, at.queryPanels);
                  f.call(panels(valueSize), ...cotangentRows, one, at.cotangentPanels);
                  const finiteQueries = isFinite(keySize, at.queryPanels, queryCount);
                  const finiteDy = isFinite(valueSize, at.cotangentPanels, queryCount);
                  const sizes = [keyCount, queryCount] as const;
                  multiply(specs.dv, finiteDy, at.weights, at.cotangentPanels, at.dv, ...sizes);
                  multiply(specs.dk, finiteQueries, at.gradients, at.queryPanels, at.dk, ...sizes);
                }
                if (hasQueries) {
                  const dqBytes = keySize * 4;
                  const dq = f.let(words.dq.add(row.multiply(dqBytes)));
                  const load = packRows(module, {
                    size: keySize,
                    gather,
                    multiple: tileRows,
                    rowBytes: paddedRowBytes(keySize),
                  });
                  f.call(load, dq, i32.const(dqBytes), queryCount, none, one, at.dq);
                  multiply(specs.dq, finiteKeys, at.gradients, at.keyPanels, at.dq, ...counts);
                  f.call(store(keySize), at.dq, queryCount, none, dq, i32.const(dqBytes));
                }
              };
              const isSeen = own
                .add(queryCount)
                .add(words.right)
                .greater(0)
                .and(own.subtract(words.left).less(keyCount));
              f.if(isSeen, () => {
                if (guide === null) {
                  compute();
                  return;
                }
                const source = guides
                  .add(queryAt.multiply(words.guideRow))
                  .add(keyAt.multiply(words.guideColumn));
                const guideRows = words.guideRow.isZero().select(i32.const(1), queryCount);
                const copy = guideFunction(module, guide, rowBytes);
                const strides = [words.guideRow, words.guideColumn] as const;
                f.if(copy.call(source, ...strides, guideRows, keyCount, at.guide), compute);
              });
            });
          });
          if (hasKeys) {
            const keyRow = f.let(head.multiply(words.keys).add(keyAt));
            const dk = words.dk.add(keyRow.multiply(keySize * 4));
            f.call(store(keySize), at.dk, keyCount, none, dk, i32.const(keySize * 4));
            const dv = words.dv.add(keyRow.multiply(valueSize * 4));
            f.call(store(valueSize), at.dv, keyCount, none, dv, i32.const(valueSize * 4));
          }
        });
      });
    });
  };
  return { key, emit };
}

/** The argument words of the products of output and cotangent. */
export const rowProductArguments = [
  "y",
  "dy",
  "yBatch",
  "yHead",
  "yRow",
  "dyBatch",
  "dyHead",
  "dyRow",
  "products",
  "heads",
  "queries",
] as const;

/** The code that computes y · dy for every row; an item is a row. */
export function rowProductCode(valueSize: number): KernelCode {
  const key = `attention/row products ${valueSize}`;
  return {
    key,
    emit: (module) => {
      module.function(key, kernelSignature, (f, args, begin, end) => {
        const words = readArguments(f, args, rowProductArguments);
        const item = f.local(i32);
        f.for(item, begin, end, 1, () => {
          const outer = f.let(item.divideUnsigned(words.queries));
          const row = f.let(item.subtract(outer.multiply(words.queries)));
          const batch = f.let(outer.divideUnsigned(words.heads));
          const head = f.let(outer.subtract(batch.multiply(words.heads)));
          const place = (name: "y" | "dy"): I32 =>
            words[name]
              .add(batch.multiply(words[`${name}Batch`]))
              .add(head.multiply(words[`${name}Head`]))
              .add(row.multiply(words[`${name}Row`]));
          const to = words.products.add(item.shiftLeft(2));
          f.call(rowProductFunction(module, valueSize), place("y"), place("dy"), to);
        });
      });
    },
  };
}
