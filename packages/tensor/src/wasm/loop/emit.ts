/** From a strategy to code. */

import type { InsideExpression } from "../../plan/loop.js";
import { type I32, i32, i32x4, type V128 } from "../assembler/index.js";
import { integer, type MathContext } from "../math/index.js";
import { Accumulator } from "./accumulator.js";
import { type Block, keyOf, Nest, type Part, partOf, type Values } from "./nest.js";
import type { Strategy } from "./strategy.js";
import { type Tile, transpose } from "./tile.js";
import { betweenBorders, type Range, vectorLoop } from "./vector-loop.js";

// Rows that are added up in registers before the sum goes through memory.
const rowBlock = 8;

// From this length of the vector loop on it is worthwhile to go from border to border.
const borderLength = 64;

/** Writes the items `begin … end - 1` of a kernel into a function. */
export function emitLoop(
  c: MathContext,
  strategy: Strategy,
  args: I32,
  begin: I32,
  end: I32,
): void {
  new LoopEmitter(c, strategy, args).items(begin, end);
}

class LoopEmitter {
  private readonly c: MathContext;
  private readonly strategy: Strategy;
  private readonly nest: Nest;
  private readonly ranges: Range[];
  /** The innermost loop. */
  private readonly last: number;
  private readonly body: Part;
  private readonly epilogue: Part;
  /** Conditions that are the same for all lanes between borders. */
  private readonly settling: readonly InsideExpression[];
  /** Values computed outside of the current loop. */
  private known: Values = new Map();
  /** The blocks of vectors inside of which reduced loops turn. */
  private blocks: readonly Block[] = [];

  constructor(c: MathContext, strategy: Strategy, args: I32) {
    const { kernel, vector } = strategy;
    const { extents, reducer, stores } = kernel;
    this.c = c;
    this.strategy = strategy;
    this.nest = new Nest(c, kernel, vector, args);
    this.last = extents.length - 1;
    this.ranges = extents.map((extent) => ({ from: 0, to: extent, granule: extent }));
    const results = stores.map((store) => store.expression);
    const several = stores.length > 1 ? results : [];
    const settles = vector === this.last && extents[vector]! >= borderLength;
    const plain = partOf(kernel.body, vector, settles);
    const { levels, varying } = plain;
    // What is computed outside of the innermost loop is used inside of it.
    const early = (reducer ? [kernel.body.length - 1] : results).filter(
      (root) => levels[root]! < this.last || !varying[root],
    );
    const outliving = [...plain.outliving, ...early, ...(reducer ? [] : several)];
    this.body = { ...plain, outliving: new Set(outliving) };
    this.epilogue = partOf(kernel.epilogue, vector, false, several);
    this.settling = kernel.body.filter(
      (e, i): e is InsideExpression =>
        e.kind === "inside" && levels[i] === vector && !varying[i] && settles,
    );
  }

  /** All items: their numbers are taken apart into counters and ranges of the divided loops. */
  items(begin: I32, end: I32): void {
    const { f } = this.c;
    const { axes, kernel, parts } = this.strategy;
    this.hoist(-1);
    if (axes.length === 0) {
      this.item();
      return;
    }
    const item = f.local(i32);
    f.for(item, begin, end, 1, () => {
      let rest: I32 = item;
      axes.toReversed().forEach(({ loop, chunk }, fromLast) => {
        const extent = kernel.extents[loop]!;
        const pieces = Math.ceil(extent / chunk);
        const isFirst = fromLast === axes.length - 1;
        const piece = f.let(isFirst ? rest : rest.remainderUnsigned(pieces));
        this.ranges[loop] = this.piece(piece, chunk, extent);
        if (!isFirst) rest = f.let(rest.divideUnsigned(pieces));
        else if (parts) {
          this.ranges[parts.loop] = this.piece(piece, parts.chunk, kernel.extents[parts.loop]!);
        }
      });
      this.item();
    });
  }

  private piece(piece: I32, chunk: number, extent: number): Range {
    const { f } = this.c;
    const from = f.keep(piece.multiply(chunk));
    const end = f.let(from.add(chunk));
    const even = extent % chunk === 0;
    const to = even ? end : f.let(end.minimum(extent));
    return { from, to, granule: even ? chunk : gcd(chunk, extent) };
  }

  private item(): void {
    const { form, kernel, vector, parts, tile } = this.strategy;
    if (tile) this.tiles(tile);
    else if (form === "inner") {
      this.walk(0, kernel.outputRank, () => {
        this.reduceInner();
      });
    } else {
      this.walk(0, vector, () => {
        if (parts) this.reduceRows(parts.loop);
        else {
          this.vectorLoop(this.ranges[vector]!, (blocks) => {
            if (form === "outer") this.reduceBlocks(blocks);
            else for (const block of blocks) this.mapBlock(block);
          });
        }
      });
    }
  }

