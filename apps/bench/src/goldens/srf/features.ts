/** Random vectors from recorded draws, and feature maps. */

import {
  computeSimplexDir,
  orthogonalMatrixChunkHadamard,
  simplexDirections,
  simplexRandomMatrix,
  softmaxKernel,
  type SimplexDraws,
} from "@x/srf";
import type { Runner, Subject } from "../subject.js";

/** The recorded draws of all blocks. */
export function drawsOf(subject: Subject): SimplexDraws[] {
  const draws: SimplexDraws[] = [];
  while (subject.recorded.has(`random.block${draws.length}.chi2`)) {
    const block = `random.block${draws.length}`;
    draws.push({
      signs: [1, 2, 3].map((i) => subject.leaf(`${block}.signs${i}`)),
      chi2: subject.leaf(`${block}.chi2`),
    });
  }
  return draws;
}

/** `simplex_random_matrix`. */
export const runMatrix: Runner = (subject) => {
  const { settings } = subject;
  const matrix = simplexRandomMatrix({
    rows: settings.requiredNumber("nb_rows"),
    features: settings.requiredNumber("nb_columns"),
    scale: settings.boolean("scale") ?? false,
    normalize: settings.boolean("normalize") ?? false,
    draws: drawsOf(subject),
  });
  return { outputs: { matrix } };
};

/** `orthogonal_matrix_chunk_hadamard` and `compute_simplex_dir`, and a block made of both. */
export const runPieces: Runner = (subject) => {
  const size = subject.settings.requiredNumber("d");
  const draws = drawsOf(subject);
  return {
    outputs: {
      orthogonal_chunk: orthogonalMatrixChunkHadamard(size, draws[0]),
      simplex_dir_deterministic: simplexDirections(size),
      simplex_dir_scaled: computeSimplexDir(size, draws[0]),
      block: simplexRandomMatrix({ rows: size, features: size, draws }),
    },
  };
};

/** `softmax_kernel_bhld` and `softmax_kernel_blhd`. */
export const runKernel: Runner = (subject) => {
  const { settings } = subject;
  const projection = subject.input("projection_matrix");
  const options = {
    layout: settings.string("function") === "softmax_kernel_blhd" ? "blhd" : "bhld",
    normalizeData: settings.boolean("normalize_data") ?? true,
    eps: settings.number("eps") ?? 1e-4,
  } as const;
  const q = softmaxKernel(subject.input("q"), projection, { ...options, isQuery: true });
  const k = softmaxKernel(subject.input("k"), projection, { ...options, isQuery: false });
  return {
    outputs: { q_features: q.features, k_features: k.features, key_maxima: k.maxima },
  };
};
