/** What the page and its worker tell each other. */

import type { ModelShape } from "../../src/main-job/model.js";

/** Where to compute. */
export type DeviceName = "wasm" | "webgpu";

/** What is told of a step. */
export interface StepReport {
  /** Steps done. */
  readonly step: number;
  /** Bits per byte: of this step, and over the latest ones. */
  readonly loss: number;
  readonly average: number;
  /** Over the latest steps. */
  readonly tokensPerSecond: number;
}

/** Asks to train a model and let it write. */
export interface TrainingRequest {
  readonly kind: "train";
  readonly device: DeviceName;
  readonly shape: ModelShape;
  /** A name of the table of mechanisms. */
  readonly mechanism: string;
  readonly steps: number;
  readonly batch: number;
  /** Highest learning rate. */
  readonly rate: number;
  /** A file, or the address of the text. */
  readonly text: File | string;
  /** Bytes to write at the end. */
  readonly generate: number;
}

/** Asks to time attention for lengths up to the longest. */
export interface AttentionRequest {
  readonly kind: "attention";
  readonly device: DeviceName;
  readonly longest: number;
  /** Names of the table of mechanisms; the others are compared with the first. */
  readonly mechanisms: readonly string[];
}

/** What a worker can be told to do: one job, which can then be paused and stopped. */
export type Request =
  TrainingRequest | AttentionRequest | { readonly kind: "pause" | "resume" | "stop" };

/** What was found of one mechanism. */
export interface MeasuredAttention {
  readonly mechanism: string;
  /** The median. */
  readonly milliseconds: number;
  /** The largest error against float64, relative to the largest element; `null` where it is not known. */
  readonly error: number | null;
  /** How far the result is from that of the first mechanism, over its size; root mean squares. */
  readonly distance: number;
}

/** What was found for one length. */
export interface AttentionRow {
  readonly length: number;
  readonly measured: readonly MeasuredAttention[];
}

/** What a worker tells. */
export type Report =
  /** What it computes on, as a sentence. */
  | { readonly kind: "device"; readonly sentence: string }
  /** What it is doing, as a sentence. */
  | { readonly kind: "status"; readonly sentence: string }
  | { readonly kind: "step"; readonly step: StepReport }
  | { readonly kind: "row"; readonly row: AttentionRow }
  /** Part of what the model writes. */
  | { readonly kind: "writing"; readonly text: string }
  /** The job is over. */
  | { readonly kind: "finished"; readonly sentence: string }
  | { readonly kind: "failed"; readonly sentence: string };
