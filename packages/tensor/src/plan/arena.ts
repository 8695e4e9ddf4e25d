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

/** Places buffers first-fit by time; gaps that touch are joined. */
export function layOut(lives: readonly Life[]): ArenaLayout {
  const offsets = new Array<number>(lives.length).fill(0);
  const byStart = lives.map((_, i) => i).sort((a, b) => lives[a]!.first - lives[b]!.first);
  const byEnd = lives.map((_, i) => i).sort((a, b) => lives[a]!.last - lives[b]!.last);
  const sizeOf = (i: number): number => Math.ceil(lives[i]!.bytes / alignment) * alignment;
  const gaps: Gap[] = [];
  let end = 0;
  let ended = 0;
  for (const i of byStart) {
    while (ended < byEnd.length && lives[byEnd[ended]!]!.last < lives[i]!.first) {
      const gone = byEnd[ended++]!;
      addGap(gaps, { offset: offsets[gone]!, bytes: sizeOf(gone) });
    }
    const bytes = sizeOf(i);
    // The tightest gap leaves the large ones for large buffers.
    let best = -1;
    gaps.forEach((gap, g) => {
      if (gap.bytes >= bytes && (best < 0 || gap.bytes < gaps[best]!.bytes)) best = g;
    });
    if (best >= 0) {
      const gap = gaps[best]!;
      offsets[i] = gap.offset;
      gap.offset += bytes;
      gap.bytes -= bytes;
      if (gap.bytes === 0) gaps.splice(best, 1);
      continue;
    }
    const last = gaps.at(-1);
    const extend = last !== undefined && last.offset + last.bytes === end;
    offsets[i] = extend ? last.offset : end;
    if (extend) gaps.pop();
    end = offsets[i] + bytes;
  }
  return { offsets, bytes: end };
}

function addGap(gaps: Gap[], gap: Gap): void {
  if (gap.bytes === 0) return;
  let at = gaps.findIndex((other) => other.offset > gap.offset);
  if (at < 0) at = gaps.length;
  gaps.splice(at, 0, gap);
  const next = gaps[at + 1];
  if (next !== undefined && gap.offset + gap.bytes === next.offset) {
    gap.bytes += next.bytes;
    gaps.splice(at + 1, 1);
  }
  const before = gaps[at - 1];
  if (before !== undefined && before.offset + before.bytes === gap.offset) {
    before.bytes += gap.bytes;
    gaps.splice(at, 1);
  }
}
