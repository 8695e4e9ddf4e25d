/**
 * Realizing: from values that were asked for to numbers.
 *
 * Plans are cached by the structure of what they compute, so a training step that was seen before
 * costs a walk over its graph, a look-up and a launch.
 */

import { XError } from "../error.js";
import { getDevice } from "../device/current.js";
import type { Device, DeviceBuffer, Executable, ProfileSink } from "../device/device.js";
import { collectGraph, topologicalOrder, type Graph } from "../graph/graph.js";
import type { Node, Value, ValueGroup } from "../graph/node.js";
import { Storage } from "../graph/storage.js";
import { copyOfWritten, isWritten, writeStructure } from "../graph/structure.js";
import { becomeLeaf } from "../ops/leaf.js";
import { bytesPerElement } from "../tensor/dtype.js";
import { viewAs } from "../tensor/data.js";
import { sizeOf } from "../tensor/shape.js";
import { nextTask } from "./next-task.js";

interface CachedPlan {
  readonly structure: Int32Array;
  readonly executable: Executable;
  lastUse: number;
}

/** The plans of a device, by the hash of what they compute. */
interface PlanCache {
  readonly buckets: Map<number, CachedPlan[]>;
  size: number;
  uses: number;
}

/** Plans kept per device; the least recently used go first. */
const planLimit = 512;

const caches = new WeakMap<Device, PlanCache>();
let compilations = 0;

/** How many plans were compiled since the program started. */
export function compileCount(): number {
  return compilations;
}

let profileSink: ProfileSink | null = null;

/** Sends what runs from now on to `sink`; returns where it went before. */
export function setProfileSink(sink: ProfileSink | null): ProfileSink | null {
  const before = profileSink;
  profileSink = sink;
  return before;
}

/** The plan of a graph: at once if there is one already. */
function findPlan(device: Device, graph: Graph): Executable | Promise<Executable> {
  let cache = caches.get(device);
  if (cache === undefined) {
    cache = { buckets: new Map<number, CachedPlan[]>(), size: 0, uses: 0 };
    caches.set(device, cache);
  }
  const hash = writeStructure(graph);
  for (const plan of cache.buckets.get(hash) ?? []) {
    if (!isWritten(plan.structure)) continue;
    plan.lastUse = ++cache.uses;
    return plan.executable;
  }
  return compilePlan(device, graph, cache, hash, copyOfWritten());
}

async function compilePlan(
  device: Device,
  graph: Graph,
  cache: PlanCache,
  hash: number,
  structure: Int32Array,
): Promise<Executable> {
  compilations++;
  const executable = await device.compile(graph);
  const plan = { structure, executable, lastUse: ++cache.uses };
  cache.buckets.set(hash, [...(cache.buckets.get(hash) ?? []), plan]);
  if (++cache.size > planLimit) dropOldest(cache);
  return executable;
}

function dropOldest(cache: PlanCache): void {
  let hash = 0;
  let oldest: CachedPlan | null = null;
  for (const [candidateHash, plans] of cache.buckets) {
    for (const plan of plans) {
      if (oldest !== null && oldest.lastUse < plan.lastUse) continue;
      oldest = plan;
      hash = candidateHash;
    }
  }
  const rest = cache.buckets.get(hash)!.filter((plan) => plan !== oldest);
  if (rest.length === 0) cache.buckets.delete(hash);
  else cache.buckets.set(hash, rest);
  cache.size--;
  oldest!.executable.release();
}

/** What one plan has to compute. */
interface Pending {
  readonly values: readonly Value[];
  /** What they depend on, inputs before users. */
  readonly nodes: readonly Node[];
  /** Initial numbers that are computed on the way. */
  readonly initial: readonly Value[];
}

/**
 * The values, as far as they are not computed yet, and what is computed with them: the rest of their
 * groups, and what is assigned to a tensor among all that they depend on, with its group. Otherwise
 * a cache that every step of a decoding loop assigns would be computed from the beginning each time,
 * and reading a multiple of the loss would leave the gradients to a second forward pass.
 */
function pending(requested: readonly Value[]): Pending {
  const found = new Set<Value>();
  const add = (value: Value): void => {
    if (value.storage !== null || found.has(value)) return;
    found.add(value);
    value.group?.values.forEach(add);
  };
  requested.forEach(add);
  for (;;) {
    const values = [...found];
    const nodes = topologicalOrder(values);
    const initial: Value[] = [];
    for (const { outputs } of nodes) {
      for (const value of outputs) {
        if (value.storage !== null) continue;
        if (value.isInitial) initial.push(value);
        if (value.home !== null || (value.group !== null && isAssigned(value.group))) add(value);
      }
    }
    if (found.size === values.length) return { values, nodes, initial };
  }
}

