/**
 * Scheduling: from a graph to an ordered list of kernels over numbered buffers.
 *
 * In-place updates come last. Memory that is overwritten is read by everyone else first; an update
 * that another one still has to read, or that other kernels use, goes through a temporary.
 */

import type { Graph } from "../graph/graph.js";
import type { Node, Value } from "../graph/node.js";
import { applyOne } from "../graph/node.js";
import { constant } from "../ops/leaf.js";
import { expandOp } from "../ops/movement.js";
import { bytesPerElement } from "../tensor/dtype.js";
import { sizeOf } from "../tensor/shape.js";
import { fuse, isEmpty, MaterializeRequest, viewOf, type FusionContext } from "./fusion.js";
import { chooseMaterialized, type Materialization } from "./materialize.js";
import type { NativeSupport, Operand, PlanBuffer, Schedule, Step } from "./schedule.js";

/** Orders the work of a graph whose primitives are native or composed away. */
export function schedule(graph: Graph, support: NativeSupport): Schedule {
  const forced = new Set<Value>();
  for (;;) {
    try {
      const choice = chooseMaterialized(graph, (node) => support.has(node), forced);
      return new Scheduler(graph, support, choice).run();
    } catch (error) {
      if (!(error instanceof MaterializeRequest) || forced.has(error.value)) throw error;
      forced.add(error.value);
    }
  }
}

class Scheduler {
  readonly #graph: Graph;
  readonly #support: NativeSupport;
  readonly #choice: Materialization;
  readonly #buffers: PlanBuffer[] = [];
  readonly #bufferOf = new Map<Value, number>();
  readonly #scalarOf = new Map<Node, number>();
  readonly #steps: Step[] = [];
  readonly #updates: Step[] = [];
  readonly #copies: { readonly value: Value; readonly target: number }[] = [];
  /** The buffer each output is bound to. */
  readonly #outputBuffers: number[];

