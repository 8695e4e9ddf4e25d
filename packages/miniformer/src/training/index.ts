/**
 * Training: data, tasks, and the Trainer.
 *
 * @module
 */

export { Batches, bucketLength } from "../data/batches.js";
export type { BatchesOptions, BatchPosition, ExampleBatch } from "../data/batches.js";
export { readLines, readText } from "../data/plain-text.js";
export type { PlainTextOptions } from "../data/plain-text.js";
export { collect, numberField, readCsv, readJsonl } from "../data/rows.js";
export type { CsvOptions, JsonlOptions } from "../data/rows.js";
export { seriesWindows } from "../data/series.js";
export type { SeriesExample, SeriesOptions } from "../data/series.js";
export { fromArray, indexed, mapped, split, streamed } from "../data/source.js";
export type { Order, Source, Split, SplitOptions, StreamedOptions } from "../data/source.js";
export { packed, tokenWindows } from "../data/token-windows.js";
export type { PackingOptions, Tokens, WindowOptions } from "../data/token-windows.js";
export type { TextInput } from "../data/text-input.js";
export { loadWeights } from "./checkpoint.js";
export type { BestCheckpoint, Ending, WhichCheckpoint } from "./checkpoint.js";
export { classification } from "./classification.js";
export type {
  ClassificationOptions,
  LabelledBatch,
  LabelledSequence,
  SequenceModel,
} from "./classification.js";
export type { EarlyStoppingOptions } from "./early-stopping.js";
export { folderStorage } from "./folder-storage.js";
export type { CollatedInput, Padding, SequenceInput, SequenceOptions } from "./inputs.js";
export { languageModelling } from "./language-modelling.js";
export type { LanguageModellingOptions, NextTokenModel, TokenBatch } from "./language-modelling.js";
export { csvLog, jsonlLog, logFile, MemoryLog } from "./logs.js";
export type { LogFile, TrainingLog } from "./logs.js";
export type { LossScaleOptions } from "./mixed-precision.js";
export { decayGroups } from "./optimization.js";
export type { DecayGroup, Schedule, ScheduleName, ScheduleOptions } from "./optimization.js";
export { originPrivateStorage } from "./origin-private-storage.js";
export { forecasting, regression } from "./regression.js";
export type { MeasuredBatch, MeasuredSequence, RegressionOptions } from "./regression.js";
export type {
  CheckpointReport,
  EndReport,
  EvaluationReport,
  StartReport,
  StepReport,
  TrainingReport,
} from "./report.js";
export { sequenceToSequence } from "./sequence-to-sequence.js";
export type {
  SequencePair,
  SequencePairBatch,
  SequencePairCall,
  SequencePairModel,
  SequenceToSequenceOptions,
} from "./sequence-to-sequence.js";
export { MemoryStorage } from "./storage.js";
export type { CheckpointFiles, CheckpointStorage } from "./storage.js";
export type { Batch, Meter, Metrics, Task } from "./task.js";
export { Trainer } from "./trainer.js";
export type { Callback, TrainerOptions } from "./trainer-options.js";
