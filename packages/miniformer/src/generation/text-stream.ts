/** Text that ends before certain strings. */

import type { Tokenizer } from "../tokenizers/tokenizer.js";
import { StreamingDecoder } from "./streaming-decoder.js";

/**
 * The text of a sequence as it comes, up to the first stop string. What may be the beginning of one is
 * held back until it turns out not to be.
 */
export class TextStream {
  /** All text so far. */
  text = "";
  /** Whether a stop string has come. */
  hasStopped = false;
  private readonly decoder: StreamingDecoder;
  private readonly stops: readonly string[];
  private held = "";

  constructor(tokenizer: Tokenizer, before: readonly number[], stops: readonly string[]) {
    this.decoder = new StreamingDecoder(tokenizer, before);
    this.stops = stops;
  }

  /** The text that a token brings. */
  push(id: number): string {
    return this.release(this.decoder.push(id), false);
  }

  /** What is left at the end. */
  end(): string {
    return this.release(this.decoder.end(), true);
  }

  private release(piece: string, isEnd: boolean): string {
    if (this.hasStopped) return "";
    const held = this.held + piece;
    const stop = firstOf(held, this.stops);
    this.hasStopped = stop >= 0;
    const end = this.hasStopped ? stop : isEnd ? held.length : beginningOf(held, this.stops);
    const released = held.slice(0, end);
    this.held = held.slice(end);
    this.text += released;
    return released;
  }
}

/** Where the first of the strings begins; −1 if there is none. */
function firstOf(text: string, strings: readonly string[]): number {
  const places = strings.map((string) => text.indexOf(string)).filter((place) => place >= 0);
  return places.length === 0 ? -1 : Math.min(...places);
}

/** Where the end of the text begins that is the beginning of one of the strings. */
function beginningOf(text: string, strings: readonly string[]): number {
  const longest = Math.max(0, ...strings.map(({ length }) => length - 1));
  for (let place = Math.max(0, text.length - longest); place < text.length; place++) {
    const end = text.slice(place);
    if (strings.some((string) => string.startsWith(end))) return place;
  }
  return text.length;
}
