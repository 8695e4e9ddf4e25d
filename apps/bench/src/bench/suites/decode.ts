/** One token of autoregressive decoding: of every mechanism, and what most of it is, a product of one row. */

import { mechanisms } from "../../mechanisms/table.js";
import type { SuiteResult } from "../report.js";
import { compareDecoding, type DecodingModel } from "./decoding.js";
import { advantage, compareTasks, wasmPeers, type SuiteOptions } from "./tasks.js";

const kinds = ["trim encoder", ...mechanisms.map(({ name }) => name)];

/** The suite `decode`. */
export async function decode(options: SuiteOptions): Promise<SuiteResult> {
  const model: DecodingModel = options.quick
    ? { width: 128, layers: 2, heads: 4 }
    : { width: 256, layers: 6, heads: 4 };
  const decoded = await compareDecoding(kinds, model, options);

  // Most of a token's time goes into products of one row.
  const { width } = model;
  const products = await compareTasks(
    [{ op: "matmul", m: 1, k: width, n: 4 * width }],
    options,
    () => ({}),
  );
  const notes = [
    `${model.layers} layers of ${width} with ${model.heads} heads; the cache has 64 places more than the position`,
    `1×${width}×${4 * width}: ${advantage(products.rows[0]!, wasmPeers).toFixed(1)} times as fast as the best WASM library`,
    ...decoded.notes,
    ...products.notes,
  ];
  const rows = [...decoded.rows, ...products.rows];
  return { suite: "Decoding", rows, claims: decoded.claims, notes };
}
