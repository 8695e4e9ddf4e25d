/** Rotary positions: which elements turn how fast, and the turns of a call. */

import { arange, fromData, type Tensor } from "@x/tensor";
import { Buffer, RotaryEmbedding, type RotaryOptions } from "@x/tensor/nn";
import type { TransformerConfig } from "../config/transformer-config.js";
import type { Llama3RotaryScaling, RotaryScaling, YarnRotaryScaling } from "../config/fields.js";

/** Turns heads, [batch, heads, length, headDim], by the positions of a call. */
export type Rotate = (x: Tensor) => Tensor;

/** The rotation of a model's heads, with the frequencies that its configuration says. */
export function makeRotary(config: TransformerConfig): RotaryEmbedding | null {
  const { positions, headDim, rotaryPct, rotaryBase: base, rotaryLayout: layout } = config;
  if (positions !== "rotary") return null;
  const dim = headDim * rotaryPct;
  const { rotaryScaling: scaling } = config;
  return scaling === null
    ? new RotaryEmbedding(dim, { base, layout })
    : new ScaledRotaryEmbedding(dim, { base, layout }, scaledFrequencies(dim, base, scaling));
}

/** A rotation with frequencies of its own. */
class ScaledRotaryEmbedding extends RotaryEmbedding {
  override readonly frequencies: Buffer;

  constructor(dim: number, options: RotaryOptions, frequencies: readonly number[]) {
    super(dim, options);
    const numbers = Float32Array.from(frequencies);
    this.frequencies = new Buffer(fromData(numbers, [numbers.length]), { persistent: false });
  }
}

/** The rotation by positions, int32 [batch, length]; `null` for 0, 1, 2 … */
export function rotationBy(
  rotary: RotaryEmbedding,
  scaling: RotaryScaling | null,
  positions: Tensor | null,
  length: number,
): Rotate {
  const places = positions?.unsqueeze(1) ?? arange(length, { dtype: "int32" });
  const angles = places.float().unsqueeze(-1).mul(rotary.frequencies);
  const size = scaling?.type === "yarn" ? sizeFactor(scaling) : 1;
  const scaled = (x: Tensor): Tensor => (size === 1 ? x : x.mul(size));
  const table = { sin: scaled(angles.sin()), cos: scaled(angles.cos()) };
  return (x) => rotary.rotate(x, table);
}

/** By what rotated vectors are longer. */
function sizeFactor({ factor, attentionFactor }: YarnRotaryScaling): number {
  return attentionFactor ?? (factor > 1 ? 0.1 * Math.log(factor) + 1 : 1);
}

/** The frequency of each pair of `dim` elements. */
export function scaledFrequencies(dim: number, base: number, scaling: RotaryScaling): number[] {
  const plain = Array.from({ length: dim / 2 }, (_, i) => base ** ((-2 * i) / dim));
  const { factor } = scaling;
  if (scaling.type === "linear") return plain.map((frequency) => frequency / factor);
  // How much of the plain frequency stays: 1 for fast rotations, 0 for slow ones.
  const share = scaling.type === "llama3" ? llama3Share(scaling) : yarnShare(dim, base, scaling);
  return plain.map((frequency, i) => {
    const kept = share(frequency, i);
    return kept * frequency + ((1 - kept) * frequency) / factor;
  });
}

function llama3Share({ lowFreqFactor, highFreqFactor, originalMaxPositions }: Llama3RotaryScaling) {
  return (frequency: number): number => {
    const turns = (originalMaxPositions * frequency) / (2 * Math.PI);
    return clampToUnit((turns - lowFreqFactor) / (highFreqFactor - lowFreqFactor));
  };
}

function yarnShare(
  dim: number,
  base: number,
  { originalMaxPositions, ...betas }: YarnRotaryScaling,
) {
  /** The pair that turns so often in the original context. */
  const pairOf = (turns: number): number =>
    (dim * Math.log(originalMaxPositions / (turns * 2 * Math.PI))) / (2 * Math.log(base));
  const low = Math.max(Math.floor(pairOf(betas.betaFast ?? 32)), 0);
  const high = Math.min(Math.ceil(pairOf(betas.betaSlow ?? 1)), dim - 1);
  const width = high === low ? 0.001 : high - low;
  return (_: number, i: number): number => 1 - clampToUnit((i - low) / width);
}

function clampToUnit(x: number): number {
  return Math.min(Math.max(x, 0), 1);
}
