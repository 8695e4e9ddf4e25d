/** A sequence as it is generated. */

import type { Settings } from "./options.js";
import { TextStream } from "./text-stream.js";

/** Why a sequence ended: at a stop token, at a stop string, or since no more tokens were wanted. */
export type EndReason = "stopToken" | "stopString" | "length";

/** A prompt and what comes after it. */
export class GeneratedRow {
  /** All tokens, the prompt included. */
  readonly sequence: number[];
  /** Why it has ended; `null` before. */
  reason: EndReason | null = null;
  private readonly promptLength: number;
  private readonly stopTokens: ReadonlySet<number>;
  private readonly stream: TextStream | null;

  constructor(prompt: readonly number[], { stopTokens, stopStrings, tokenizer }: Settings) {
    this.sequence = [...prompt];
    this.promptLength = prompt.length;
    this.stopTokens = stopTokens;
    this.stream = tokenizer === null ? null : new TextStream(tokenizer, prompt, stopStrings);
  }

  /** What was generated. */
  get tokens(): number[] {
    return this.sequence.slice(this.promptLength);
  }

  /** The text of what was generated, without what ended it. */
  get text(): string {
    return this.stream?.text ?? "";
  }

  /** Adds a token, the last that is wanted if `isLast`, unless it has ended; gives its text. */
  push(token: number, isLast: boolean): string {
    if (this.reason !== null) return "";
    this.sequence.push(token);
    const isStop = this.stopTokens.has(token);
    let text = isStop ? "" : (this.stream?.push(token) ?? "");
    if (isStop) this.reason = "stopToken";
    else if (this.stream?.hasStopped === true) this.reason = "stopString";
    else if (isLast) this.reason = "length";
    if (this.reason !== null) text += this.stream?.end() ?? "";
    return text;
  }
}
