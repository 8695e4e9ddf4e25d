/** Training, from the first step to the last checkpoint. */

import { XError } from "@x/tensor";
import { check } from "@x/tensor/checks";
import type { Module } from "@x/tensor/nn";
import { AdamW, type LearningRateSchedule } from "@x/tensor/optim";
import { getDefaultGenerator, type GeneratorState } from "@x/tensor/random";
import { Batches } from "../data/batches.js";
import type { Source } from "../data/source.js";
import {
  checkpointFiles,
  freeName,
  inOrder,
  loadCheckpoint,
  noteCheckpoints,
  type BestCheckpoint,
  type Ending,
  type RunState,
} from "./checkpoint.js";
import { comparisonOf, isBetter, Progress, type Comparison } from "./early-stopping.js";
import { LossScale } from "./mixed-precision.js";
import { decayGroups, makeSchedule } from "./optimization.js";
import { optimizerStep } from "./optimizer-step.js";
import type { EndReport, EvaluationReport, StepReport, TrainingReport } from "./report.js";
import type { Batch, Metrics } from "./task.js";
import type { TrainerOptions } from "./trainer-options.js";
import {
  asSource,
  readTrainerOptions,
  totalStepsOf,
  type TrainerSettings,
} from "./trainer-settings.js";

const op = "Trainer";

/** How much the loss of a step counts in its running mean, at least. */
const averageShare = 0.05;

/** Below this scale of the loss nothing is left that could overflow: the loss itself is broken. */
const leastScale = 2 ** -24;

/**
 * Trains a model for a task.
 *
 * A run goes step by step; after some steps the validation data is evaluated, and checkpoints are
 * made. A run that goes on from a checkpoint does bit for bit what it would have done without
 * stopping: weights, optimizer, schedule, random numbers, place in the data, running means and the
 * scale of the loss are all part of it. Whatever callbacks and evaluations draw from the default
 * generator has no influence on training.
 *
 * Everything works in workers too: reports are plain data, and neither the page nor Node is needed.
 *
 * @example
 * ```ts
 * class Doubler extends Module {
 *   readonly linear = new Linear(1, 1);
 *   forward(x: Tensor): Tensor {
 *     return this.linear.forward(x);
 *   }
 * }
 * const data = [1, 2, 3, 4].map((x) => ({ features: [x], target: [2 * x] }));
 * const trainer = new Trainer({
 *   model: new Doubler(),
 *   task: regression({ inputDim: 1, padding: "longest" }),
 *   data,
 *   validation: data,
 *   batchSize: 4,
 *   steps: 300,
 *   learningRate: 0.05,
 * });
 * const { ending, metrics } = await trainer.train();
 * console.log(ending, metrics!.mae! < 0.1); // → finished true
 * ```
 */
export class Trainer<M extends Module, E, B extends Batch> {
  /** What is trained. */
  readonly model: M;
  /** What changes the parameters. */
  readonly optimizer: AdamW;
  /** What sets its learning rate. */
  readonly schedule: LearningRateSchedule;
  /** The step to end with, or `null` if only reading the data tells. */
  readonly totalSteps: number | null;
  readonly #settings: TrainerSettings<M, E, B>;
  readonly #batches: Batches<E>;
  readonly #evaluateEvery: number | null;
  readonly #saveEvery: number | null;
  readonly #comparison: Comparison;
  readonly #progress: Progress;
  readonly #lossScale: LossScale | null;
  #step = 0;
  #epoch = 0;
  #random: GeneratorState = getDefaultGenerator().getState();
  #averageLoss: number | null = null;
  #evaluation: RunState["evaluation"] = null;
  #best: readonly BestCheckpoint[] = [];
  #ending: Ending | null = null;
  #resumedFrom: string | null = null;
  /** Whether the data has come to its end, which is known only then for some. */
  #isExhausted = false;
  /** Whether something happened since the last checkpoint. */
  #isUnsaved = false;
  #hasBegun = false;

