/** Writing on, byte by byte, with a state of constant size. */

import { fromData, multinomial, noGrad } from "@x/tensor";
import type { ByteLanguageModel } from "./model.js";

/** What is told of the writing. */
export interface Generated {
  readonly bytes: number;
  /** Median milliseconds a byte, without the first ones. */
  readonly milliseconds: number;
}

/** Sharpens the probabilities: below 1 the model is more careful. */
const temperature = 0.8;

/**
 * Lets the model go on from `prompt` for `count` bytes, handing over text as it comes. Every step
 * costs the same: the state does not grow. The signal ends it early.
 */
export async function generate(
  model: ByteLanguageModel,
  prompt: string,
  count: number,
  write: (text: string) => void,
  signal: AbortSignal,
): Promise<Generated> {
  const state = model.initState(1);
  const decoder = new TextDecoder();
  let next: Uint8Array = new TextEncoder().encode(prompt);
  write(prompt);
  const times: number[] = [];
  for (let i = 0; i < count && !signal.aborted; i++) {
    const start = performance.now();
    const bytes = fromData(Int32Array.from(next), [1, next.length]);
    const byte = await noGrad(() => {
      const logits = model.step(bytes, state).div(temperature);
      return multinomial(logits.softmax(-1), 1);
    }).item();
    times.push(performance.now() - start);
    next = Uint8Array.of(byte);
    write(decoder.decode(next, { stream: true }));
  }
  const steady = times.slice(Math.min(20, times.length >> 1)).sort((a, b) => a - b);
  return { bytes: times.length, milliseconds: steady[steady.length >> 1] ?? NaN };
}
