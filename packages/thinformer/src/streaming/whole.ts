/** The causal form of a whole sequence: all blocks at once. */

import {
  cat,
  fromData,
  kernelHalving,
  scaledDotProductAttention,
  zeros,
  type Generator,
  type Tensor,
} from "@x/tensor";
import { rowsAt } from "../attention/attend.js";
import { listSizes, placesOf, type Level, type Tower } from "./tower.js";

/** What the whole form takes; queries and keys are scaled by the root of the attention's scale. */
export interface WholeInputs {
  /** [batch, heads, length, size] */
  readonly query: Tensor;
  /** [batch, keyHeads, length, size] */
  readonly key: Tensor;
  /** [batch, keyHeads, length, valueSize] */
  readonly value: Tensor;
  /** 1 where a key takes part, 0 for padding, float32 [batch, length]; `null`: all do. */
  readonly takesPart: Tensor | null;
  readonly dropout: number;
  readonly generator: Generator | null;
}

/** The coresets of all complete blocks but those that nothing follows. */
export interface Past {
  readonly levels: readonly Level[];
  /** How many blocks they are of. */
  readonly blocks: number;
  /**
   * The positions that are kept, int32 [batch, heads, entries], one level after the other; `null`
   * where there are no levels.
   */
  readonly kept: Tensor | null;
}

/** The coresets of a whole sequence. */
export function compressWhole(
  tower: Tower,
  { key, value, takesPart }: Pick<WholeInputs, "key" | "value" | "takesPart">,
): Past {
  const blocks = Math.floor((key.shape[2]! - 1) / tower.options.blockSize);
  const levels = tower.levels(blocks);
  if (levels.length === 0) return { levels, blocks, kept: null };
  const [batch, heads] = key.shape as [number, number];
  const { bucket, blockRounds } = tower;
  const length = blocks * tower.options.blockSize;
  const [k, v] = [key.detach().narrow(2, 0, length), value.detach().narrow(2, 0, length)];
  // The largest number in the values up to the end of each bucket of the first round.
  const largest = v
    .abs()
    .reshape([batch, heads, length / bucket, bucket * v.shape[3]!])
    .amax(3)
    .cummax(2).values;
  const offsets: Tensor[] = [];
  const draws: Tensor[] = [];
  const rounds = blockRounds - 1 + levels.length;
  let skipped = 0;
  for (let round = 0; round < rounds; round++) {
    const span = 4 ** round;
    const buckets = Math.floor(length / bucket / span);
    const pairs = (buckets * bucket * 2 ** round) / 2;
    offsets.push(largest.slice(null, null, [span - 1, buckets * span, span]));
    draws.push(tower.draws([batch, heads], round, 0, pairs));
    if (round < blockRounds - 1) skipped += pairs;
  }
  const kept = kernelHalving(k, v, {
    bucket,
    rounds,
    offsets: cat(offsets, 2).square(),
    draws: cat(draws, 2),
    weights: takesPart && takesPart.narrow(1, 0, length),
  });
  return { levels, blocks, kept: kept.narrow(2, skipped, kept.shape[2]! - skipped) };
}

/** Tokens that take part of those that each entry of all levels stands for: [batch, entries]. */
export function massesOf({ levels, blocks }: Past, takesPart: Tensor): Tensor {
  const batch = takesPart.shape[0]!;
  // Halving keeps one of two neighbours, so an entry stands for a run of tokens.
  const lists = listSizes(levels, blocks).map((size, i) => {
    const tokens = 2 ** (levels[i]!.round + 1);
    return takesPart.narrow(1, 0, size * tokens).reshape([batch, size, tokens]).sum(2);
  });
  return cat(lists, 1);
}

/** What every block sees of the past. */
interface Table {
  /** Entries of each block. */
  readonly width: number;
  /** Places in the lists of all levels, [blocks · width]. */
  readonly places: Tensor;
  /** Tokens that each entry stands for, block by block. */
  readonly masses: Float32Array;
}