function isAssigned(group: ValueGroup): boolean {
  for (const { home } of group.values) if (home !== null) return true;
  return false;
}

/**
 * What has to be computed before what was requested: initial numbers that are computed on the way,
 * copies of what the plan is going to overwrite, and what it is going to overwrite.
 */
function precedingValues(requested: readonly Value[], { values, initial }: Pending): Value[] {
  const preceding = new Set(initial);
  for (const { home } of values) {
    if (home === null || home.copies.size === 0) continue;
    for (const copy of home.copies) if (copy.home !== null) preceding.add(copy);
    home.copies.clear();
  }
  if (preceding.size > 0) for (const value of requested) preceding.delete(value);
  // Of values that are written to the same memory, each is finished before the next is begun.
  const latest = new Map<Storage, Value>();
  for (const value of values) {
    if (value.home === null) continue;
    const other = latest.get(value.home);
    const [first, last] =
      other === undefined || other.node.serial < value.node.serial
        ? [other, value]
        : [value, other];
    if (first !== undefined) preceding.add(first);
    latest.set(value.home, last);
  }
  return [...preceding];
}

function deviceOf(values: readonly Value[]): Device {
  let device: Device | null = null;
  for (const value of values) {
    if (value.device === null) continue;
    if (device !== null && device !== value.device) {
      throw new XError(
        "device",
        `realize: tensors computed together must be on one device, got ${device.name} and ${value.device.name}. Realize them one after the other.`,
      );
    }
    device = value.device;
  }
  return device ?? getDevice();
}

// One plan runs at a time: what a plan computes may turn the inputs of the next into leaves.
let turn: Promise<void> | null = null;

/**
 * Computes values and turns them into leaves.
 *
 * Numbers of the values in `readback` stay on the JavaScript side, as do results so small that
 * keeping them on the device would not pay.
 */
export function realizeValues(
  requested: readonly Value[],
  readback: ReadonlySet<Value> = noValues,
): Promise<void> {
  const mine =
    turn === null ? compute(requested, readback) : turn.then(() => compute(requested, readback));
  const end = (): void => {
    if (turn === ended) turn = null;
  };
  const ended = mine.then(end, end);
  turn = ended;
  return mine;
}

const noValues: ReadonlySet<Value> = new Set();

async function compute(requested: readonly Value[], readback: ReadonlySet<Value>): Promise<void> {
  let next = pending(requested);
  const preceding = precedingValues(requested, next);
  if (preceding.length > 0) {
    await compute(preceding, noValues);
    next = pending(requested);
  }
  const { values, nodes } = next;
  if (values.length === 0) return;
  const device = deviceOf(values);
  const graph = collectGraph(values, nodes);
  const plan = findPlan(device, graph);
  const executable = plan instanceof Promise ? await plan : plan;

  const bytes = values.map((value) => sizeOf(value.shape) * bytesPerElement(value.dtype));
  const allocated: DeviceBuffer[] = [];
  const outputs = values.map((value, i) => {
    if (value.home !== null) return value.home.ensureBuffer();
    if (readback.has(value) || bytes[i]! <= device.smallResultBytes) return null;
    const buffer = device.allocate(bytes[i]!);
    allocated.push(buffer);
    return buffer;
  });
  const inputs = graph.inputs.map((value) => {
    const storage = value.storage!;
    if (storage.buffer !== null) return storage.buffer;
    storage.uses++;
    return storage.uses > 1 || storage.host === null ? storage.ensureBuffer() : storage.host;
  });

  let results: readonly (ArrayBuffer | null)[];
  try {
    const running = executable.run({
      inputs,
      scalars: graph.scalars.map((node) => node.payload as number),
      outputs,
      profile: profileSink,
    });
    results = running instanceof Promise ? await running : running;
  } catch (error) {
    for (const buffer of allocated) buffer.release();
    throw error;
  }

  values.forEach((value, i) => {
    const home = value.home;
    if (home !== null) {
      home.version++;
      home.host = null;
      becomeLeaf(value, home);
      return;
    }
    const result = results[i];
    const host = result ? viewAs(value.dtype, result) : null;
    becomeLeaf(value, new Storage(device, bytes[i]!, host, outputs[i]!));
  });
  if (performance.now() - lastBreath > 25) await breathe();
}

let lastBreath = 0;

/** Lets timers, signals and rendering happen now and then: awaiting alone would starve them. */
async function breathe(): Promise<void> {
  await new Promise<void>(nextTask);
  lastBreath = performance.now();
}
