/** Memory for the intermediates of whichever plan runs. */

import { layOut, type Life } from "@x/tensor/device";
import { numbersUsage, paddedBytes } from "./buffers.js";
import type { Faults } from "./faults.js";

/** Where an intermediate lies. */
export interface ArenaPlace {
  /** Which arena. */
  readonly arena: number;
  /** Bytes from its start. */
  readonly offset: number;
}

/** Where intermediates lie, and how large the arenas have to be. */
export interface ArenaPlaces {
  /** One per intermediate. */
  readonly places: readonly ArenaPlace[];
  /** One per arena. */
  readonly bytes: readonly number[];
}

/** Lays intermediates of at most `most` bytes each out in arenas of at most `most` bytes: mostly one. */
export function layOutArenas(lives: readonly Life[], most: number): ArenaPlaces {
  const bySize = lives.map((_, i) => i).sort((a, b) => lives[b]!.bytes - lives[a]!.bytes);
  for (let count = 1; ; count++) {
    // Dealt out by size, each gets about as much.
    const hands = Array.from({ length: count }, (_, arena) =>
      bySize.filter((_, rank) => rank % count === arena),
    );
    const layouts = hands.map((hand) => layOut(hand.map((i) => lives[i]!)));
    const bytes = layouts.map((layout) => layout.bytes);
    if (count < lives.length && Math.max(...bytes) > most) continue;
    const places = new Array<ArenaPlace>(lives.length);
    hands.forEach((hand, arena) => {
      hand.forEach((i, rank) => (places[i] = { arena, offset: layouts[arena]!.offsets[rank]! }));
    });
    return { places, bytes };
  }
}

/** The arenas: buffers that are made anew when they are too small. */
export class Arenas {
  readonly #faults: Faults;
  readonly #buffers: (GPUBuffer | undefined)[] = [];

  constructor(faults: Faults) {
    this.#faults = faults;
  }

  /** Bytes of all of them. */
  get bytes(): number {
    return this.#buffers.reduce((sum, buffer) => sum + (buffer?.size ?? 0), 0);
  }

  /** An arena of at least `bytes`. */
  ensure(arena: number, bytes: number): GPUBuffer {
    const before = this.#buffers[arena];
    if (before !== undefined && before.size >= bytes) return before;
    // What was submitted still runs to its end.
    before?.destroy();
    const size = paddedBytes(bytes);
    const buffer = this.#faults.createBuffer({ size, usage: numbersUsage }, () => {
      if (this.#buffers[arena] === buffer) this.#buffers[arena] = undefined;
    });
    this.#buffers[arena] = buffer;
    return buffer;
  }
}
