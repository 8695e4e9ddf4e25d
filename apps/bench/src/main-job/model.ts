/** The language model of the main job, for what makes it without the command: pages and long tests. */

import { registerAttention, Transformer, TransformerConfig } from "@x/miniformer";
import type { MechanismEntry } from "../mechanisms/table.js";

/** The sizes of a model. */
export interface ModelShape {
  readonly width: number;
  readonly layers: number;
  /** The length it is trained on. */
  readonly length: number;
}

const headSize = 32;

/** A model of bytes that attends by a mechanism, for sequences of up to `longest` bytes. */
export function makeByteModel(
  { name, make, needsNorm }: MechanismEntry,
  { width, layers, length }: ModelShape,
  longest: number,
): Transformer {
  if (name !== "softmax") {
    // What depends on the length is made for that of training.
    registerAttention(name, { make: ({ headDim }) => make({ headDim, length }), needsNorm });
  }
  return new Transformer(
    new TransformerConfig({
      vocabSize: 256,
      outputDim: 256,
      dModel: width,
      nHeads: width / headSize,
      nLayers: layers,
      maxSeqLen: longest,
      positions: "rotary",
      finalNorm: true,
      embeddingScale: false,
      initializerRange: 0.9 / Math.sqrt(width),
      attention: name,
    }),
  );
}
