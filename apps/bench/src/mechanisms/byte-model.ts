/** The language model that takes any mechanism, as one that the main job trains and lets write. */

import { fromData, type Tensor } from "@x/tensor";
import { Module } from "@x/tensor/nn";
import type { ByteLanguageModel, ModelShape } from "../main-job/model.js";
import { MechanismLanguageModel, type EncoderState } from "./model.js";
import type { MechanismEntry } from "./table.js";

const vocabulary = 256;
const headSize = 32;

/** What the model remembers, and how many bytes that was. */
export interface ByteState {
  readonly states: EncoderState;
  position: number;
}

/** Bytes in, the logits of the next bytes out. */
export class MechanismByteModel extends Module implements ByteLanguageModel<ByteState> {
  readonly model: MechanismLanguageModel;
  private readonly capacity: number;

  /** `capacity` is how many bytes it must be able to remember when it writes. */
  constructor(entry: MechanismEntry, { width, layers, length }: ModelShape, capacity: number) {
    super();
    const shape = { width, layers, length, heads: width / headSize };
    this.model = new MechanismLanguageModel(entry, shape, vocabulary);
    this.capacity = capacity;
  }

  forward(bytes: Tensor): Tensor {
    return this.model.forward(bytes);
  }

  initState(batch: number): ByteState {
    return { states: this.model.encoder.initState(batch, this.capacity), position: 0 };
  }

  step(bytes: Tensor, state: ByteState): Tensor {
    const count = bytes.shape[1]!;
    const offset = fromData(Int32Array.of(state.position), []);
    state.position += count;
    return this.model.step(bytes, state.states, offset).select(1, count - 1);
  }
}
