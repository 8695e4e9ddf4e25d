/** An embedding whose table is kept narrow. */

import { embedding, type Tensor } from "@x/tensor";
import { Embedding, type Buffer } from "@x/tensor/nn";

/**
 * A table of vectors kept as int8 with a float32 scale a row, or as float16:
 * `y = table[index] · scale[index]`. {@link quantize} puts it in the place of an `Embedding`.
 *
 * @example
 * ```ts
 * const model = new Sequential(new Embedding(10, 4));
 * await quantize(model, { dtype: "int8" });
 * const { "0.weight": weight, "0.scale": scale } = model.stateDict();
 * console.log(weight!.dtype, weight!.shape, scale!.shape); // → int8 [ 10, 4 ] [ 10 ]
 * ```
 */
export class QuantizedEmbedding extends Embedding {
  /** `[numEmbeddings, embeddingDim]` of int8 or float16 */
  override readonly weight: Buffer;
  /** `[numEmbeddings]`: what the rows are multiplied by; `null` for float16. */
  readonly scale: Buffer | null;

  /** The table of another embedding, as `weight` and `scale`. */
  constructor(table: Embedding, weight: Buffer, scale: Buffer | null) {
    super(1, 1);
    Object.assign(this, {
      numEmbeddings: table.numEmbeddings,
      embeddingDim: table.embeddingDim,
      paddingIdx: table.paddingIdx,
    });
    this.weight = weight;
    this.scale = scale;
    this.training = table.training;
  }

  /** From integers `[...]` to vectors `[..., embeddingDim]`. */
  override forward(index: Tensor): Tensor {
    const rows = embedding(index, this.weight).float();
    return this.scale === null ? rows : rows.mul(this.scale.take(index, 0).unsqueeze(-1));
  }
}
