/** How a run is optimized: which parameters decay, and how the learning rate changes. */

import { check, checkChoice, checkNumbers, nonNegative, wholeFrom } from "@x/tensor/checks";
import {
  Embedding,
  LayerNorm,
  LearnedPositionalEncoding,
  RMSNorm,
  type Module,
  type Parameter,
} from "@x/tensor/nn";
import {
  ConstantLR,
  WarmupConstantLR,
  WarmupCosineLR,
  WarmupLinearLR,
  type LearningRateSchedule,
  type ScheduledOptimizer,
} from "@x/tensor/optim";

/** Parameters with one weight decay. */
export interface DecayGroup {
  /** The parameters. */
  readonly params: Parameter[];
  /** How strongly they are drawn to 0. */
  readonly weightDecay: number;
}

/**
 * The trained parameters of a model in two groups: matrices, which decay, and all others, which do
 * not: vectors (biases, scales of norms), and whatever belongs to embeddings, position tables or
 * norms, by the module's class or because its name says so. A matrix that is an embedding somewhere,
 * such as a tied output, counts as one.
 *
 * @example
 * ```ts
 * const model = new Sequential(new Embedding(10, 4), new Linear(4, 4), new LayerNorm(4));
 * const [decaying, others] = decayGroups(model, 0.1);
 * console.log(decaying!.params.length, others!.params.length); // → 1 4
 * ```
 */
export function decayGroups(model: Module, weightDecay: number): DecayGroup[] {
  const exempt = new Set<Parameter>();
  for (const module of model.modules()) {
    const isExempt = [Embedding, LayerNorm, RMSNorm, LearnedPositionalEncoding].some(
      (kind) => module instanceof kind,
    );
    if (isExempt) for (const parameter of module.parameters()) exempt.add(parameter);
  }
  const decaying: Parameter[] = [];
  const others: Parameter[] = [];
  for (const [name, parameter] of model.namedParameters()) {
    if (!parameter.requiresGrad) continue;
    const decays =
      parameter.rank >= 2 && !exempt.has(parameter) && !/embed|norm|position/.test(name);
    (decays ? decaying : others).push(parameter);
  }
  return [
    { params: decaying, weightDecay },
    { params: others, weightDecay: 0 },
  ].filter(({ params }) => params.length > 0);
}

/** The kinds of schedules by name. */
export type ScheduleName = "constant" | "linear" | "cosine";

/** A schedule by its name. */
export interface ScheduleOptions {
  /** What follows the warm-up: nothing, a line or half a cosine down. Default `"cosine"`. */
  readonly name?: ScheduleName;
  /** Over how many steps the rate rises from 0. Default 0. */
  readonly warmupSteps?: number;
  /** What the rate is multiplied by in the end. Default 0.1. */
  readonly endFactor?: number;
}

/** How the learning rate changes: a name, its options, or a function that makes any schedule. */
export type Schedule =
  | ScheduleName
  | ScheduleOptions
  | ((optimizer: ScheduledOptimizer, totalSteps: number | null) => LearningRateSchedule);

/** The schedule of a run of `totalSteps` steps, or of nobody knows how many. */
export function makeSchedule(
  schedule: Schedule,
  optimizer: ScheduledOptimizer,
  totalSteps: number | null,
): LearningRateSchedule {
  if (typeof schedule === "function") return schedule(optimizer, totalSteps);
  const given = typeof schedule === "string" ? { name: schedule } : schedule;
  const { name = "cosine", warmupSteps = 0, endFactor = 0.1 }: ScheduleOptions = given;
  const op = "Trainer";
  checkChoice(op, "the schedule", name, ["constant", "linear", "cosine"]);
  checkNumbers(op, wholeFrom(0), { warmupSteps });
  checkNumbers(op, nonNegative, { endFactor });
  if (name === "constant") {
    return warmupSteps === 0
      ? new ConstantLR(optimizer, { factor: 1 })
      : new WarmupConstantLR(optimizer, { warmupSteps });
  }
  check(
    totalSteps !== null,
    "argument",
    () =>
      `${op}: a ${name} schedule must know its last step, got data whose length only reading it tells. Give steps, or schedule: "constant".`,
  );
  const options = { warmupSteps, totalSteps, endFactor };
  return name === "linear"
    ? new WarmupLinearLR(optimizer, options)
    : new WarmupCosineLR(optimizer, options);
}
