/** Where the buffers of a plan lie, from run to run. */

import type { Bindings, Life } from "@x/tensor/device";
import { checkTensorBytes } from "../sizes.js";
import { layOutArenas } from "./arenas.js";
import { alignedBytes, GpuTensorBuffer, numbersUsage, paddedBytes, type Range } from "./buffers.js";
import type { PlanParts } from "./plan.js";
import type { GpuRuntime } from "./runtime.js";

/**
 * Tensors of up to this many bytes that lie elsewhere in every run, such as losses and batches, are
 * copied to or from memory of the plan: copies are cheaper than bind groups.
 */
const mostCopied = 2 ** 16;

/** Numbers to be copied before or after the kernels run. */
interface Copy {
  readonly from: Range;
  readonly to: Range;
}

/** What a plan has in an arena. */
interface Arena {
  readonly bytes: number;
  /** The buffer that it was in the run before. */
  buffer: GPUBuffer | null;
  /** By plan buffer. */
  readonly offsets: Map<number, number>;
}

/** The memory of a plan. */
export class Places {
  readonly #runtime: GpuRuntime;
  readonly #parts: PlanParts;
  /** Of each plan buffer in the run that was placed last. */
  readonly ranges: Range[];
  /** Those that moved since the set was emptied. */
  readonly moved: Set<number> = new Set();
  /** What to copy before that run, and after it. */
  readonly copiesIn: Copy[] = [];
  readonly copiesOut: Copy[] = [];
  readonly #arenas: Arena[];
  /** The plan's own memory, for what comes from or goes to JavaScript or is copied. */
  readonly #own = new Map<number, Range>();
  /** Plan buffers that are copied. */
  readonly #copied = new Set<number>();
  /** Graph inputs that are overwritten in place. */
  readonly #updated: ReadonlySet<number | null>;
  #ownBytes = 0;

  /** @throws XError `memory` where the GPU can never hold an intermediate */
  constructor(runtime: GpuRuntime, parts: PlanParts) {
    this.#runtime = runtime;
    this.#parts = parts;
    this.ranges = new Array<Range>(parts.buffers.length);
    this.#updated = new Set(parts.graph.updates);
    const { limits } = runtime.device;
    for (const { bytes } of parts.buffers) checkTensorBytes(bytes, limits);
    const lives = livesOf(parts);
    const { places, bytes } = layOutArenas([...lives.values()], limits.maxBufferSize);
    this.#arenas = bytes.map((size) => ({ bytes: size, buffer: null, offsets: new Map() }));
    [...lives.keys()].forEach((at, i) => {
      const { arena, offset } = places[i]!;
      this.#arenas[arena]!.offsets.set(at, offset);
    });
  }

  /** Finds the places of a run, and writes the numbers of JavaScript there. */
  place(bindings: Bindings): void {
    this.#placeIntermediates();
    this.copiesIn.length = 0;
    this.copiesOut.length = 0;
    this.#parts.buffers.forEach((description, at) => {
      if (description.kind === "temporary") return;
      const isInput = description.kind === "input";
      const bound = isInput
        ? bindings.inputs[description.input]!
        : bindings.outputs[description.output]!;
      let range: Range;
      if (!(bound instanceof GpuTensorBuffer)) {
        range = this.#ownRange(at, description.bytes);
        if (bound !== null) this.#runtime.write(range, bound as ArrayBufferView);
      } else {
        bound.checkThere();
        const isUpdated = isInput && this.#updated.has(description.input);
        range = bound;
        if (!isUpdated && this.#isCopied(at, bound)) {
          range = this.#ownRange(at, description.bytes);
          if (isInput) this.copiesIn.push({ from: bound, to: range });
          else this.copiesOut.push({ from: range, to: bound });
        }
      }
      const before = this.ranges[at];
      if (before === undefined || !isSame(before, range)) this.#move(at, range);
    });
  }

  #placeIntermediates(): void {
    this.#arenas.forEach((arena, i) => {
      if (arena.bytes === 0) return;
      const buffer = this.#runtime.arenas.ensure(i, arena.bytes);
      if (buffer === arena.buffer) return;
      arena.buffer = buffer;
      for (const [at, offset] of arena.offsets) {
        this.#move(at, { buffer, offset, size: paddedBytes(this.#parts.buffers[at]!.bytes) });
      }
    });
  }

  #move(at: number, range: Range): void {
    this.ranges[at] = range;
    this.moved.add(at);
  }

  /** Whether a small tensor was elsewhere in the run before, now or at any time. */
  #isCopied(at: number, tensor: GpuTensorBuffer): boolean {
    if (this.#copied.has(at)) return true;
    const before = this.ranges[at];
    if (before === undefined || isSame(before, tensor) || tensor.size > mostCopied) return false;
    this.#copied.add(at);
    return true;
  }

  #ownRange(at: number, bytes: number): Range {
    let range = this.#own.get(at);
    if (range === undefined) {
      const size = paddedBytes(bytes);
      const buffer = this.#runtime.faults.createBuffer({ size, usage: numbersUsage }, () => {
        if (this.#own.delete(at)) this.#count(-size);
      });
      range = { buffer, offset: 0, size };
      this.#own.set(at, range);
      this.#count(size);
    }
    return range;
  }

  #count(bytes: number): void {
    this.#ownBytes += bytes;
    this.#runtime.planBytes += bytes;
  }

  release(): void {
    for (const { buffer } of this.#own.values()) buffer.destroy();
    this.#own.clear();
    this.#count(-this.#ownBytes);
  }
}

function isSame(a: Range, b: Range): boolean {
  return a.buffer === b.buffer && a.offset === b.offset;
}

/** The lives of the intermediates, in launches. */
function livesOf({ buffers, launches }: PlanParts): Map<number, Life> {
  const lives = new Map<number, Life>();
  launches.forEach((launch, time) => {
    for (const buffer of launch.buffers) {
      const description = buffers[buffer]!;
      if (description.kind !== "temporary") continue;
      const life = lives.get(buffer);
      // Also what is empty is bound, at a place of its own.
      const bytes = alignedBytes(description.bytes);
      if (life === undefined) lives.set(buffer, { bytes, first: time, last: time });
      else life.last = time;
    }
  });
  return lives;
}