  /** @throws XError `argument` if an option is out of range or the model has nothing to train */
  constructor(options: TrainerOptions<M, E, B>) {
    const settings = readTrainerOptions(options);
    const { model, task, data, batchSize, seed, dropLast, accumulate } = settings;
    this.#settings = settings;
    this.model = model;
    const { lengthOf } = task;
    this.#batches = new Batches(data, { batchSize, seed, lengthOf, dropLast });
    const { perEpoch } = this.#batches;
    this.totalSteps = totalStepsOf(settings, perEpoch);
    const stepsPerEpoch = perEpoch === null ? null : Math.max(1, Math.ceil(perEpoch / accumulate));
    this.#evaluateEvery = options.evaluateEvery ?? stepsPerEpoch;
    this.#saveEvery = options.saveEvery ?? this.#evaluateEvery;
    const { metric = "loss", direction, earlyStopping = null } = options;
    this.#comparison = comparisonOf(op, metric, direction, task.metricNames);
    this.#progress = new Progress(this.#comparison, earlyStopping);
    this.#lossScale = settings.precision === "mixed" ? new LossScale(options.lossScale) : null;
    const { weightDecay, learningRate: lr, betas } = settings;
    this.optimizer = new AdamW(decayGroups(model, weightDecay), { lr, betas });
    this.schedule = makeSchedule(options.schedule ?? "constant", this.optimizer, this.totalSteps);
  }

  /** How many steps were done. */
  get step(): number {
    return this.#step;
  }

  /** Trains to the end; reports go to the callbacks and logs. */
  async train(): Promise<EndReport> {
    const reports = this.run();
    for (;;) {
      const { done, value } = await reports.next();
      if (done === true) return value;
    }
  }

