/** Area `srf`: simplex random features and the attention made of them. */

import type { Device } from "@x/tensor";
import { nameIn, runnerNamed, wholeFile, type Part } from "../parts.js";
import type { GoldenFile } from "../golden-file.js";
import type { Runner } from "../subject.js";
import { runAttention, runLowMem, runRecurrent } from "./attention.js";
import { runKernel, runMatrix, runPieces } from "./features.js";

const runners: Readonly<Record<string, Runner>> = {
  simplex_random_matrix: runMatrix,
  "orthogonal_matrix_chunk_hadamard, compute_simplex_dir": runPieces,
  softmax_kernel_bhld: runKernel,
  softmax_kernel_blhd: runKernel,
  low_mem_attn: runLowMem,
  Attention: runAttention,
};

/** A file of area `srf` is one part. */
export function partsOfSrf(file: GoldenFile, device: Device): Part[] {
  const { config } = file;
  const runner = config.has("prefill") ? runRecurrent : runnerNamed(runners, nameIn(config));
  return wholeFile(file, device, runner);
}
