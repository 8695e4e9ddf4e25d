/** The language model of the main job, for what makes it without the command: pages and long tests. */

import { Transformer, TransformerConfig } from "@x/miniformer";
import { registerMechanisms } from "../mechanisms/register.js";

/** The sizes of a model. */
export interface ModelShape {
  readonly width: number;
  readonly layers: number;
  /** The length it is trained on. */
  readonly length: number;
}

const headSize = 32;

/** A model of bytes that attends by the mechanism of a name, for sequences of up to `longest` bytes. */
export function makeByteModel(
  mechanism: string,
  { width, layers, length }: ModelShape,
  longest: number,
): Transformer {
  registerMechanisms();
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
      attention: { name: mechanism, length },
    }),
  );
}
