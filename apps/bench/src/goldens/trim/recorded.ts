/** Modules with recorded behaviour in place of random or unknown one. */

import { where, type Tensor } from "@x/tensor";
import { Dropout, Module, Parameter, type PositionOptions } from "@x/tensor/nn";

/** Drops what a recorded mask says: true = kept, scaled by 1 / (1 − p). */
export class RecordedDropout extends Dropout {
  readonly #kept: Tensor;

  constructor(p: number, kept: Tensor) {
    super(p);
    this.#kept = kept;
  }

  override forward(x: Tensor): Tensor {
    return where(this.#kept, x.div(1 - this.p), 0);
  }
}

/** A table of positions [1, length, size], added to the input. */
export class RecordedPositions extends Module {
  readonly emb: Parameter;

  constructor(table: Tensor) {
    super();
    this.emb = new Parameter(table);
  }

  forward(x: Tensor, { offset = 0 }: PositionOptions = {}): Tensor {
    return x.add(this.emb.dynamicSlice(1, offset, x.shape[1]!));
  }
}
