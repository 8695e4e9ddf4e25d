/** The initial numbers of a model. */

import { Embedding, init, LearnedPositionalEncoding, Linear, type Module } from "@x/tensor/nn";

/** Weights normally distributed, biases 0; norms and mechanisms as they are made. */
export function initializeWeights(module: Module, deviation: number): void {
  const normal = (weight: Parameters<typeof init.normal>[0]): void => {
    init.normal(weight, 0, deviation);
  };
  for (const part of module.modules()) {
    if (part instanceof Linear) {
      normal(part.weight);
      if (part.bias !== null) init.zeros(part.bias);
    } else if (part instanceof Embedding || part instanceof LearnedPositionalEncoding) {
      normal(part.weight);
    }
  }
}
