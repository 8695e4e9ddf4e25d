/** How fast a model is. */

import { generate } from "../generation/generate.js";
import type { LanguageModel } from "../model/language-model.js";
import type { Metrics } from "../training/task.js";
import { formatBytes, formatCount, formatTable } from "./table.js";

/** Positions at which the time of a token is shown. */
const timedPositions = [100, 2000];

/** What training cost. */
export interface TrainingCosts {
  /** How many of the unit were learned from a second; NaN if no step was timed. */
  readonly perSecond: number;
  /** What the speed counts. */
  readonly unit: string;
  /** The memory in use at its end. */
  readonly bytes: number;
}

/** The small table: what the model predicts, and what training and a token cost. */
export async function measured(
  model: LanguageModel,
  { bitsPerByte, bitsPerToken }: Metrics,
  { perSecond, unit, bytes }: TrainingCosts,
  interrupt: AbortSignal,
): Promise<string> {
  const times = await timeTokens(model, timedPositions, interrupt);
  const rows: [string, string][] = [
    bitsPerByte === undefined
      ? ["bits per token", bitsPerToken!.toFixed(3)]
      : ["bits per byte", bitsPerByte.toFixed(3)],
    [`${unit} a second in training`, Number.isNaN(perSecond) ? "–" : formatCount(perSecond)],
    ["memory", formatBytes(bytes)],
    ...times.map(({ position, milliseconds }): [string, string] => [
      `ms a generated token at position ${formatCount(position)}`,
      milliseconds === null ? "–" : milliseconds.toFixed(2),
    ]),
  ];
  return `${formatTable(rows, [1])}\n`;
}

/** What a token takes after so many others. */
interface TokenTime {
  /** How many tokens came before. */
  readonly position: number;
  /** Median milliseconds; `null` where the model ends before. */
  readonly milliseconds: number | null;
}

/** Tokens that are timed, after those that compile. */
const timed = 16;
const warmUp = 8;

/** How long a token takes at some positions. */
async function timeTokens(
  model: LanguageModel,
  positions: readonly number[],
  interrupt: AbortSignal,
): Promise<TokenTime[]> {
  const { vocabSize, positions: kind, maxSeqLen } = model.config;
  const found: TokenTime[] = [];
  for (const position of positions) {
    const isBeyond = kind === "learned" && position + timed > maxSeqLen;
    if (isBeyond || interrupt.aborted) {
      found.push({ position, milliseconds: null });
      continue;
    }
    const prompt = Array.from({ length: position - warmUp }, (_, i) => (i * 31) % vocabSize!);
    const times: number[] = [];
    const options = { maxNewTokens: warmUp + timed, doSample: true, seed: 0, stopTokens: null };
    let last = performance.now();
    for await (const _ of generate(model, prompt, options)) {
      const now = performance.now();
      times.push(now - last);
      last = now;
    }
    const steady = times.slice(warmUp).sort((a, b) => a - b);
    found.push({ position, milliseconds: steady[steady.length >> 1]! });
  }
  return found;
}
