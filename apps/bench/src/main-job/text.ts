/** The text a run learns from, and the part held out to judge it by. */

import { XError } from "@x/tensor";

/** Text as bytes, in two parts. */
export interface Corpus {
  readonly training: Uint8Array;
  readonly heldOut: Uint8Array;
}

/** One block in this many is held out. */
const heldOutShare = 20;
const blockBytes = 2048;

/**
 * Splits text for windows of `length` bytes. Every twentieth block of 2 KiB is held out, so that
 * both parts are of the same kind.
 */
export function splitText(bytes: Uint8Array, length: number): Corpus {
  const training: Uint8Array[] = [];
  const heldOut: Uint8Array[] = [];
  for (let start = 0, block = 0; start < bytes.length; start += blockBytes, block++) {
    const part = bytes.subarray(start, start + blockBytes);
    (block % heldOutShare === heldOutShare - 1 ? heldOut : training).push(part);
  }
  const corpus = { training: joined(training), heldOut: joined(heldOut) };
  const least = length + 1;
  if (corpus.heldOut.length < least || corpus.training.length < least) {
    throw new XError(
      "argument",
      `text: both parts must be longer than windows of ${length}, got ${corpus.training.length} bytes to learn from and ${corpus.heldOut.length} held out. Take a longer text (at least ${heldOutShare * Math.max(least, blockBytes)} bytes) or shorter windows.`,
    );
  }
  return corpus;
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let start = 0;
  for (const part of parts) {
    whole.set(part, start);
    start += part.length;
  }
  return whole;
}

/** Tokens and the tokens that follow them, both [batch, length] in row-major order. */
export interface Windows {
  readonly tokens: Int32Array;
  readonly targets: Int32Array;
}

/** Windows of `bytes` from the given starts. */
export function windowsAt(bytes: Uint8Array, starts: readonly number[], length: number): Windows {
  const tokens = new Int32Array(starts.length * length);
  const targets = new Int32Array(starts.length * length);
  starts.forEach((start, row) => {
    tokens.set(bytes.subarray(start, start + length), row * length);
    targets.set(bytes.subarray(start + 1, start + length + 1), row * length);
  });
  return { tokens, targets };
}
