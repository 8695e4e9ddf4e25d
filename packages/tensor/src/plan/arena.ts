/** Memory for intermediates: buffers whose lives do not overlap share the same place. */

/** When a buffer is first and last touched, in steps, and how large it is. */
export interface Life {
  /** Its size. */
  readonly bytes: number;
  /** The first step that touches it. */
  first: number;
  /** The last step that touches it. */
  last: number;
}

/** Where each buffer lies in the arena and how large the arena is. */
export interface ArenaLayout {
  /** Bytes from the start of the arena, one per buffer. */
  readonly offsets: readonly number[];
  /** Size of the arena. */
  readonly bytes: number;
}

const alignment = 64;

interface Gap {
  offset: number;
  bytes: number;
}

/** The free places of a memory; neighbours are always joined. */
export class Gaps {
  readonly #gaps: Gap[] = [];

  /** Takes a place of `bytes`, or gives `null` where there is none. */
  take(bytes: number): number | null {
    let best: Gap | undefined;
    // The tightest gap leaves the large ones for large buffers.
    for (const gap of this.#gaps) {
      if (gap.bytes >= bytes && (best === undefined || gap.bytes < best.bytes)) best = gap;
    }
    if (best === undefined) return null;
    const { offset } = best;
    best.offset += bytes;
    best.bytes -= bytes;
    if (best.bytes === 0) this.#gaps.splice(this.#gaps.indexOf(best), 1);
    return offset;
  }

  /** Takes what is free before `end`, where a memory is about to grow; gives where that begins. */
  takeBefore(end: number): number {
    const last = this.#gaps.at(-1);
    if (last === undefined || last.offset + last.bytes !== end) return end;
    this.#gaps.pop();
    return last.offset;
  }

  /** Gives a place back. */
  give(offset: number, bytes: number): void {
    if (bytes === 0) return;
    const gaps = this.#gaps;
    let at = gaps.findIndex((other) => other.offset > offset);
    if (at < 0) at = gaps.length;
    const gap = { offset, bytes };
    gaps.splice(at, 0, gap);
    const next = gaps[at + 1];
    if (next !== undefined && offset + bytes === next.offset) {
      gap.bytes += next.bytes;
      gaps.splice(at + 1, 1);
    }
    const before = gaps[at - 1];
    if (before !== undefined && before.offset + before.bytes === offset) {
      before.bytes += gap.bytes;
      gaps.splice(at, 1);
    }
  }
}

/**
 * Places buffers. They are placed in the order of time, which is quick and mostly wastes little; where
 * it wastes more than a tenth, in deep graphs whose layers fit each other badly, the largest first.
 */
export function layOut(lives: readonly Life[]): ArenaLayout {
  const byTime = layOutByTime(lives);
  if (byTime.bytes <= 1.1 * mostAtOnce(lives)) return byTime;
  const bySize = layOutBySize(lives);
  return bySize.bytes < byTime.bytes ? bySize : byTime;
}

function sizeOf({ bytes }: Life): number {
  return Math.ceil(bytes / alignment) * alignment;
}

/** The most bytes that are alive at one time: no arena can be smaller. */
function mostAtOnce(lives: readonly Life[]): number {
  const changes = new Map<number, number>();
  const change = (time: number, bytes: number): void => {
    changes.set(time, (changes.get(time) ?? 0) + bytes);
  };
  for (const life of lives) {
    change(life.first, sizeOf(life));
    change(life.last + 1, -sizeOf(life));
  }
  let [alive, most] = [0, 0];
  for (const time of [...changes.keys()].sort((a, b) => a - b)) {
    alive += changes.get(time)!;
    most = Math.max(most, alive);
  }
  return most;
}

/** Places the largest buffers first, each where it fits between those that live at its time. */
function layOutBySize(lives: readonly Life[]): ArenaLayout {
  const offsets = new Array<number>(lives.length).fill(0);
  const bySize = lives.map((_, i) => i).sort((a, b) => lives[b]!.bytes - lives[a]!.bytes);
  // In the order of their offsets, so that one pass finds the first gap.
  const placed: number[] = [];
  let end = 0;
  for (const i of bySize) {
    const life = lives[i]!;
    const bytes = sizeOf(life);
    let offset = 0;
    for (const other of placed) {
      const { first, last } = lives[other]!;
      if (first > life.last || last < life.first) continue;
      if (offsets[other]! - offset >= bytes) break;
      offset = Math.max(offset, offsets[other]! + sizeOf(lives[other]!));
    }
    offsets[i] = offset;
    end = Math.max(end, offset + bytes);
    const at = placed.findLastIndex((other) => offsets[other]! <= offset);
    placed.splice(at + 1, 0, i);
  }
  return { offsets, bytes: end };
}

/** Places buffers in the order in which they are first touched. */
function layOutByTime(lives: readonly Life[]): ArenaLayout {
  const offsets = new Array<number>(lives.length).fill(0);
  const byStart = lives.map((_, i) => i).sort((a, b) => lives[a]!.first - lives[b]!.first);
  const byEnd = lives.map((_, i) => i).sort((a, b) => lives[a]!.last - lives[b]!.last);
  const gaps = new Gaps();
  let end = 0;
  let ended = 0;
  for (const i of byStart) {
    while (ended < byEnd.length && lives[byEnd[ended]!]!.last < lives[i]!.first) {
      const gone = byEnd[ended++]!;
      gaps.give(offsets[gone]!, sizeOf(lives[gone]!));
    }
    const bytes = sizeOf(lives[i]!);
    const found = gaps.take(bytes);
    offsets[i] = found ?? gaps.takeBefore(end);
    if (found === null) end = offsets[i] + bytes;
  }
  return { offsets, bytes: end };
}
