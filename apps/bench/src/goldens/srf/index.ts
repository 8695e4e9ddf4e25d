/** Area `srf`: simplex random features and the attention made of them. */

import type { Device } from "@x/tensor";
import type { Part } from "../areas.js";
import type { GoldenFile } from "../golden-file.js";
import { Subject, type Runner } from "../subject.js";
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

function findRunner({ config }: GoldenFile): Runner {
  if (config.has("prefill")) return runRecurrent;
  const name =
    config.string("cls") ?? config.string("function") ?? config.string("functions") ?? "";
  const runner = runners[name];
  if (runner === undefined) throw new Error(`the class or function "${name}" is unknown`);
  return runner;
}

/** A file of area `srf` is one part. */
export function partsOfSrf(file: GoldenFile, device: Device): Part[] {
  const subject = new Subject(device, file.config, file.tensors);
  return [{ subject, runner: findRunner(file) }];
}