  /**
   * Trains, telling what was done: one step whenever the next report is asked for. Can be called
   * once; leaving the loop early leaves the run as it is, without a checkpoint.
   *
   * @throws XError `checkpoint` if the storage holds a run that must not, or cannot, be gone on with;
   * `argument` if the loss is no longer a finite number
   */
  async *run(): AsyncGenerator<TrainingReport, EndReport, undefined> {
    check(
      !this.#hasBegun,
      "argument",
      () => `${op}: run() can be called once, got another call. Make another Trainer.`,
    );
    this.#hasBegun = true;
    await this.#begin();
    const { totalSteps } = this;
    const resumedFrom = this.#resumedFrom;
    yield await this.#tell({ kind: "start", step: this.#step, totalSteps, resumedFrom });
    for (;;) {
      // Due after the step before; first of all where a stop came between.
      const metrics = this.#isEvaluationDue
        ? await this.#measure(this.#settings.validation!)
        : null;
      if (metrics !== null) yield await this.#tell(this.#accept(metrics));
      const isStopped = this.#settings.signal?.aborted === true;
      if (this.#progress.isOver) this.#ending = "early stopping";
      else if (this.#isLast && !this.#isEvaluationDue) this.#ending = "finished";
      else if (isStopped) this.#ending = "aborted";
      if (this.#isSaveDue) {
        yield await this.#tell({ kind: "checkpoint", step: this.#step, name: await this.save() });
      }
      if (this.#ending !== null) break;
      const report = await this.#train();
      if (report === null) this.#isExhausted = true;
      else yield await this.#tell(report);
    }
    const metrics = this.#evaluation?.metrics ?? null;
    return this.#tell({ kind: "end", step: this.#step, ending: this.#ending, metrics });
  }

  /**
   * The metrics of some data, by default the validation data. The model computes as it does outside
   * training.
   *
   * @throws XError `argument` if there is no data
   */
  async evaluate(
    data: Source<E> | readonly E[] | null = this.#settings.validation,
  ): Promise<Metrics> {
    if (data === null) {
      throw new XError(
        "argument",
        `${op}: evaluate needs data, got none. Pass some, or give validation data.`,
      );
    }
    return (await this.#measure(asSource(data), false))!;
  }

  /**
   * Makes a checkpoint now; gives its name. Runs call it by themselves.
   *
   * @throws XError `argument` if there is no storage; `checkpoint` if it cannot be written to
   */
  async save(): Promise<string> {
    const { keepLast, files, storage } = this.#settings;
    if (storage === null) {
      throw new XError("argument", `${op}: saving needs a storage, got none. Give one.`);
    }
    const names = await storage.list();
    const name = freeName(this.#step, names);
    const best = this.#bestWith(name);
    const run = this.#state(best);
    await storage.write(name, await checkpointFiles(this.model, this.optimizer, run, files));
    this.#best = best;
    this.#isUnsaved = false;
    await noteCheckpoints(storage, name, best);
    const kept = new Set([name, ...best.map((checkpoint) => checkpoint.name)]);
    for (const other of inOrder([...names, name]).slice(-keepLast)) kept.add(other);
    for (const other of names) if (!kept.has(other)) await storage.remove(other);
    return name;
  }

  /** Goes on from the last checkpoint, or makes sure that there is none. */
  async #begin(): Promise<void> {
    const { resume, logs, task, storage } = this.#settings;
    this.#random = getDefaultGenerator().getState();
    const last = storage === null ? undefined : inOrder(await storage.list()).at(-1);
    if (storage !== null && last !== undefined) {
      if (!resume) {
        throw new XError(
          "checkpoint",
          `${op}: the storage of a new run must be empty, got one with checkpoint "${last}". Pass resume: true to go on with it, or another storage.`,
        );
      }
      this.#accepted(await loadCheckpoint(storage, last, this.model, this.optimizer));
      this.#resumedFrom = last;
    }
    for (const log of logs) await log.begin(this.#step, task.metricNames);
  }

  /** Takes over what a checkpoint says besides tensors. */
  #accepted(run: RunState): void {
    const own = this.#dataFacts;
    for (const key of ["batchSize", "seed", "length"] as const) {
      check(
        run.data[key] === own[key],
        "checkpoint",
        () =>
          `${op}: a run must go on with the same data, got ${key} ${own[key]} for ${run.data[key]}. Give what it began with.`,
      );
    }
    this.#step = run.step;
    this.#batches.seek(run.position);
    this.#epoch = run.position.epoch;
    this.#random = run.random;
    this.schedule.loadStateDict(run.schedule);
    if (run.lossScale !== null) this.#lossScale?.loadStateDict(run.lossScale);
    this.#averageLoss = run.averageLoss;
    this.#evaluation = run.evaluation;
    this.#progress.loadStateDict(run.progress);
    this.#best = run.best;
  }

  #state(best: readonly BestCheckpoint[]): RunState {
    return {
      version: 1,
      step: this.#step,
      data: this.#dataFacts,
      position: this.#batches.position,
      random: this.#random,
      schedule: this.schedule.stateDict(),
      lossScale: this.#lossScale?.stateDict() ?? null,
      averageLoss: this.#averageLoss,
      evaluation: this.#evaluation,
      progress: this.#progress.stateDict(),
      best,
      ending: this.#ending === "aborted" ? null : this.#ending,
    };
  }

  get #dataFacts(): RunState["data"] {
    const { batchSize, seed, data } = this.#settings;
    return { batchSize, seed, length: data.length };
  }

  /** Whether the step before was the last. */
  get #isLast(): boolean {
    return this.#isExhausted || (this.totalSteps !== null && this.#step >= this.totalSteps);
  }

  get #isEvaluationDue(): boolean {
    const every = this.#evaluateEvery;
    if (this.#settings.validation === null || this.#step === 0) return false;
    if (this.#evaluation?.step === this.#step) return false;
    return this.#isLast || (every !== null && this.#step % every === 0);
  }

  get #isSaveDue(): boolean {
    if (this.#settings.storage === null || !this.#isUnsaved) return false;
    const every = this.#saveEvery;
    const isTime = every !== null && this.#step % every === 0;
    return isTime || this.#ending !== null || this.#isAmongBest;
  }

  /** Whether the model as it is now was evaluated, and belongs to the best. */
  get #isAmongBest(): boolean {
    const { keepBest } = this.#settings;
    if (this.#evaluation?.step !== this.#step || keepBest === 0) return false;
    const value = this.#evaluation.metrics[this.#comparison.metric] ?? NaN;
    const worst = this.#best[keepBest - 1];
    return worst === undefined || isBetter(this.#comparison, value, worst.value);
  }

  /** The best checkpoints, with the one that is about to be made if it belongs to them. */
  #bestWith(name: string): readonly BestCheckpoint[] {
    const { keepBest } = this.#settings;
    if (!this.#isAmongBest) return this.#best;
    const value = this.#evaluation!.metrics[this.#comparison.metric]!;
    const before = this.#best.filter((other) => !isBetter(this.#comparison, value, other.value));
    const after = this.#best.filter((other) => isBetter(this.#comparison, value, other.value));
    return [...before, { name, value }, ...after].slice(0, keepBest);
  }

  /** One step; `null` at the end of the data. */
  async #train(): Promise<StepReport | null> {
    const { model } = this;
    const { task, clipNorm, auxiliaryLoss } = this.#settings;
    const start = performance.now();
    const batches = await this.#nextBatches();
    if (batches.length === 0) return null;
    const generator = getDefaultGenerator().setState(this.#random);
    if (!model.training) model.train();
    const [learningRate] = this.schedule.currentRates();
    const parts = { model, task, optimizer: this.optimizer, clipNorm, auxiliaryLoss };
    const result = await optimizerStep({ ...parts, lossScale: this.#lossScale }, batches);
    this.#random = generator.getState();
    this.schedule.step();
    this.#step++;
    this.#isUnsaved = true;
    this.#checkLoss(result.loss);
    const { loss, gradientNorm, skipped } = result;
    if (!skipped) {
      const before = this.#averageLoss ?? loss;
      const share = Math.max(averageShare, 1 / this.#step);
      this.#averageLoss = before + share * (loss - before);
    }
    return {
      kind: "step",
      step: this.#step,
      totalSteps: this.totalSteps,
      epoch: this.#epoch,
      loss,
      averageLoss: this.#averageLoss ?? loss,
      learningRate: learningRate!,
      gradientNorm,
      count: result.count,
      perSecond: (1000 * result.count) / (performance.now() - start),
      lossScale: this.#lossScale?.scale ?? null,
      skipped,
    };
  }

  #checkLoss(loss: number): void {
    const scale = this.#lossScale?.scale ?? 0;
    check(
      Number.isFinite(loss) || scale > leastScale,
      "argument",
      () =>
        `${op}: the loss must be a finite number, got ${loss} in step ${this.#step}. Lower the learning rate or clipNorm, and check the data; the last checkpoint is from before.`,
    );
  }

  /** The batches of the next step: fewer, or none, at the end of the last epoch. */
  async #nextBatches(): Promise<B[]> {
    const { task, accumulate, epochs } = this.#settings;
    const batches: B[] = [];
    while (batches.length < accumulate) {
      const { position } = this.#batches;
      const { examples, epoch } = await this.#batches.next();
      if (epochs !== null && epoch >= epochs) {
        this.#batches.seek(position);
        break;
      }
      this.#epoch = epoch;
      batches.push(task.collate(examples));
    }
    return batches;
  }

  /** The metrics of data; `null` if the run was stopped meanwhile. */
  async #measure(source: Source<E>, isStoppable: boolean = true): Promise<Metrics | null> {
    const { task, evaluationBatchSize, signal } = this.#settings;
    const { model } = this;
    const modes = model.modules().map((module) => [module, module.training] as const);
    const generator = getDefaultGenerator();
    const random = generator.getState();
    model.eval();
    try {
      const meter = task.meter();
      const options = { batchSize: evaluationBatchSize, seed: null, lengthOf: task.lengthOf };
      for await (const { examples } of new Batches(source, options).rest()) {
        if (isStoppable && signal?.aborted === true) return null;
        await meter.add(model, task.collate(examples));
      }
      return meter.metrics();
    } finally {
      for (const [module, mode] of modes) module.training = mode;
      generator.setState(random);
    }
  }

  /** Takes the metrics of an evaluation. */
  #accept(metrics: Metrics): EvaluationReport {
    const isBest = this.#progress.update(metrics);
    this.#evaluation = { step: this.#step, metrics };
    this.#isUnsaved = true;
    return { kind: "evaluation", step: this.#step, metrics, isBest };
  }

  /** Gives a report to the logs and callbacks. */
  async #tell<R extends TrainingReport>(report: R): Promise<R> {
    const { logs, onReport, onStep, onEvaluate, onCheckpoint } = this.#settings;
    const told: TrainingReport = report;
    if (told.kind === "step" || told.kind === "evaluation") {
      for (const log of logs) await log.write(told);
    }
    if (told.kind === "step") await onStep?.(told);
    if (told.kind === "evaluation") await onEvaluate?.(told);
    if (told.kind === "checkpoint") await onCheckpoint?.(told);
    await onReport?.(told);
    return report;
  }
}