  constructor(graph: Graph, support: NativeSupport, choice: Materialization) {
    this.#graph = graph;
    this.#support = support;
    this.#choice = choice;
    graph.inputs.forEach((value, input) => {
      this.#bufferOf.set(value, this.#addBuffer({ kind: "input", input, bytes: bytesOf(value) }));
    });
    graph.scalars.forEach((node, i) => this.#scalarOf.set(node, i));
    this.#outputBuffers = graph.outputs.map((value, output) => {
      const updated = graph.updates[output];
      return updated === null || updated === undefined
        ? this.#addBuffer({ kind: "output", output, bytes: bytesOf(value) })
        : this.#bufferOf.get(graph.inputs[updated]!)!;
    });
  }

  run(): Schedule {
    const direct = this.#directOutputs();
    for (const node of this.#graph.nodes) {
      const written = node.outputs.filter((output) => this.#choice.written.has(output));
      if (written.length === 0) continue;
      if (node.op.kind === "kernel" || node.op.kind === "primitive") this.#native(node, direct);
      else for (const value of written) this.#loop(value, direct.get(value));
    }
    this.#graph.outputs.forEach((value, i) => {
      const target = this.#outputBuffers[i]!;
      if (direct.get(value) !== target) this.#copies.push({ value, target });
    });
    const copies = this.#copies
      .filter(({ value }) => !isEmpty(value))
      .map(({ value, target }): Step => {
        const loop = fuse(value, target, this.#fusionContext(null));
        return { kind: "loop", name: "copy", ...loop };
      });
    return { buffers: this.#buffers, steps: [...this.#steps, ...this.#updates, ...copies] };
  }

  #addBuffer(buffer: PlanBuffer): number {
    return this.#buffers.push(buffer) - 1;
  }

  /** Outputs that their kernel can write where they belong, without a copy at the end. */
  #directOutputs(): Map<Value, number> {
    const { graph, written } = { graph: this.#graph, written: this.#choice.written };
    const result = new Map<Value, number>();
    const isUsed = new Set<Value>();
    for (const node of graph.nodes) for (const input of node.inputs) isUsed.add(input);
    const updateCount = new Map<number, number>();
    for (const buffer of this.#outputBuffers) {
      updateCount.set(buffer, (updateCount.get(buffer) ?? 0) + 1);
    }
    const readers = this.#updateReaders();
    graph.outputs.forEach((value, i) => {
      const target = this.#outputBuffers[i]!;
      if (!written.has(value) || result.has(value)) return;
      const isUpdate = (graph.updates[i] ?? null) !== null;
      if (isUpdate) {
        const isReadByOthers = [...(readers.get(target) ?? [])].some((reader) => reader !== value);
        if (isUsed.has(value) || isReadByOthers || updateCount.get(target) !== 1) return;
        if (!this.#mayOverwrite(value, target)) return;
      }
      result.set(value, target);
    });
    return result;
  }

  /** Per updated buffer: the other updates whose kernels read it. */
  #updateReaders(): Map<number, Set<Value>> {
    const readers = new Map<number, Set<Value>>();
    this.#graph.outputs.forEach((value, i) => {
      if ((this.#graph.updates[i] ?? null) === null) return;
      for (const buffer of this.#buffersRead(value)) {
        let set = readers.get(buffer);
        if (set === undefined) readers.set(buffer, (set = new Set()));
        set.add(value);
      }
    });
    return readers;
  }

  /** The graph inputs that the kernel computing `value` reads. */
  #buffersRead(value: Value): Set<number> {
    const found = new Set<number>();
    const seen = new Set<Value>();
    const stack: Value[] = value.node.inputs.slice();
    while (stack.length > 0) {
      const current = stack.pop()!;
      if (seen.has(current)) continue;
      seen.add(current);
      const buffer = this.#bufferOf.get(current);
      if (buffer !== undefined) found.add(buffer);
      else if (!this.#choice.written.has(current)) stack.push(...current.node.inputs);
    }
    return found;
  }

  /** Whether the kernel of an update may write over the memory it reads. */
  #mayOverwrite(value: Value, target: number): boolean {
    if (!this.#buffersRead(value).has(target)) return true;
    const { node } = value;
    if (node.op.kind === "kernel" || node.op.kind === "primitive") {
      const overwritten = node.op.inPlace?.(node.inputs.length)[value.index] ?? null;
      if (overwritten === null) return false;
      const input = node.inputs[overwritten]!;
      const elsewhere = node.inputs.some(
        (other, i) => i !== overwritten && this.#bufferOf.get(other) === target,
      );
      return this.#bufferOf.get(input) === target && !elsewhere;
    }
    if (this.#choice.reductions.has(value)) return false;
    // Elementwise: every load of the target must be at the place that is stored. Intermediates have
    // no buffers yet; any number that no buffer has stands for them.
    const { kernel, buffers } = fuse(value, target, {
      ...this.#fusionContext(value),
      bufferOf: (other) => {
        if (other === value) return null;
        return this.#bufferOf.get(other) ?? (this.#choice.written.has(other) ? -1 : null);
      },
    });
    const slot = buffers.indexOf(target);
    const store = JSON.stringify(kernel.stores[0]!.index);
    return kernel.body.every(
      (expression) =>
        expression.kind !== "load" ||
        expression.slot !== slot ||
        JSON.stringify(expression.index) === store,
    );
  }

  /** The buffer a written value goes to. */
  #target(value: Value, direct: number | undefined): number {
    return direct ?? this.#addBuffer({ kind: "temporary", bytes: bytesOf(value) });
  }

  #isUpdateBuffer(buffer: number): boolean {
    return this.#buffers[buffer]!.kind === "input";
  }

  /** What fusion may ask while it builds the kernel of `computed` (or of a copy: `null`). */
  #fusionContext(computed: Value | null): FusionContext {
    return {
      bufferOf: (value) => (value === computed ? null : (this.#bufferOf.get(value) ?? null)),
      scalarOf: (node) => this.#scalarOf.get(node)!,
      reductionOf: (value) =>
        computed === null ? null : (this.#choice.reductions.get(value) ?? null),
    };
  }

  #loop(value: Value, direct: number | undefined): void {
    const target = this.#target(value, direct);
    if (!isEmpty(value)) {
      const source = isEmptyReduction(value) ? neutralElement(value) : value;
      const step: Step = {
        kind: "loop",
        name: nameOf(value),
        ...fuse(source, target, this.#fusionContext(source)),
      };
      const list = this.#isUpdateBuffer(target) ? this.#updates : this.#steps;
      list.push(step);
    }
    if (!this.#isUpdateBuffer(target)) this.#bufferOf.set(value, target);
  }

  #native(node: Node, direct: ReadonlyMap<Value, number>): void {
    const inputs = node.inputs.map((input, i) => this.#operand(node, input, i));
    const targets = node.outputs.map((output) => this.#target(output, direct.get(output)));
    const updates = targets.some((target) => this.#isUpdateBuffer(target));
    if (!node.outputs.every(isEmpty)) {
      const step: Step = { kind: "native", name: node.op.name, node, inputs, outputs: targets };
      (updates ? this.#updates : this.#steps).push(step);
    }
    node.outputs.forEach((output, i) => {
      if (!this.#isUpdateBuffer(targets[i]!)) this.#bufferOf.set(output, targets[i]!);
    });
  }

  /** How a native kernel reads an input: through a view where it can, else from a dense copy. */
  #operand(node: Node, value: Value, input: number): Operand {
    const view = viewOf(value, (other) => this.#bufferOf.get(other) ?? null);
    if (view !== null) {
      const operand: Operand = {
        buffer: this.#bufferOf.get(view.base)!,
        dtype: value.dtype,
        shape: value.shape,
        strides: view.strides,
        offset: view.offset,
      };
      if (isEmpty(value) || this.#support.acceptsView(node, input, operand)) return operand;
    }
    throw new MaterializeRequest(value);
  }
}

function bytesOf(value: Value): number {
  return sizeOf(value.shape) * bytesPerElement(value.dtype);
}

function isEmptyReduction(value: Value): boolean {
  return value.node.op.kind === "reduce" && isEmpty(value.node.inputs[0]!);
}

/** What a sum or product of nothing is. */
function neutralElement(value: Value): Value {
  const filler = constant(value.node.op.name === "product" ? 1 : 0, value.dtype);
  return applyOne(expandOp, [filler], { shape: value.shape });
}

/** Names of the fused functions, for profiles: `multiply+add+erf`. */
function nameOf(value: Value): string {
  const names: string[] = [];
  let current: Value | undefined = value;
  while (current !== undefined && names.length < 4) {
    const { node }: { node: Node } = current;
    if (node.op.kind === "leaf") break;
    if (node.op.kind !== "movement") names.push(node.op.name);
    current = node.inputs[0];
  }
  return names.length === 0 ? "copy" : `loop ${names.reverse().join("+")}`;
}