  /** Runs the loops `loop … stop - 1` around `inner`. */
  private walk(loop: number, stop: number, inner: () => void, flush?: () => void): void {
    if (loop >= stop) {
      inner();
      return;
    }
    const turn = (counter: I32): void => {
      this.nest.enter(loop, counter, () => {
        this.scoped(() => {
          this.hoist(loop);
          this.walk(loop + 1, stop, inner, flush);
        });
      });
    };
    const range = this.ranges[loop]!;
    if (this.strategy.axes.some((axis) => axis.loop === loop && axis.chunk === 1)) {
      turn(i32.from(range.from));
      return;
    }
    this.flushed(loop, range, flush, ({ from, to }) => {
      const { f } = this.c;
      const counter = f.local(i32);
      f.for(counter, from, to, 1, () => {
        turn(counter);
      });
    });
  }

  /** Runs a loop's range, in pieces with a flush after each where the strategy wants that. */
  private flushed(
    loop: number,
    range: Range,
    flush: (() => void) | undefined,
    run: (range: Range) => void,
  ): void {
    const plan = this.strategy.flush;
    if (!flush || plan?.loop !== loop) {
      run(range);
      return;
    }
    this.chunked(range, plan.chunk, (piece) => {
      run(piece);
      flush();
    });
  }

  private chunked({ from, to, granule }: Range, chunk: number, run: (range: Range) => void): void {
    const { f } = this.c;
    const end = f.keep(i32.from(to));
    const [start, stop] = [f.local(i32), f.local(i32)];
    f.for(start, from, end, chunk, () => {
      f.set(stop, start.add(chunk));
      f.set(stop, stop.minimum(end));
      run({ from: start, to: stop, granule: gcd(chunk, granule) });
    });
  }

  /** Forgets afterwards what came to be known. */
  private scoped(body: () => void): void {
    const { known } = this;
    this.known = new Map(known);
    body();
    this.known = known;
  }

  /** Evaluates what depends on a loop, and on none inside of it. */
  private hoist(level: number): void {
    this.evaluate(level, false, null);
    if (level < this.last) for (const block of this.blocks) this.evaluate(level, true, block);
  }

  // The values of a level that are not known yet, of those whose lanes may differ or of the others.
  private evaluate(level: number, varies: boolean, block: Block | null): void {
    const { body, known, nest } = this;
    const which = [...body.list.keys()].filter(
      (i) =>
        body.levels[i] === level && body.varying[i] === varies && !known.has(keyOf(body, i, block)),
    );
    nest.evaluate(body, which, block, known);
  }

  /** Runs the vector loop, with borders where reads depend on them. */
  private vectorLoop(range: Range, body: (blocks: readonly Block[]) => void): void {
    const { nest, settling } = this;
    const run = (part: Range, unroll: number): void => {
      vectorLoop(nest, part, unroll, (blocks) => {
        this.scoped(() => {
          body(blocks);
        });
      });
    };
    if (settling.length === 0) {
      run(range, this.strategy.unroll);
      return;
    }
    betweenBorders(nest, range, settling, (part) => {
      this.scoped(() => {
        this.hoist(this.last);
        run(part, 1);
      });
    });
  }

  // The value of an expression for a block in the innermost loop.
  private bodyValue(position: number, block: Block): V128 {
    return this.known.get(keyOf(this.body, position, block))!;
  }

  private mapBlock(block: Block): void {
    this.scoped(() => {
      this.evaluate(this.last, true, block);
      this.store(this.body, this.known, block);
    });
  }

  private store(part: Part, values: Values, block: Block | null): void {
    for (const store of this.strategy.kernel.stores) {
      const value = values.get(keyOf(part, store.expression, block))!;
      this.nest.store(store, part.list[store.expression]!.dtype, value, block);
    }
  }

  /** Runs a kernel tile by tile: several turns of a loop at a time, then those that are left. */
  private tiles({ loop, rows, loads }: Tile): void {
    const { kernel, vector } = this.strategy;
    const { nest } = this;
    const { f } = this.c;
    const extent = kernel.extents[loop]!;
    const even = extent - (extent % rows);
    const counter = f.local(i32);
    const turn = (count: number): void => {
      nest.enter(loop, counter, () => {
        // What does not depend on lanes is known for each row before the vectors come.
        const outside = this.known;
        const known = Array.from({ length: count }, (_, distance) => {
          this.known = new Map(outside);
          nest.atRow(loop, distance, () => {
            this.hoist(loop);
          });
          return this.known;
        });
        vectorLoop(nest, this.ranges[vector]!, 1, ([block]) => {
          const values = known.map((row) => new Map(row));
          values.forEach((row, distance) => {
            // Four rows at a time read what runs along them.
            if (distance % 4 === 0 && count > 1 && !block!.lanes) {
              this.loadTransposed(loop, values, distance, loads, block!);
            }
            this.known = row;
            nest.atRow(loop, distance, () => {
              this.mapBlock(block!);
            });
          });
        });
        this.known = outside;
      });
    };
    this.walk(0, loop, () => {
      f.for(counter, 0, even, rows, () => {
        turn(rows);
      });
      f.for(counter, even, extent, 1, () => {
        turn(1);
      });
    });
  }

