/** Made-up checkpoints in published layouts. */

import { writeSafetensors, type SafetensorsTensor } from "@x/tensor/safetensors";
import type { PlainTensor, PlainTensors } from "./numbers.js";

/** Fields of `config.json`. */
export type PlainConfig = Readonly<Record<string, unknown>>;

/** Numbers that are always the same, spread like a normal distribution. */
function randomNumbers(seed: number): () => number {
  let state = seed;
  const uniform = (): number => {
    state = (state * 1664525 + 1013904223) % 2 ** 32;
    return (state + 0.5) / 2 ** 32;
  };
  return () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
}

/**
 * Tensors of the given shapes. Matrices keep the size of vectors, so that everything in a model has a
 * say in its results.
 */
export function randomTensors(shapes: Readonly<Record<string, readonly number[]>>): PlainTensors {
  const draw = randomNumbers(7);
  return Object.fromEntries(
    Object.entries(shapes).map(([name, shape]): [string, PlainTensor] => {
      const length = shape.reduce((product, size) => product * size, 1);
      const isScale = /(norm|ln_[12f]|LayerNorm)\.weight$/.test(name);
      const spread = shape.length === 1 ? 0.3 : 1 / Math.sqrt(Math.min(...shape));
      const data = Float32Array.from({ length }, () => draw() * spread + (isScale ? 1 : 0));
      return [name, { shape, data }];
    }),
  );
}

function described(tensors: PlainTensors): SafetensorsTensor[] {
  return Object.entries(tensors).map(([name, { shape, data }]) => {
    const bytes = new Uint8Array(Float32Array.from(data).buffer);
    return { name, dtype: "F32", shape, bytes };
  });
}

/** A file of JSON. */
export function jsonBlob(json: unknown): Blob {
  return new Blob([JSON.stringify(json)]);
}

/** A file of tensors. */
export function tensorBlob(tensors: PlainTensors): Blob {
  return new Blob([writeSafetensors(described(tensors))]);
}

/** The files of a checkpoint. */
export function checkpoint(config: PlainConfig, tensors: PlainTensors): Map<string, Blob> {
  return new Map([
    ["config.json", jsonBlob(config)],
    ["model.safetensors", tensorBlob(tensors)],
  ]);
}
