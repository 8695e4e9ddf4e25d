/** From a strategy to code. */

import type { Expression } from "../../plan/loop.js";
import { type I32, i32, i32x4, type V128 } from "../assembler/index.js";
import { integer, type MathContext } from "../math/index.js";
import { Accumulator } from "./accumulator.js";
import { type Block, type Dependence, dependencesOf, Nest, type Values } from "./nest.js";
import { operandsOf } from "./normalize.js";
import type { Strategy } from "./strategy.js";
import { type Tile, transpose } from "./tile.js";
import { borderedVectorLoop, plainVectorLoop, type Range } from "./vector-loop.js";

// Rows that are added up in registers before the sum goes through memory.
const rowBlock = 8;

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
  private readonly dependences: readonly Dependence[];
  /** Expressions whose values are used where deeper loops turn, or by other blocks. */
  private readonly outliving = new Set<number>();
  /** Values computed outside of the current loop: the same for all lanes, or by first lane. */
  private shared: Values = new Map();
  private byBlock = new Map<number, Values>();
  /** The blocks of vectors inside of which reduced loops turn. */
  private blocks: readonly Block[] = [];

  constructor(c: MathContext, strategy: Strategy, args: I32) {
    const { kernel, vector } = strategy;
    this.c = c;
    this.strategy = strategy;
    this.nest = new Nest(c, kernel, vector, args);
    this.last = kernel.extents.length - 1;
    this.ranges = kernel.extents.map((extent) => ({ from: 0, to: extent, granule: extent }));
    this.dependences = dependencesOf(kernel.body, vector);
    kernel.body.forEach((e, position) => {
      const own = this.dependences[position]!;
      for (const operand of operandsOf(e)) {
        const other = this.dependences[operand]!;
        const elsewhere = own.level > other.level || own.varying !== other.varying;
        if (elsewhere || own.dynamic !== other.dynamic) this.outliving.add(operand);
      }
    });
    for (const root of this.roots()) {
      const { level, dynamic } = this.dependences[root]!;
      const several = kernel.stores.length > 1 && !kernel.reducer;
      if (level < this.last || !dynamic || several) this.outliving.add(root);
    }
  }

  /** What the body is evaluated for. */
  private roots(): readonly number[] {
    const { kernel } = this.strategy;
    return kernel.reducer
      ? [kernel.body.length - 1]
      : kernel.stores.map((store) => store.expression);
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
      [...axes].reverse().forEach(({ loop, chunk }, fromLast) => {
        const extent = kernel.extents[loop]!;
        const pieces = Math.ceil(extent / chunk);
        const isFirst = fromLast === axes.length - 1;
        const piece = f.let(isFirst ? rest : rest.remainderUnsigned(pieces));
        this.ranges[loop] = this.piece(piece, chunk, extent);
        if (!isFirst) rest = f.let(rest.divideUnsigned(pieces));
        if (parts && loop === 0) {
          const { loop: reduced, chunk: turns } = parts;
          this.ranges[reduced] = this.piece(piece, turns, kernel.extents[reduced]!);
        }
      });
      this.item();
    });
  }

  private piece(piece: I32, chunk: number, extent: number): Range {
    const { f } = this.c;
    if (chunk === 1) return { from: piece, to: f.let(piece.add(1)), granule: 1 };
    const from = f.let(piece.multiply(chunk));
    const end = f.let(from.add(chunk));
    const even = extent % chunk === 0;
    const to = even ? end : f.let(end.minimum(extent));
    return { from, to, granule: even ? chunk : gcd(chunk, extent) };
  }

  private item(): void {
    const { form, kernel, vector, parts } = this.strategy;
    switch (form) {
      case "map":
        if (this.strategy.tile) {
          this.tiles(this.strategy.tile);
          break;
        }
        this.walk(0, vector, () => {
          this.vectorLoop(this.ranges[vector]!, (blocks) => {
            for (const block of blocks) this.mapBlock(block);
          });
        });
        break;
      case "inner":
        this.walk(0, kernel.outputRank, () => {
          this.reduceInner();
        });
        break;
      case "outer":
        this.walk(0, vector, () => {
          if (parts) this.reduceRows(parts.loop);
          else {
            this.vectorLoop(this.ranges[vector]!, (blocks) => {
              this.reduceBlocks(blocks);
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
    const range = this.ranges[loop]!;
    const single = this.strategy.axes.some((axis) => axis.loop === loop && axis.chunk === 1);
    const turn = (counter: I32): void => {
      this.nest.enter(loop, counter, () => {
        this.scoped(() => {
          this.hoist(loop);
          this.walk(loop + 1, stop, inner, flush);
        });
      });
    };
    if (single) {
      turn(i32.from(range.from));
      return;
    }
    this.blocked(loop, range, flush, ({ from, to }) => {
      const { f } = this.c;
      const counter = f.local(i32);
      f.for(counter, from, to, 1, () => {
        turn(counter);
      });
    });
  }

  /** Runs a loop's range, in pieces with a flush after each where the strategy wants that. */
  private blocked(
    loop: number,
    range: Range,
    flush: (() => void) | undefined,
    run: (range: Range) => void,
  ): void {
    const { f } = this.c;
    const plan = this.strategy.flush;
    if (!flush || plan?.loop !== loop) {
      run(range);
      return;
    }
    const to = f.keep(i32.from(range.to));
    const [start, stop] = [f.local(i32), f.local(i32)];
    f.for(start, range.from, to, plan.chunk, () => {
      f.set(stop, start.add(plan.chunk));
      f.set(stop, stop.minimum(to));
      run({ from: start, to: stop, granule: gcd(plan.chunk, range.granule) });
      flush();
    });
  }

  /** Restores the known values afterwards. */
  private scoped(body: () => void): void {
    const [shared, byBlock] = [this.shared, this.byBlock];
    this.shared = new Map(shared);
    this.byBlock = new Map(byBlock);
    body();
    this.shared = shared;
    this.byBlock = byBlock;
  }

  // Positions that are computed at a level and pass a test.
  private positionsAt(level: number, test: (dependence: Dependence) => boolean): number[] {
    return this.dependences.flatMap((d, i) => (d.level === level && test(d) ? [i] : []));
  }

  /** Evaluates what depends on no loop inside of `level`. */
  private hoist(level: number): void {
    const same = this.positionsAt(level, (d) => !d.varying);
    this.evaluate(same, null, this.shared);
    if (level === this.last) return;
    const varying = this.positionsAt(level, (d) => d.varying);
    if (varying.length > 0) for (const block of this.blocks) this.evaluate(varying, block);
  }

  private evaluate(which: readonly number[], block: Block | null, into?: Values): void {
    const { kernel } = this.strategy;
    let values = into;
    if (!values) {
      values = new Map([...this.shared, ...(this.byBlock.get(block!.first) ?? [])]);
      this.byBlock.set(block!.first, values);
    }
    this.nest.evaluate(kernel.body, which, this.dependences, block, values, (position) =>
      this.outliving.has(position),
    );
  }

  /** The values of the innermost level for a block. */
  private bodyValues(block: Block): Values {
    const { shared, byBlock } = this;
    this.byBlock = new Map(byBlock);
    const settled = block.states !== null;
    this.evaluate(
      this.positionsAt(this.last, (d) => d.varying && !(settled && !d.dynamic)).filter(
        (position) => !shared.has(position),
      ),
      block,
    );
    const values = this.byBlock.get(block.first)!;
    this.byBlock = byBlock;
    this.shared = shared;
    return values;
  }

  /** Runs the vector loop, with borders where reads depend on them. */
  private vectorLoop(range: Range, body: (blocks: readonly Block[]) => void): void {
    const { kernel, vector, unroll } = this.strategy;
    const insides = new Map<number, Expression & { readonly kind: "inside" }>();
    if (vector === this.last) {
      kernel.body.forEach((e, i) => {
        if (e.kind === "inside" && this.dependences[i]!.varying) insides.set(i, e);
      });
    }
    if (insides.size === 0) {
      plainVectorLoop(this.nest, range, unroll, (blocks) => {
        this.scoped(() => {
          body(blocks);
        });
      });
      return;
    }
    this.scoped(() => {
      const outside = this.byBlock;
      const enterSegment = (block: Block): void => {
        this.byBlock = new Map();
        this.evaluate(
          this.positionsAt(this.last, (d) => d.varying && !d.dynamic),
          block,
        );
      };
      borderedVectorLoop(this.nest, range, { insides, enterSegment }, (blocks) => {
        if (blocks[0]!.states === null) this.byBlock = outside;
        body(blocks);
      });
    });
  }

  private mapBlock(block: Block): void {
    const { kernel } = this.strategy;
    const values = this.bodyValues(block);
    for (const store of kernel.stores) {
      const value = values.get(store.expression)!;
      this.nest.store(store, kernel.body[store.expression]!.dtype, value, block);
    }
  }

  /** Runs a kernel tile by tile: several turns of a loop at a time, then those that are left. */
  private tiles({ loop, rows, loads }: Tile): void {
    const { kernel, vector } = this.strategy;
    const { f } = this.c;
    const extent = kernel.extents[loop]!;
    const even = extent - (extent % rows);
    const counter = f.local(i32);
    const turn = (distances: readonly number[]): void => {
      this.nest.enter(loop, counter, () => {
        // What does not depend on lanes is known for each row before the vectors come.
        const outside = this.shared;
        const known = distances.map((distance) => {
          this.shared = new Map(outside);
          this.nest.atRow(loop, distance, () => {
            this.hoist(loop);
          });
          return this.shared;
        });
        plainVectorLoop(this.nest, this.ranges[vector]!, 1, ([block]) => {
          for (let first = 0; first < distances.length; first += 4) {
            const transposed =
              distances.length > 1 && !block!.lanes ? this.loadTransposed(loop, first, loads) : [];
            for (const distance of distances.slice(first, first + 4)) {
              this.shared = new Map([...known[distance]!, ...(transposed[distance % 4] ?? [])]);
              this.nest.atRow(loop, distance, () => {
                this.mapBlock(block!);
              });
            }
          }
        });
        this.shared = outside;
      });
    };
    this.walk(0, loop, () => {
      f.for(counter, 0, even, rows, () => {
        turn(Array.from({ length: rows }, (_, distance) => distance));
      });
      f.for(counter, even, extent, 1, () => {
        turn([0]);
      });
    });
  }

  // The values of loads that run along a tile's loop, for four rows from `first` on.
  private loadTransposed(loop: number, first: number, loads: readonly number[]): Values[] {
    const rows = Array.from({ length: 4 }, (): Values => new Map());
    for (const position of loads) {
      const e = this.strategy.kernel.body[position]!;
      if (e.kind !== "load") continue;
      this.nest.atRow(loop, first, () => {
        const vectors = [0, 1, 2, 3].map((lane) => this.nest.loadAlongRows(e, lane));
        transpose(this.c, vectors).forEach((vector, row) => rows[row]!.set(position, vector));
      });
    }
    return rows;
  }

  private accumulators(count: number): Accumulator[] {
    const { kernel, flush } = this.strategy;
    const dtype = kernel.body.at(-1)!.dtype;
    const make = (): Accumulator => new Accumulator(this.c, kernel.reducer!, dtype, flush !== null);
    return Array.from({ length: count }, make);
  }

  /** Adds the body's value for a block to an accumulator. */
  private accumulate(accumulator: Accumulator, block: Block, masked: boolean): void {
    const { kernel } = this.strategy;
    const value = this.bodyValues(block).get(kernel.body.length - 1)!;
    const valid = masked && block.lanes ? this.laneMask(block.lanes) : null;
    const position = kernel.position && this.nest.indexLanes(kernel.position, block);
    accumulator.add(value, valid, position);
  }

  // Bits of lanes as a mask.
  private laneMask(lanes: I32): V128 {
    const bits = this.c.f.constant(i32x4.const(1, 2, 4, 8));
    return i32x4.notEqual(i32x4.splat(lanes).and(bits), integer(this.c, 0));
  }

  /** A reduction whose elements lie along the vector loop. */
  private reduceInner(): void {
    const { kernel, vector, unroll } = this.strategy;
    const { f } = this.c;
    const accumulators = this.accumulators(unroll);
    for (const accumulator of accumulators) accumulator.reset();
    const flush = (): void => {
      for (const accumulator of accumulators) accumulator.flush();
    };
    const row = (): void => {
      this.blocked(vector, this.ranges[vector]!, flush, (range) => {
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
    this.finish(f.keep(first!.acrossLanes()), null);
  }

  /** Reductions of neighbouring outputs, a lane each. */
  private reduceBlocks(blocks: readonly Block[]): void {
    const { f } = this.c;
    const accumulators = this.accumulators(blocks.length);
    for (const accumulator of accumulators) accumulator.reset();
    this.reduceLoops(blocks, accumulators, this.strategy.vector + 1);
    blocks.forEach((block, u) => {
      this.finish(f.keep(accumulators[u]!.result()), { ...block, states: null });
    });
  }

  // The reduced loops inside the vector loop.
  private reduceLoops(
    blocks: readonly Block[],
    accumulators: readonly Accumulator[],
    from: number,
  ): void {
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
  }

  /**
   * Part of a reduction over rows: a few rows at a time are added to partial results in memory, so
   * that memory is read in long stretches.
   */
  private reduceRows(rows: number): void {
    const { kernel, vector } = this.strategy;
    const { f } = this.c;
    const range = this.ranges[rows]!;
    const [start, stop] = [f.local(i32), f.local(i32)];
    const [from, to] = [f.keep(i32.from(range.from)), f.keep(i32.from(range.to))];
    const partial = kernel.stores[0]!;
    f.for(start, from, to, rowBlock, () => {
      f.set(stop, start.add(rowBlock));
      f.set(stop, stop.minimum(to));
      this.ranges[rows] = { from: start, to: stop, granule: 1 };
      this.vectorLoop(this.ranges[vector]!, (blocks) => {
        const accumulators = this.accumulators(blocks.length);
        for (const accumulator of accumulators) accumulator.reset();
        this.reduceLoops(blocks, accumulators, rows);
        blocks.forEach((block, u) => {
          const sum = f.let(accumulators[u]!.result());
          f.if(start.notEqual(from), () => {
            accumulators[u]!.joinInto(sum, this.nest.loadLanes(partial, block, block.lanes));
          });
          this.nest.store(partial, partial.stored, sum, block);
        });
      });
    });
    this.ranges[rows] = range;
  }

  /** Evaluates the epilogue on a result and stores. */
  private finish(result: V128, block: Block | null): void {
    const { kernel, vector } = this.strategy;
    const { epilogue, stores } = kernel;
    const values: Values = new Map();
    epilogue.forEach((e, i) => {
      if (e.kind === "reduced") values.set(i, result);
    });
    const dependences = dependencesOf(epilogue, vector);
    const stored = new Set(stores.map((store) => store.expression));
    this.nest.evaluate(
      epilogue,
      epilogue.map((_, i) => i),
      dependences,
      block,
      values,
      (position) => stores.length > 1 && stored.has(position),
    );
    for (const store of stores) {
      const value = values.get(store.expression)!;
      this.nest.store(store, epilogue[store.expression]!.dtype, value, block);
    }
  }
}

function gcd(a: number, b: number): number {
  return b === 0 ? a : gcd(b, a % b);
}
