/** A small run that uses everything a checkpoint has to remember. */

import { fromArray, split } from "../src/data/source.js";
import { packed } from "../src/data/token-windows.js";
import { languageModelling, type TokenBatch } from "../src/training/language-modelling.js";
import { Trainer } from "../src/training/trainer.js";
import type { TrainerOptions } from "../src/training/trainer-options.js";
import { SmallLanguageModel, walk } from "./small-models.js";

/** Documents of different lengths. */
const documents = Array.from({ length: 23 }, (_, i) => [...walk(5 + ((i * 7) % 13))]);
const { training, validation } = split(fromArray(documents), { validation: 0.2 });
const packing = { length: 8, endToken: 0 };

/** The kind of the run below. */
export type SmallRun = Trainer<SmallLanguageModel, ArrayLike<number>, TokenBatch>;

/** A run over packed, shuffled documents, with dropout, accumulation and a schedule. */
export function makeRun(
  options: Partial<TrainerOptions<SmallLanguageModel, ArrayLike<number>, TokenBatch>>,
): SmallRun {
  return new Trainer<SmallLanguageModel, ArrayLike<number>, TokenBatch>({
    model: new SmallLanguageModel(16, 0.2),
    task: languageModelling({ padding: 8, bytesPerToken: 1 }),
    data: packed(training, packing),
    validation: packed(validation, packing),
    batchSize: 3,
    accumulate: 2,
    learningRate: 0.01,
    schedule: { name: "linear", warmupSteps: 3 },
    steps: 40,
    ...options,
  });
}
