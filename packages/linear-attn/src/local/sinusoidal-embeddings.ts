/** Rotary positions of local attention. */

import type { Tensor } from "@x/tensor";
import { arange, Buffer, RotaryEmbedding } from "../engine.js";

/** Rotary embedding in halves, whose frequencies are part of the state dictionary. */
export class SinusoidalEmbeddings extends RotaryEmbedding {
  /** The frequency of each pair of elements. */
  readonly invFreq: Buffer;

  constructor(dim: number) {
    super(dim, { layout: "half" });
    this.invFreq = new Buffer(this.frequencies);
  }

  /** `x` of [..., length, dim] rotated, its first row by that of position `offset`. */
  rotateFrom(x: Tensor, offset: Tensor | number): Tensor {
    const positions = arange(x.shape.at(-2)!, { dtype: "int32" }).add(offset);
    const angles = positions.float().unsqueeze(-1).mul(this.invFreq);
    return this.rotate(x, { sin: angles.sin(), cos: angles.cos() });
  }
}