  // Reads what runs along a tile's loop, for four rows from `first` on.
  private loadTransposed(
    loop: number,
    values: readonly Values[],
    first: number,
    loads: readonly number[],
    block: Block,
  ): void {
    for (const position of loads) {
      const e = this.body.list[position]!;
      if (e.kind !== "load") continue;
      this.nest.atRow(loop, first, () => {
        const vectors = [0, 1, 2, 3].map((lane) => this.nest.loadAlongRows(e, lane));
        transpose(this.c, vectors).forEach((vector, row) => {
          values[first + row]!.set(keyOf(this.body, position, block), vector);
        });
      });
    }
  }

  private accumulators(count: number): Accumulator[] {
    const { kernel, flush } = this.strategy;
    const { dtype } = kernel.body.at(-1)!;
    return Array.from(
      { length: count },
      () => new Accumulator(this.c, kernel.reducer!, dtype, flush !== null),
    );
  }

  /** Adds the body's value for a block to an accumulator. */
  private accumulate(accumulator: Accumulator, block: Block, masked: boolean): void {
    const { position } = this.strategy.kernel;
    this.scoped(() => {
      this.evaluate(this.last, true, block);
      accumulator.add(
        this.bodyValue(this.body.list.length - 1, block),
        masked && block.lanes ? this.laneMask(block.lanes) : null,
        position && this.nest.indexLanes(position, block),
      );
    });
  }

  // Bits of lanes as a mask.
  private laneMask(lanes: I32): V128 {
    const bits = this.c.f.constant(i32x4.const(1, 2, 4, 8));
    return i32x4.notEqual(i32x4.splat(lanes).and(bits), integer(this.c, 0));
  }

  /** A reduction whose elements lie along the vector loop. */
  private reduceInner(): void {
    const { kernel, vector, unroll } = this.strategy;
    const accumulators = this.accumulators(unroll);
    const flush = (): void => {
      for (const accumulator of accumulators) accumulator.flush();
    };
    const row = (): void => {
      this.flushed(vector, this.ranges[vector]!, flush, (range) => {
        this.vectorLoop(range, (blocks) => {
          blocks.forEach((block, u) => {
            this.accumulate(accumulators[u]!, block, true);
          });
        });
      });
    };
    this.walk(kernel.outputRank, vector, row, flush);
    const [first, ...others] = accumulators;
    for (const other of others) first!.merge(other);
    this.finish(first!.acrossLanes(), null);
  }

  /** Reductions of neighbouring outputs, a lane each. */
  private reduceBlocks(blocks: readonly Block[]): void {
    const accumulators = this.reduceLoops(blocks, this.strategy.vector + 1);
    blocks.forEach((block, u) => {
      this.finish(accumulators[u]!.result(), block);
    });
  }

  // The reduced loops inside the vector loop.
  private reduceLoops(blocks: readonly Block[], from: number): readonly Accumulator[] {
    const accumulators = this.accumulators(blocks.length);
    this.blocks = blocks;
    this.hoist(this.strategy.vector);
    const flush = (): void => {
      for (const accumulator of accumulators) accumulator.flush();
    };
    const add = (): void => {
      blocks.forEach((block, u) => {
        this.accumulate(accumulators[u]!, block, false);
      });
    };
    this.walk(from, this.last + 1, add, flush);
    return accumulators;
  }

  /**
   * Part of a reduction over rows: a few rows at a time are added to partial results in memory, so
   * that memory is read in long stretches.
   */
  private reduceRows(rows: number): void {
    const { kernel, vector } = this.strategy;
    const { f } = this.c;
    const range = this.ranges[rows]!;
    const from = i32.from(range.from);
    const partial = kernel.stores[0]!;
    this.chunked(range, rowBlock, (piece) => {
      this.ranges[rows] = piece;
      this.vectorLoop(this.ranges[vector]!, (blocks) => {
        const accumulators = this.reduceLoops(blocks, rows);
        blocks.forEach((block, u) => {
          const accumulator = accumulators[u]!;
          f.if(i32.from(piece.from).notEqual(from), () => {
            accumulator.add(this.nest.loadLanes(partial, block, block.lanes), null, null);
          });
          this.nest.store(partial, partial.stored, accumulator.result(), block);
        });
      });
    });
    this.ranges[rows] = range;
  }

  /** Evaluates the epilogue on a result and stores. */
  private finish(result: V128, block: Block | null): void {
    const { epilogue, c } = this;
    const kept = c.f.keep(result);
    const { list } = epilogue;
    const values: Values = new Map();
    list.forEach((e, i) => {
      if (e.kind === "reduced") values.set(keyOf(epilogue, i, block), kept);
    });
    this.nest.evaluate(epilogue, [...list.keys()], block, values);
    this.store(epilogue, values, block);
  }
}

function gcd(a: number, b: number): number {
  return b === 0 ? a : gcd(b, a % b);
}
