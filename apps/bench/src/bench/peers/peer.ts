/** What every library that is compared has to do, behind one small interface. */

/** A computation that libraries are compared on. */
export type Task = ArrayTask | AttentionTask | TrainTask | DecodeTask;

/** One that every library can do. Matrices are row-major float32. */
export type ArrayTask =
  | { readonly op: "matmul"; readonly m: number; readonly k: number; readonly n: number }
  /** Over the last axis of [rows, columns]. */
  | { readonly op: "softmax"; readonly rows: number; readonly columns: number }
  /** Over the last axis, with weight and bias. */
  | { readonly op: "layerNorm"; readonly rows: number; readonly columns: number }
  /** x Φ(x), with erf. */
  | { readonly op: "gelu"; readonly size: number }
  /** tanh(a · b + a) · 0.5 + b. */
  | { readonly op: "chain"; readonly size: number };

/** A training step of a GPT: softmax attention, GELU, pre-norm, Adam, cross entropy. */
export interface TrainTask {
  readonly op: "train";
  readonly batch: number;
  readonly context: number;
  readonly width: number;
  readonly layers: number;
  readonly heads: number;
  readonly vocabulary: number;
  readonly rate: number;
}

/** Attention over [1, heads, length, dim], forward or with the gradients of q, k and v. */
export interface AttentionTask {
  readonly op: "attention";
  /** A form of `attention-forms.ts`. */
  readonly kind: string;
  readonly heads: number;
  readonly length: number;
  readonly dim: number;
  readonly backward: boolean;
  /** Whether every query sees every key. Default: causal. */
  readonly isFull?: boolean;
}

/** Decoding one token after the other from `position` on, each the input of the next. */
export interface DecodeTask {
  readonly op: "decode";
  /** A mechanism in the encoder that takes any; `trim encoder`: the encoder of `@x/trim`. */
  readonly kind: string;
  readonly position: number;
  readonly width: number;
  readonly layers: number;
  readonly heads: number;
}

/** Whether every library can do a task. */
export function isArrayTask(task: Task): task is ArrayTask {
  return task.op !== "attention" && task.op !== "train" && task.op !== "decode";
}

/** A task made ready to run again and again on the same inputs. */
export interface Prepared {
  /** Computes once; resolves when the result is there. */
  run(): Promise<void> | void;
  /** Waits until everything is computed, where `run` only asks for it. */
  settle?(): Promise<void>;
  /** The result of the latest run, to check that everybody computed the same. */
  result(): Promise<Float32Array>;
  /** Other facts about the latest run, such as bytes, where the library tells. */
  figures?(): Readonly<Record<string, number>>;
  release(): void;
}

/** A library. */
export interface Peer {
  readonly name: string;
  /** How it was set up, for the report. */
  readonly settings: string;
  /** `null` where the library cannot do the task. */
  prepare(task: Task, inputs: readonly Float32Array[]): Promise<Prepared | null>;
}

/** The inputs a task takes, by shape; training and decoding make their own. */
export function inputShapes(task: Task): readonly (readonly number[])[] {
  switch (task.op) {
    case "matmul":
      return [
        [task.m, task.k],
        [task.k, task.n],
      ];
    case "softmax":
      return [[task.rows, task.columns]];
    case "layerNorm":
      return [[task.rows, task.columns], [task.columns], [task.columns]];
    case "gelu":
      return [[task.size]];
    case "chain":
      return [[task.size], [task.size]];
    case "train":
    case "decode":
      return [];
    case "attention": {
      const shape = [1, task.heads, task.length, task.dim];
      return [shape, shape, shape];
    }
  }
}

/** The shape of a task's result. */
export function outputShape(task: ArrayTask): readonly number[] {
  if (task.op === "matmul") return [task.m, task.n];
  return inputShapes(task)[0] ?? [];
}

/** A task for people. */
export function formatTask(task: Task): string {
  switch (task.op) {
    case "matmul":
      return `${task.m}×${task.k}×${task.n}`;
    case "softmax":
    case "layerNorm":
      return `${task.op} ${task.rows}×${task.columns}`;
    case "train":
      return `training step, ${task.layers} layers of ${task.width}, context ${task.context}`;
    case "decode":
      return `${task.kind}, a token at position ${task.position}`;
    case "attention":
      return `${task.kind} N=${task.length}${task.backward ? " with gradients" : ""}`;
    default:
      return `${task.op} ${task.size}`;
  }
}

/** The tokens of a training step and the one that follows them: a sequence with structure to learn. */
export function trainingTokens({ batch, context, vocabulary }: TrainTask): Int32Array {
  return Int32Array.from(
    { length: batch * context + 1 },
    (_, i) => (i * 7 + Math.floor(i / 5) * 3) % vocabulary,
  );
}
