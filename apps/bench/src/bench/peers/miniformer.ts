/** The same GPT as a model of `@x/miniformer`. */

import { setThreads } from "@x/tensor";
import { Transformer, TransformerConfig } from "@x/miniformer";
import { trainModel } from "./gpt-ours.js";
import { ours } from "./ours.js";
import { trainingTokens, type Peer, type TrainTask } from "./peer.js";

/** The configuration in the shape of the task, with as many parameters as the others have. */
function configOf({ vocabulary, width, layers, heads, context }: TrainTask): TransformerConfig {
  return TransformerConfig.tiny({
    ...{ vocabSize: vocabulary, outputDim: vocabulary, maxSeqLen: context },
    ...{ dModel: width, nLayers: layers, nHeads: heads },
    ...{ bias: false, finalNorm: false, tieEmbeddings: false },
  });
}

/** Models of `@x/miniformer` on the CPU; it can only train. */
export function miniformer(threads: number): Peer {
  setThreads(threads);
  const { settings } = ours(threads);
  return {
    name: "@x/miniformer",
    settings,
    prepare: (task) =>
      Promise.resolve(
        task.op === "train"
          ? trainModel(new Transformer(configOf(task)), task, trainingTokens(task))
          : null,
      ),
  };
}
