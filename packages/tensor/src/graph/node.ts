/**
 * The graph: what was asked for but not yet computed.
 *
 * Calling an operation makes a `Node` whose `Value`s stand for its results. Nothing is computed
 * until somebody realizes a value; from then on the value is a leaf that owns its numbers.
 */

import { XError } from "../error.js";
import type { Device } from "../device/device.js";
import { isFloat, type DType } from "../tensor/dtype.js";
import { formatShape, type Shape } from "../tensor/shape.js";
import type { Storage } from "./storage.js";

/** Shape and element type of one result. */
export interface Spec {
  /** Size along each axis. */
  readonly shape: Shape;
  /** Element type. */
  readonly dtype: DType;
}

/** A static parameter of an operation. It is part of a plan's identity. */
export type Attribute = number | string | boolean | null | readonly number[];

/** The static parameters of a node, by name. */
export type Attributes = Readonly<Record<string, Attribute>>;

/** How the planner treats an operation. */
export type OpKind =
  /** Has no inputs: stored data, constants, runtime scalars, counters. */
  | "leaf"
  /** One scalar function per element, inputs broadcast against each other. */
  | "elementwise"
  /** Renames the elements of its one input; moves no numbers by itself. */
  | "movement"
  /** Joins elements along axes. */
  | "reduce"
  /** Every device brings a kernel for it. */
  | "kernel"
  /** Passes inputs through; used to order work or to carry a gradient. */
  | "identity"
  /** Has a definition in smaller operations; a device may bring a kernel for it. */
  | "primitive";

/**
 * What happens to cotangents: given those of the outputs, the ones of the inputs. One that still has
 * the shape its input was broadcast to is summed back by autograd.
 */
export type GradientRule = (
  node: Node,
  /** One per output; `null` where nothing depends on that output. */
  cotangents: readonly (Value | null)[],
  /** One per input: whether its cotangent is wanted. */
  needed: readonly boolean[],
) => readonly (Value | null)[];

/** An operation of the vocabulary; made by `makeOp`. */
export interface Op {
  /** Part of a plan's identity: two operations are the same only if they are the same object. */
  readonly id: number;
  /** For messages, profiles and tables of kernels. */
  readonly name: string;
  /** How the planner treats it. */
  readonly kind: OpKind;
  /** Shapes and types of the outputs; throws where the inputs do not fit. */
  readonly infer: (inputs: readonly Spec[], attributes: Attributes) => readonly Spec[];
  /** Absent where no gradient flows (comparisons, indices) or where it follows from `compose`. */
  readonly gradient?: GradientRule;
  /** The meaning of a primitive in smaller operations. */
  readonly compose?: (inputs: readonly Value[], attributes: Attributes) => readonly Value[];
  /** For each output the number of the input whose memory its kernel may write it to, or `null`. */
  readonly inPlace?: (inputs: number, attributes: Attributes) => readonly (number | null)[];
  /** Whether gradients flow through at all; default true for ops with `gradient` or `compose`. */
  readonly differentiable: boolean;
}

/** What `makeOp` is given. */
export interface OpDefinition extends Omit<Op, "id" | "differentiable"> {
  readonly differentiable?: boolean;
}

const made: Op[] = [];

/** Makes an operation. Do it once per operation, at module level. */
export function makeOp(definition: OpDefinition): Op {
  const op = {
    differentiable: definition.gradient !== undefined || definition.compose !== undefined,
    ...definition,
    id: made.length + 1,
  };
  made.push(op);
  return op;
}

/** Every operation made so far; for tests that must not forget one. */
export function madeOps(): readonly Op[] {
  return made;
}

let nodeCount = 0;

/** The serial number of the node recorded last. */
export function lastSerial(): number {
  return nodeCount;
}

/** One use of an operation. */
export class Node {
  /** What is done. */
  readonly op: Op;
  /** What it is done to. */
  readonly inputs: readonly Value[];
  /** Its static parameters. */
  readonly attributes: Attributes;
  /** What comes out. */
  readonly outputs: readonly Value[];
  /** What is not part of a plan's identity: a runtime scalar's number, a custom gradient. */
  readonly payload: unknown;
  /** Counts up: what was recorded later has a larger number. */
  readonly serial: number = ++nodeCount;
  /** Walks mark nodes with their own number instead of filling a set. */
  walk = 0;
  /** Its place in the order of the latest walk. */
  position = 0;

