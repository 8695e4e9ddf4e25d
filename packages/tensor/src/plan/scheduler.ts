/**
 * Scheduling: from a graph to an ordered list of kernels over numbered buffers.
 *
 * In-place updates come last. Memory that is overwritten is read by everyone else first; an update
 * that another one still has to read goes through a temporary, and so does one that other kernels
 * use, unless nobody but its own kernel reads what it overwrites.
 */

import type { Graph } from "../graph/graph.js";
import type { Node, Value } from "../graph/node.js";
import { applyOne } from "../graph/node.js";
import { constant } from "../ops/leaf.js";
import { expandOp } from "../ops/movement.js";
import { bytesPerElement } from "../tensor/dtype.js";
import { sizeOf } from "../tensor/shape.js";
import { fuse, isEmpty, MaterializeRequest, viewOf, type FusionContext } from "./fusion.js";
import type { Affine, LoopKernel } from "./loop.js";
import { chooseMaterialized, type Materialization } from "./materialize.js";
import type {
  LoopStep,
  NativeStep,
  NativeSupport,
  Operand,
  PlanBuffer,
  Schedule,
  Step,
} from "./schedule.js";

/** Orders the work of a graph whose primitives are native or composed away. */
export function schedule(graph: Graph, support: NativeSupport): Schedule {
  const forced = new Set<Value>();
  for (;;) {
    const scheduler = new Scheduler(graph, support, chooseMaterialized(graph, support, forced));
    const { schedule: found, requests } = scheduler.run();
    if (requests.length === 0) return found;
    for (const request of requests) {
      if (forced.has(request.value)) throw request;
      forced.add(request.value);
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
  /** Native steps that wait for an epilogue, by the buffer of their result. */
  readonly #waiting = new Map<number, NativeStep>();
  /** How many kernels and copies read each value in memory. */
  readonly #readers: ReadonlyMap<Value, number>;
  /** Updates that do not wait for the end, since others read what they write. */
  readonly #early = new Set<Node>();
  /** The buffer each output is bound to. */
  readonly #outputBuffers: number[];
  /** What native kernels need in memory and has no place there: the order found is of no use then. */
  readonly #requests = new Map<Value, MaterializeRequest>();

  constructor(graph: Graph, support: NativeSupport, choice: Materialization) {
    this.#graph = graph;
    this.#support = support;
    this.#choice = choice;
    graph.inputs.forEach((value, input) => {
      this.#bufferOf.set(value, this.#addBuffer({ kind: "input", input, bytes: bytesOf(value) }));
    });
    graph.scalars.forEach((node, i) => this.#scalarOf.set(node, i));
    this.#readers = this.#countReaders();
    this.#outputBuffers = graph.outputs.map((value, output) => {
      const updated = graph.updates[output];
      return updated === null || updated === undefined
        ? this.#addBuffer({ kind: "output", output, bytes: bytesOf(value) })
        : this.#bufferOf.get(graph.inputs[updated]!)!;
    });
  }

  run(): { readonly schedule: Schedule; readonly requests: readonly MaterializeRequest[] } {
    try {
      return { schedule: this.#run(), requests: [...this.#requests.values()] };
    } catch (error) {
      if (!(error instanceof MaterializeRequest)) throw error;
      // What a loop asks for may be there once what was asked for before is in memory.
      if (this.#requests.size === 0) this.#requests.set(error.value, error);
      return { schedule: { buffers: [], steps: [] }, requests: [...this.#requests.values()] };
    }
  }

  #run(): Schedule {
    const direct = this.#directOutputs();
    for (const node of this.#graph.nodes) {
      const written = node.outputs.filter((output) => this.#choice.written.has(output));
      if (written.length === 0) continue;
      if (node.op.kind === "kernel" || node.op.kind === "primitive") this.#native(node, direct);
      else for (const value of written) this.#loop(value, direct.get(value));
    }
    for (const buffer of [...this.#waiting.keys()]) this.#release(buffer);
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
        if (updateCount.get(target) !== 1 || !this.#mayOverwrite(value, target)) return;
        // A kernel runs as a whole: if others use any of its results, it cannot wait for the end.
        if (value.node.outputs.some((output) => isUsed.has(output))) {
          if (!this.#isOnlyReader(value.node, target)) return;
          this.#early.add(value.node);
        }
        // Kernels with several results say themselves what they may overwrite.
        const others = [...(readers.get(target) ?? [])].filter(({ node }) => node !== value.node);
        if (others.length > 0) return;
      }
      result.set(value, target);
    });
    return result;
  }

  /**
   * Whether a native kernel is the only one that reads the old contents of an updated buffer, so that
   * it can overwrite them at its own place in the order: a cache that is extended and then used.
   */
  #isOnlyReader(node: Node, target: number): boolean {
    const isNative = node.op.kind === "kernel" || node.op.kind === "primitive";
    if (!isNative) return false;
    const old = this.#graph.inputs.find((input) => this.#bufferOf.get(input) === target)!;
    return node.inputs.includes(old) && this.#readers.get(old) === 1;
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

  /** The buffers of graph inputs that the kernel computing `value` reads. */
  #buffersRead(value: Value): Set<number> {
    const read = [...this.#valuesRead(value.node.inputs)];
    return new Set(read.flatMap((other) => this.#bufferOf.get(other) ?? []));
  }

  /** The values in memory that `values` are computed from. */
  #valuesRead(values: readonly Value[]): Set<Value> {
    const found = new Set<Value>();
    const seen = new Set<Value>();
    const stack = [...values];
    while (stack.length > 0) {
      const value = stack.pop()!;
      if (seen.has(value)) continue;
      seen.add(value);
      if (this.#choice.written.has(value) || value.node.inputs.length === 0) {
        found.add(value);
      } else {
        stack.push(...value.node.inputs);
      }
    }
    return found;
  }

  /** Whether the kernel of an update may write over the memory it reads. */
  #mayOverwrite(value: Value, target: number): boolean {
    if (!this.#buffersRead(value).has(target)) return true;
    const { node } = value;
    if (node.op.kind === "kernel" || node.op.kind === "primitive") {
      const places = node.op.inPlace?.(node.inputs.length, node.attributes);
      const overwritten = places?.[value.index] ?? null;
      if (overwritten === null) return false;
      const others = node.inputs.filter((_, i) => i !== overwritten);
      return (
        this.#bufferOf.get(node.inputs[overwritten]!) === target &&
        ![...this.#valuesRead(others)].some((other) => this.#bufferOf.get(other) === target)
      );
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
    const store = placeIn(kernel, kernel.stores[0]!.index);
    return kernel.body.every(
      (expression) =>
        expression.kind !== "load" ||
        expression.slot !== slot ||
        placeIn(kernel, expression.index) === store,
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
      mostBuffers: this.#support.mostBuffers ?? Infinity,
      reductionOf: (value) =>
        computed === null ? null : (this.#choice.reductions.get(value) ?? null),
    };
  }

  #loop(value: Value, direct: number | undefined): void {
    const target = this.#target(value, direct);
    if (!isEmpty(value)) {
      const source = isEmptyReduction(value) ? neutralElement(value) : value;
      const loop = fuse(source, target, this.#fusionContext(source));
      const step: LoopStep = { kind: "loop", name: nameOf(value), ...loop };
      if (this.#isUpdateBuffer(target)) {
        for (const buffer of step.buffers) this.#release(buffer);
        this.#updates.push(step);
      } else if (!this.#joinProduct(step, target)) {
        this.#steps.push(step);
      }
    }
    if (!this.#isUpdateBuffer(target)) this.#bufferOf.set(value, target);
  }

  /** Makes the loop the epilogue of a native step whose result it alone reads, if that can be. */
  #joinProduct(step: LoopStep, target: number): boolean {
    const found = step.buffers.filter((buffer) => this.#waiting.has(buffer));
    const [product] = found;
    const isWhole = (buffer: number): boolean =>
      this.#buffers[buffer]!.bytes === this.#buffers[target]!.bytes;
    const kernel =
      found.length === 1 && isWhole(product!) ? inPlaceOf(step, product!, target) : null;
    if (product === undefined || kernel === null) {
      for (const buffer of found) this.#release(buffer);
      return false;
    }
    const native = this.#waiting.get(product)!;
    this.#waiting.delete(product);
    const name = `${native.name}, ${step.name}`;
    this.#steps.push({ ...native, name, outputs: [target], epilogue: { ...step, ...kernel } });
    return true;
  }

  /** Schedules a native step that was waiting for an epilogue. */
  #release(buffer: number): void {
    const step = this.#waiting.get(buffer);
    if (step === undefined) return;
    this.#waiting.delete(buffer);
    this.#steps.push(step);
  }

  #native(node: Node, direct: ReadonlyMap<Value, number>): void {
    const inputs = node.inputs.map((input, i) => this.#operand(node, input, i));
    const isSingle = node.outputs.length === 1;
    const outputs = node.outputs.map((output) => {
      const isRead = isSingle || direct.has(output) || this.#readers.has(output);
      return isRead ? this.#target(output, direct.get(output)) : null;
    });
    for (const { buffer } of inputs) this.#release(buffer);
    if (!node.outputs.every(isEmpty)) {
      const { name } = node.op;
      const step: NativeStep = { kind: "native", name, node, inputs, outputs, epilogue: null };
      const isUpdate = outputs.some((buffer) => buffer !== null && this.#isUpdateBuffer(buffer));
      if (isUpdate && !this.#early.has(node)) this.#updates.push(step);
      else if (this.#mayWait(node, direct)) this.#waiting.set(outputs[0]!, step);
      else this.#steps.push(step);
    }
    node.outputs.forEach((output, i) => {
      const buffer = outputs[i]!;
      if (buffer === null) return;
      const isReadable = !this.#isUpdateBuffer(buffer) || this.#early.has(node);
      if (isReadable) this.#bufferOf.set(output, buffer);
    });
  }

  /** Whether a native step can wait for the one kernel that reads its result. */
  #mayWait(node: Node, direct: ReadonlyMap<Value, number>): boolean {
    const [output] = node.outputs;
    return (
      this.#support.acceptsEpilogue(node) &&
      node.outputs.length === 1 &&
      !direct.has(output!) &&
      this.#readers.get(output!) === 1
    );
  }

  /** How many kernels and copies read each value in memory. */
  #countReaders(): Map<Value, number> {
    const { written } = this.#choice;
    const readers = new Map<Value, number>();
    const count = (values: readonly Value[]): void => {
      for (const value of this.#valuesRead(values)) {
        readers.set(value, (readers.get(value) ?? 0) + 1);
      }
    };
    for (const node of this.#graph.nodes) {
      if (node.outputs.some((output) => written.has(output))) count(node.inputs);
    }
    count(this.#graph.outputs);
    return readers;
  }

  /** How a native kernel reads an input: through a view where it can, else from a dense copy. */
  #operand(node: Node, value: Value, input: number): Operand {
    const view = viewOf(
      value,
      (other) => this.#bufferOf.get(other) ?? null,
      (stored) => this.#support.widens?.(node, input, stored) === true,
    );
    if (view !== null) {
      const operand: Operand = {
        buffer: this.#bufferOf.get(view.base)!,
        dtype: view.base.dtype,
        shape: value.shape,
        strides: view.strides,
        offset: view.offset,
      };
      if (isEmpty(value) || this.#support.acceptsView(node, input, operand)) return operand;
    }
    // The whole order is gone through, so that few passes find all requests of a deep network; one
    // that could be a view of another's memory waits for it.
    if (!this.#isViewOfRequest(value)) this.#requests.set(value, new MaterializeRequest(value));
    return { buffer: 0, dtype: value.dtype, shape: value.shape, strides: [], offset: 0 };
  }

  /** Whether a value that is not in memory is made, by movements alone, of one that is asked for. */
  #isViewOfRequest(value: Value): boolean {
    let current: Value | undefined = value.node.inputs[0];
    while (current !== undefined && !this.#choice.written.has(current)) {
      if (this.#requests.has(current)) return true;
      current = current.node.inputs[0];
    }
    return false;
  }
}

/**
 * The loop with `product` computed in place of `target`, or `null` where its loads of the product
 * are not at the place where it stores.
 */
function inPlaceOf(
  { kernel, buffers }: LoopStep,
  product: number,
  target: number,
): Pick<LoopStep, "kernel" | "buffers"> | null {
  const [store] = kernel.stores;
  const from = buffers.indexOf(product);
  const to = buffers.indexOf(target);
  if (kernel.reducer !== null || kernel.stores.length !== 1 || store!.stored !== "float32") {
    return null;
  }
  const place = placeIn(kernel, store!.index);
  const renumber = (slot: number): number => {
    const same = slot === from ? to : slot;
    return same > from ? same - 1 : same;
  };
  for (const expression of kernel.body) {
    if (expression.kind !== "load" || expression.slot !== from) continue;
    if (expression.guard !== undefined || placeIn(kernel, expression.index) !== place) return null;
  }
  return {
    kernel: {
      ...kernel,
      body: kernel.body.map((expression) =>
        expression.kind === "load"
          ? { ...expression, slot: renumber(expression.slot) }
          : expression,
      ),
      stores: [{ ...store!, slot: renumber(store!.slot) }],
      slots: kernel.slots - 1,
    },
    buffers: buffers.filter((_, slot) => slot !== from),
  };
}

/** Tells places apart; loops that run once do not matter. */
function placeIn({ extents }: LoopKernel, { offset, strides }: Affine): string {
  return `${offset} ${strides.filter((_, loop) => extents[loop] !== 1).join()}`;
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
