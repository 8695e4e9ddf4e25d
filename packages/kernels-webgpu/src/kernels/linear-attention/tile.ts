/** How linear attention is cut into work for workgroups. */

import type { Candidate } from "../../native.js";

/** What a workgroup works on at once. */
export interface Tile {
  /** Keys, or queries, of a chunk: the work on scores grows with it, that on states does not. */
  readonly chunk: number;
  /** Columns of the values, and so of the state, that belong to a workgroup. */
  readonly slice: number;
}

/** A length of chunks that is offered to the tuner. */
interface ChunkChoice extends Candidate {
  readonly chunk: number;
}

/** Workgroup memory that every device has; what fits there can be done everywhere. */
const leastBytes = 16384;
/** Beside the matrices: bounds that the invocations share. */
const sharedBytes = 16;
/** From the best to the one that always fits. An invocation computes blocks of 4 × 4. */
const candidates: readonly Tile[] = [
  { chunk: 32, slice: 32 },
  { chunk: 32, slice: 16 },
  { chunk: 32, slice: 8 },
  { chunk: 16, slice: 32 },
  { chunk: 16, slice: 16 },
  { chunk: 16, slice: 8 },
  { chunk: 16, slice: 4 },
];

/** Rows and columns, or keys and scores; columns; values; and the state. */
function bytesOf({ chunk, slice }: Tile, keySize: number): number {
  const state = Math.ceil(keySize / 4) * 4 * slice;
  return 4 * (2 * chunk * chunk + chunk * slice + state) + sharedBytes;
}

/** The next power of two, at least `least`. */
function ceilPower(n: number, least: number): number {
  return Math.max(least, 2 ** Math.ceil(Math.log2(n)));
}

/**
 * The tiles that fit a scan of `length` keys or queries with a state of keySize × valueSize, the best
 * first.
 */
export function tilesFor(
  length: number,
  keySize: number,
  valueSize: number,
  workgroupBytes: number,
): readonly Tile[] {
  const fitting = candidates.filter((tile) => bytesOf(tile, keySize) <= workgroupBytes);
  // Narrow slices have few invocations: they are for states that do not fit otherwise.
  return fitting.filter(
    ({ chunk, slice }) => chunk <= ceilPower(length, 16) && slice <= ceilPower(valueSize, 16),
  );
}

/** Chunks to choose from: those of `most`, and shorter ones that fit as well. */
export function chunksUpTo(most: number): [ChunkChoice, ...ChunkChoice[]] {
  const shorter = candidates.map(({ chunk }) => chunk).filter((chunk) => chunk < most);
  const choiceOf = (chunk: number): ChunkChoice => ({ name: `chunks of ${chunk}`, chunk });
  return [choiceOf(most), ...[...new Set(shorter)].map(choiceOf)];
}

/** Whether some tile fits on every device. */
export function hasTile(keySize: number): boolean {
  return bytesOf(candidates.at(-1)!, keySize) <= leastBytes;
}

/** Workgroups, of two subgroups each, that keep a large device busy. */
const manyWorkgroups = 1024;
/** Sequences of fewer chunks are not worth further launches. */
const fewChunks = 8;

/** A sequence of chunks in pieces that workgroups take at the same time. */
export interface Segments {
  readonly chunks: number;
  /** Segments. */
  readonly count: number;
  /** Chunks of a segment; the last may have fewer. */
  readonly each: number;
}

/**
 * Cuts `chunks` chunks into segments. One where `workgroups` workgroups, the ones of a single segment,
 * fill a device by themselves.
 */
export function segmentsFor(chunks: number, workgroups: number): Segments {
  const isEnough = chunks < fewChunks || 2 * workgroups >= manyWorkgroups;
  const wanted = isEnough ? 1 : Math.ceil(manyWorkgroups / workgroups);
  const each = Math.ceil(chunks / Math.min(wanted, chunks));
  return { chunks, count: Math.ceil(chunks / each), each };
}