function tableOf({ levels, blocks }: Past): Table {
  const rows = Array.from({ length: blocks + 1 }, (_, b) => placesOf(levels, b, 3, blocks));
  const width = rows[0]!.places.length;
  const places = Int32Array.from(rows.flatMap((row) => [...row.places]));
  const masses = Float32Array.from(rows.flatMap((row) => [...row.masses]));
  return { width, places: fromData(places, [places.length]), masses };
}

/**
 * What is added to the scores of [batch, blocks, 1, width + block] keys: the logarithm of the number
 * of tokens that an entry stands for, −∞ where there is none.
 */
function biasOf(
  past: Past,
  { width, places, masses }: Table,
  blockSize: number,
  takesPart: Tensor | null,
): Tensor {
  const blocks = past.blocks + 1;
  if (takesPart === null) {
    const logarithms = fromData(masses.map(Math.log), [1, blocks, width]);
    return cat([logarithms, zeros([1, blocks, blockSize])], 2).unsqueeze(2);
  }
  const batch = takesPart.shape[0]!;
  const isThere = fromData(masses, [blocks, width]).gt(0).cast("float32");
  const own = massesOf(past, takesPart).indexSelect(1, places).reshape([batch, blocks, width]);
  const weights = cat([own.mul(isThere), takesPart.reshape([batch, blocks, blockSize])], 2);
  return weights.log().unsqueeze(2);
}

/** Attention of every query to its block, up to its own place, and to the coresets of the past. */
export function attendWhole(tower: Tower, inputs: WholeInputs, past: Past): Tensor {
  const { query, dropout, generator } = inputs;
  const [batch, heads, length, size] = query.shape as [number, number, number, number];
  const keyHeads = inputs.key.shape[1]!;
  const valueSize = inputs.value.shape[3]!;
  const group = heads / keyHeads;
  const { blockSize } = tower.options;
  const blocks = Math.ceil(length / blockSize);
  const fill = blocks * blockSize - length;
  const padded = (x: Tensor): Tensor => (fill === 0 ? x : x.pad([0, 0, 0, fill]));
  const inBlocks = (x: Tensor): Tensor =>
    padded(x).reshape([batch * keyHeads, blocks, blockSize, x.shape[3]!]);
  let [key, value] = [inBlocks(inputs.key), inBlocks(inputs.value)];
  let bias: Tensor | null = null;
  const takesPart =
    inputs.takesPart && (fill === 0 ? inputs.takesPart : inputs.takesPart.pad([0, fill]));
  if (past.kept !== null) {
    const table = tableOf(past);
    const kept = past.kept.indexSelect(2, table.places);
    const withPast = (x: Tensor, own: Tensor): Tensor =>
      cat(
        [rowsAt(x, kept).reshape([batch * keyHeads, blocks, table.width, x.shape[3]!]), own],
        2,
      );
    [key, value] = [withPast(inputs.key, key), withPast(inputs.value, value)];
    bias = biasOf(past, table, blockSize, takesPart);
  } else if (takesPart !== null) {
    bias = takesPart.reshape([batch, blocks, 1, blockSize]).log();
  }
  if (bias !== null) {
    // [batch or 1, blocks, 1, columns] for each key head, and each query head of its group.
    const columns = bias.shape[3]!;
    const rows = bias.shape[0] === 1 ? 1 : batch * keyHeads;
    bias = bias
      .reshape([bias.shape[0]!, 1, blocks, 1, 1, columns])
      .expand([bias.shape[0]!, rows / bias.shape[0]!, blocks, group, 1, columns])
      .reshape([rows, blocks * group, 1, columns]);
  }
  const queries = padded(query)
    .reshape([batch, keyHeads, group, blocks, blockSize, size])
    .permute([0, 1, 3, 2, 4, 5])
    .reshape([batch * keyHeads, blocks * group, blockSize, size]);
  return scaledDotProductAttention(queries, key, value, {
    ...{ scale: 1, isCausal: true, mask: bias, enableGqa: true, dropoutP: dropout },
    ...(generator && { generator }),
  })
    .reshape([batch, keyHeads, blocks, group, blockSize, valueSize])
    .permute([0, 1, 3, 2, 4, 5])
    .reshape([batch, heads, blocks * blockSize, valueSize])
    .narrow(2, 0, length);
}
