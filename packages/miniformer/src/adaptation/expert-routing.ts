/** Which expert computes which token, at shapes that do not depend on it. */

import { arange, zeros, type Tensor } from "@x/tensor";

/** Where the tokens of a batch are computed: blocks of rows, each for one expert. */
export interface ExpertBlocks {
  /** int32 `[blocks · size]`: the token in each row; in rows that nothing needs some token. */
  readonly tokens: Tensor;
  /** int32 `[blocks]`: the expert of each block. */
  readonly experts: Tensor;
  /** int32 `[tokens, topK]`: the row in which each token meets each of its experts. */
  readonly rows: Tensor;
}

/** How the tokens of a batch are cut into blocks. */
export interface BlockSizes {
  /** Rows of a block. */
  readonly size: number;
  /** How many blocks there are, enough for any choice of experts. */
  readonly blocks: number;
}

/**
 * Blocks for `tokens · topK` choices among `count` experts: about three for each expert. The last block of
 * an expert is seldom full, so there is one more for each than the rows fill.
 */
export function blockSizes(tokens: number, topK: number, count: number): BlockSizes {
  const rows = tokens * topK;
  const size = Math.max(1, Math.ceil(rows / (2 * count)));
  return { size, blocks: Math.floor((rows - 1) / size) + Math.min(count, rows) };
}

/**
 * Sorts tokens by their experts into blocks, each expert's in the order of the tokens. Nothing is dropped.
 *
 * @param chosen int32 `[tokens, topK]`, different experts for a token
 * @see Gale et al.: MegaBlocks (2022), for blocks in place of a capacity
 */
export function sortIntoBlocks(
  chosen: Tensor,
  count: number,
  { size, blocks }: BlockSizes,
): ExpertBlocks {
  const [tokens, topK] = chosen.shape as [number, number];
  const isChosen = chosen
    .reshape([tokens * topK])
    .oneHot(count)
    .float();
  // How many of an expert's rows come before; counts are exact in float32.
  const before = isChosen.cumsum(0).sub(isChosen);
  const own = isChosen.sum(0).div(size).ceil();
  const ends = own.cumsum(0);
  const starts = ends.sub(own).mul(size);
  const rows = before.add(starts).mul(isChosen).sum(1).int();
  const token = arange(tokens, { dtype: "int32" }).repeatInterleave(topK);
  const block = arange(blocks).unsqueeze(-1);
  return {
    tokens: zeros([blocks * size], { dtype: "int32" }).scatter(0, rows, token),
    // Blocks behind the last one belong to the last expert, and nobody reads them.
    experts: block
      .ge(ends)
      .sum(1)
      .minimum(count - 1)
      .int(),
    rows: rows.reshape([tokens, topK]),
  };
}