  constructor(
    op: Op,
    inputs: readonly Value[],
    attributes: Attributes,
    specs: readonly Spec[],
    device: Device | null,
    tracked: boolean,
    payload: unknown,
  ) {
    this.op = op;
    this.inputs = inputs;
    this.attributes = attributes;
    this.payload = payload;
    this.outputs = specs.map(
      (spec, index) =>
        new Value(this, index, spec.shape, spec.dtype, device, tracked && isFloat(spec.dtype)),
    );
  }
}

/** One result of a node. */
export class Value {
  /** What computes it; a leaf node once its numbers are there. */
  node: Node;
  /** Its place among the outputs of the node. */
  index: number;
  /** Size along each axis. */
  readonly shape: Shape;
  /** Element type. */
  readonly dtype: DType;
  /** Where it lives or will be computed; `null` for constants, which go anywhere. */
  readonly device: Device | null;
  /** Whether a gradient may flow through it. */
  tracked: boolean;
  /** Its numbers, once it is a leaf. */
  storage: Storage | null = null;
  /** Which version of its storage it stands for; in-place updates count versions up. */
  version = 0;
  /** Where its numbers have to be written: the storage of the tensor it was assigned to. */
  home: Storage | null = null;
  /**
   * Whether it is computed in a plan of its own before whatever depends on it: initial numbers of
   * parameters, so that the first training step has the same plan as the others.
   */
  isInitial = false;
  /** Values that are computed together with it, whichever is asked for first. */
  group: ValueGroup | null = null;
  /** Set when its history was dropped although a gradient could have flowed. */
  severed = false;

  constructor(
    node: Node,
    index: number,
    shape: Shape,
    dtype: DType,
    device: Device | null,
    tracked: boolean,
  ) {
    this.node = node;
    this.index = index;
    this.shape = shape;
    this.dtype = dtype;
    this.device = device;
    this.tracked = tracked;
  }
}

/** Whether gradients end here: a tracked value that was not computed by a differentiable operation. */
export function isGradientLeaf(value: Value): boolean {
  return value.tracked && !value.node.op.differentiable && !value.severed;
}

/** Values computed by one plan. */
export interface ValueGroup {
  readonly values: Set<Value>;
}

/** Makes `value` a member of `group`, and of no other. */
export function joinGroup(group: ValueGroup, value: Value): void {
  value.group?.values.delete(value);
  value.group = group;
  group.values.add(value);
}

/** No attributes. */
export const noAttributes: Attributes = Object.freeze({});

let gradientEnabled = true;

/** Whether new nodes are tracked for gradients. */
export function isGradientEnabled(): boolean {
  return gradientEnabled;
}

/** Runs `body` with tracking switched on or off; not across `await`. */
export function withGradient<T>(enabled: boolean, body: () => T): T {
  const before = gradientEnabled;
  gradientEnabled = enabled;
  try {
    return body();
  } finally {
    gradientEnabled = before;
  }
}

/** Records an operation and returns its results. */
export function apply(
  op: Op,
  inputs: readonly Value[],
  attributes: Attributes = noAttributes,
  payload: unknown = null,
): readonly Value[] {
  let device: Device | null = null;
  let tracked = false;
  for (const input of inputs) {
    if (input.tracked) tracked = true;
    if (input.device === null || input.device === device) continue;
    if (device !== null) {
      throw new XError(
        "device",
        `${op.name}: all tensors must be on one device, got ${device.name} and ${input.device.name}. Move one of them with to().`,
      );
    }
    device = input.device;
  }
  const specs = op.infer(inputs, attributes);
  return new Node(
    op,
    inputs,
    attributes,
    specs,
    device,
    tracked && gradientEnabled && op.differentiable,
    payload,
  ).outputs;
}

/** Records an operation with one result. */
export function applyOne(
  op: Op,
  inputs: readonly Value[],
  attributes: Attributes = noAttributes,
  payload: unknown = null,
): Value {
  return apply(op, inputs, attributes, payload)[0]!;
}

/** A value for people: `float32 [2, 3]`. */
export function formatSpec(spec: Spec): string {
  return `${spec.dtype} ${formatShape(spec.shape)}`;
}
