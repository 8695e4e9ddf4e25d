/** Learning rate schedules. */

import { ones } from "@x/tensor";
import {
  AdamW,
  ConstantLR,
  CosineAnnealingLR,
  CosineAnnealingWarmRestarts,
  ExponentialLR,
  LinearLR,
  MultiStepLR,
  OneCycleLR,
  StepLR,
  WarmupConstantLR,
  WarmupCosineLR,
  WarmupLinearLR,
  type LearningRateSchedule,
  type ScheduledOptimizer,
} from "@x/tensor/optim";
import type { Settings } from "../settings.js";
import type { Runner } from "../subject.js";

/** Makes a schedule; its options are those of the class, read from the file. */
type Make = (optimizer: ScheduledOptimizer, options: never) => LearningRateSchedule;

const classes: Readonly<Record<string, Make>> = {
  ConstantLR: (optimizer, options) => new ConstantLR(optimizer, options),
  CosineAnnealingLR: (optimizer, options) => new CosineAnnealingLR(optimizer, options),
  CosineAnnealingWarmRestarts: (optimizer, options) =>
    new CosineAnnealingWarmRestarts(optimizer, options),
  ExponentialLR: (optimizer, options) => new ExponentialLR(optimizer, options),
  LinearLR: (optimizer, options) => new LinearLR(optimizer, options),
  MultiStepLR: (optimizer, options) => new MultiStepLR(optimizer, options),
  OneCycleLR: (optimizer, options) => new OneCycleLR(optimizer, options),
  StepLR: (optimizer, options) => new StepLR(optimizer, options),
};

function makeSchedule(optimizer: ScheduledOptimizer, settings: Settings): LearningRateSchedule {
  const name = settings.string("cls");
  if (name === undefined) return makeWarmup(optimizer, settings);
  const make = classes[name];
  if (make === undefined) throw new Error(`the schedule "${name}" is unknown`);
  // The options come from a file; the schedule checks them.
  return make(optimizer, settings.toOptions(["cls", "base_lr", "steps"]) as never);
}

/** A warm-up of W steps, and a fall to 0 at step T along what the formula says. */
function makeWarmup(optimizer: ScheduledOptimizer, settings: Settings): LearningRateSchedule {
  const formula = settings.string("formula") ?? "";
  const warmupSteps = settings.requiredNumber("W");
  const totalSteps = settings.number("T");
  if (totalSteps === undefined) return new WarmupConstantLR(optimizer, { warmupSteps });
  const options = { warmupSteps, totalSteps };
  return formula.includes("cos")
    ? new WarmupCosineLR(optimizer, options)
    : new WarmupLinearLR(optimizer, options);
}

/** Outputs the learning rate of each step, and the momentum where it was recorded. */
export const runSchedule: Runner = ({ settings, recorded }) => {
  const optimizer = new AdamW([ones([1], { requiresGrad: true })], {
    lr: settings.requiredNumber("base_lr"),
  });
  const schedule = makeSchedule(optimizer, settings);
  const steps = settings.requiredNumber("steps");
  const rates: number[] = [];
  const momenta: number[] = [];
  for (let step = 0; step < steps; step++) {
    if (step > 0) schedule.step();
    rates.push(schedule.currentRates()[0]!);
    momenta.push(optimizer.paramGroups[0]!.betas[0]);
  }
  const lr = { shape: [steps], data: rates };
  const hasMomentum = recorded.has("output.momentum");
  return { outputs: hasMomentum ? { lr, momentum: { shape: [steps], data: momenta } } : { lr } };
};
