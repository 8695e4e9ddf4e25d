/** What every tensor has besides operations: facts, reading, memory, gradients. */

import { check, XError } from "../error.js";
import type { Device } from "../device/device.js";
import { topologicalOrder } from "../graph/graph.js";
import { joinGroup, withGradient, type Value, type ValueGroup } from "../graph/node.js";
import { Storage } from "../graph/storage.js";
import { gradients } from "../autograd/gradients.js";
import { add } from "../ops/elementwise.js";
import { detach, detachOn } from "../ops/identity.js";
import { becomeLeaf, input } from "../ops/leaf.js";
import { full } from "../ops/movement.js";
import { realizeValues } from "../plan/realize.js";
import { nest, viewAs } from "./data.js";
import { bytesPerElement, type DataOf, type DType } from "./dtype.js";
import { floatsFromHalfs } from "./half.js";
import { formatElements } from "./print.js";
import { formatShape, sameShape, sizeOf, type Shape } from "./shape.js";
import type { Tensor } from "./tensor.js";

// Which tensor a tracked leaf belongs to, so that backward() finds where to put gradients.
const owners = new WeakMap<Value, TensorCore>();

// Results that were read and are this small stay on the JavaScript side: a loss that is read at every
// step holds no memory of the device.
const smallBytes = 256;

/** The base of `Tensor`; the operations are added by the classes between the two. */
export abstract class TensorCore {
  #value: Value;
  #gradient: Tensor | null = null;
  #gradientHome: Storage | null = null;

  /** @internal Tensors are made by the creation functions and by operations. */
  constructor(value: Value) {
    this.#value = value;
  }

  /** @internal Makes a tensor of the final class. */
  abstract wrap(value: Value): Tensor;

  /** @internal The graph value this tensor stands for now. */
  get value(): Value {
    return this.#value;
  }

  /** Size along each axis. */
  get shape(): Shape {
    return this.#value.shape;
  }

  /** Element type. */
  get dtype(): DType {
    return this.#value.dtype;
  }

  /** Number of axes. */
  get rank(): number {
    return this.#value.shape.length;
  }

  /** Number of elements. */
  get size(): number {
    return sizeOf(this.#value.shape);
  }

  /** The device that holds it or will compute it; `null` for constants that fit any device. */
  get device(): Device | null {
    return this.#value.device;
  }

  /** Whether gradients flow to or through this tensor. */
  get requiresGrad(): boolean {
    return this.#value.tracked;
  }

  /**
   * The gradient that `backward()` left here, or `null`. Its numbers live until the next
   * `backward()` writes new ones into the same memory.
   */
  get grad(): Tensor | null {
    return this.#gradient;
  }

  /**
   * Puts another gradient in its place, or none. One that is not computed yet is computed with what
   * the old one belonged to, in the same memory.
   */
  set grad(gradient: Tensor | null) {
    check(
      gradient === null || (sameShape(gradient.shape, this.shape) && gradient.dtype === "float32"),
      "shape",
      () =>
        `grad: a gradient must be float32 and have the shape of its tensor, got ${gradient!.dtype} ${formatShape(gradient!.shape)} for ${formatShape(this.shape)}. Cast or reshape it.`,
    );
    const group = this.#forgetGradient();
    if (gradient !== null && gradient.value.storage === null && !gradient.requiresGrad) {
      // One that is not computed yet takes the place of the old one in memory and in its group.
      this.#gradient = this.wrap(this.#keepGradient(gradient.value, group));
    } else {
      this.#gradient = gradient;
    }
  }

  /**
   * A gradient nobody has computed yet must not be written over one that replaces it, nor be kept
   * for its own sake. Gives the group it was to be computed with.
   */
  #forgetGradient(): ValueGroup | null {
    const old = this.#gradient?.value;
    if (old === undefined || old.storage !== null) return null;
    const { group } = old;
    group?.values.delete(old);
    old.home = null;
    old.group = null;
    return group;
  }

  /** `gradient`, to be written to this tensor's memory for gradients when its group is computed. */
  #keepGradient(gradient: Value, group: ValueGroup | null): Value {
    // What was made of no tensor, such as random numbers, names no device, but lies on one.
    const device = gradient.device ?? this.#value.device ?? this.#value.storage!.device;
    const { home, group: own, storage } = gradient;
    // Each tensor needs a gradient of its own to be written to.
    const isFree = home === null && own === null && storage === null && gradient.device !== null;
    const value = isFree ? gradient : detachOn(gradient, device);
    if (this.#gradientHome?.device !== device) {
      this.#gradientHome = new Storage(device, this.size * 4, null, null);
    }
    value.home = this.#gradientHome;
    if (group !== null) joinGroup(group, value);
    return value;
  }

  /**
   * Marks a leaf (a tensor not computed from others) as something to differentiate with respect to.
   * Returns the tensor itself.
   */
  setRequiresGrad(required = true): this {
    const value = this.#value;
    check(
      (value.node.inputs.length === 0 || value.home !== null) && value.dtype === "float32",
      "gradient",
      () =>
        `setRequiresGrad: only float32 tensors that were not computed from others can require gradients, got a ${value.dtype} ${value.node.op.name}. Use detach() or realize it first.`,
    );
    if (value.storage === null && value.home === null) {
      throw new XError(
        "internal",
        "setRequiresGrad: a leaf must have storage, got none. Please report this.",
      );
    }
    value.tracked = required;
    value.severed = false;
    if (required) owners.set(value, this);
    return this;
  }

  /** The same numbers without history: gradients stop here. */
  detach(): Tensor {
    return this.wrap(detach(this.#value));
  }

  /**
   * Computes the gradients of this tensor with respect to every tensor that requires them, and adds
   * them to their `grad`. Nothing runs yet: loss and gradients form one group, computed by one plan
   * when any of them is read or the optimizer steps.
   *
   * @param cotangent weights of the elements; by default 1, for a tensor of one element
   * @param options `createGraph` keeps the gradients' own history, for higher derivatives
   */
  backward(cotangent?: Tensor, options: { createGraph?: boolean } = {}): void {
    const value = this.#value;
    check(
      cotangent !== undefined || this.size === 1,
      "gradient",
      () =>
        `backward: a tensor with more than one element needs a cotangent, got shape ${formatShape(this.shape)}. Reduce it to one number, e.g. with mean().`,
    );
    check(value.tracked && !value.severed, "gradient", () =>
      value.severed
        ? "backward: the tensor must still have its history, got one that was read or realized before. Call backward() first and read afterwards."
        : "backward: the tensor must depend on one that requires gradients, got one that does not. Call setRequiresGrad() on the parameters.",
    );
    const seed = cotangent?.value ?? full(value.shape, 1, "float32");
    const found = withGradient(options.createGraph === true, () =>
      gradients({ outputs: [value], seeds: [seed], wanted: null }),
    );
    const group: ValueGroup = { values: new Set() };
    if (value.storage === null) joinGroup(group, value);
    // Last layers first: plans compute outputs in order, and what the last layers kept for their
    // gradients can be given up before the first layers' gradients are computed.
    for (const [leaf, gradient] of [...found].reverse()) {
      const owner = owners.get(leaf);
      if (owner?.value === leaf) owner.#acceptGradient(gradient, group);
    }
  }

  #acceptGradient(gradient: Value, group: ValueGroup): void {
    const before = this.#gradient?.value;
    const sum =
      before === undefined ? gradient : withGradient(gradient.tracked, () => add(before, gradient));
    const earlier = this.#forgetGradient();
    // What was to be computed with the gradient so far is computed with the sum.
    if (earlier !== null) for (const value of [...earlier.values]) joinGroup(group, value);
    this.#gradient = this.wrap(this.#keepGradient(sum, group));
  }

  /**
   * Gives this tensor new numbers. The memory of a realized tensor is overwritten when the new
   * numbers are computed, after everything else in the plan has read the old ones.
   */
  assign(source: Tensor): this {
    check(
      sameShape(source.shape, this.shape) && source.dtype === this.dtype,
      "shape",
      () =>
        `assign: the new tensor must have the same shape and type, got ${source.dtype} ${formatShape(source.shape)} for ${this.dtype} ${formatShape(this.shape)}. Reshape or cast it.`,
    );
    const old = this.#value;
    if (source.value === old) return this;
    const home = old.storage ?? old.home;
    // The new value must be its own: another tensor may stand for the same one.
    const value = home === null ? detach(source.value) : detachOn(source.value, home.device);
    check(
      home === null || value.device === home.device,
      "device",
      () =>
        `assign: both tensors must be on one device, got ${value.device!.name} for a tensor on ${home!.device.name}. Move the source with to().`,
    );
    value.home = home;
    // Initial numbers that the new ones are computed from are computed first, in the same memory.
    const isNeeded = old.isInitial && topologicalOrder([value]).includes(old.node);
    if (old.storage === null && !isNeeded) old.home = null;
    this.#become(value);
    return this;
  }

  /**
   * @internal Like `assign`, for numbers that are not part of a computation in progress: initial
   * ones, and those of checkpoints. They are taken over at once where they are on the JavaScript
   * side, else computed in a plan of their own before anything that depends on them.
   */
  initialize(source: Tensor): this {
    const before = this.#value.storage ?? this.#value.home;
    const { isInitial, node } = source.value;
    // A copy of initial numbers is made of what they are made of, so that these may stay unused.
    this.assign(isInitial ? this.wrap(node.inputs[0]!) : source);
    const given = source.value.storage;
    const host = given?.version === source.value.version ? given.host : null;
    if (before !== null && before.buffer === null && host !== null) {
      this.#hold(host, before.device);
      return this;
    }
    const value = this.#value;
    value.isInitial = true;
    for (const node of topologicalOrder([value])) node.outputs[0]!.storage?.copies.add(value);
    return this;
  }

  /** @internal Moves the tensor to another device; it stays the same tensor. Its gradient is dropped. */
  async moveTo(device: Device): Promise<this> {
    if (this.device === device) return this;
    const host = await this.storedData();
    const { storage } = this.#value;
    this.grad = null;
    this.#hold(host, device);
    storage?.release();
    return this;
  }

  /** Makes numbers of the JavaScript side the tensor's own. */
  #hold(host: DataOf, device: Device): void {
    const storage = new Storage(device, host.byteLength, host, null);
    this.#become(input(storage, this.shape, this.dtype, device));
  }

  #become(value: Value): void {
    const old = this.#value;
    if (owners.get(old) === this) {
      owners.set(value, this);
      value.tracked = old.tracked;
    }
    this.#value = value;
  }

  /** Computes the tensor now and keeps the numbers on its device. */
  async realize(): Promise<this> {
    await realizeValues([this.#value], new Set());
    return this;
  }

  /**
   * The elements in row-major order. float16 comes as float32; bool as 0 and 1.
   */
  async data(): Promise<Float32Array | Int32Array | Uint32Array | Int8Array | Uint8Array> {
    const numbers = await this.storedData();
    return numbers instanceof Uint16Array ? floatsFromHalfs(numbers) : numbers;
  }

  /** @internal The elements as they are stored: float16 as bit patterns. */
  async storedData(): Promise<DataOf> {
    const value = this.#value;
    if (value.storage === null) await realizeValues([value], new Set([value]));
    const storage = value.storage!;
    storage.checkAlive("data");
    check(
      storage.version === value.version,
      "disposed",
      () =>
        "data: the tensor must be read before it is overwritten, got one whose memory was updated in place. Read it before the update.",
    );
    if (storage.host !== null) return storage.host.slice();
    const bytes = this.size * bytesPerElement(this.dtype);
    const numbers = viewAs(this.dtype, await storage.device.read(storage.buffer!, bytes));
    if (bytes <= smallBytes && storage.version === 0) storage.moveToHost(numbers.slice());
    return numbers;
  }

  /** The only element of a tensor with one element. */
  async item(): Promise<number> {
    check(
      this.size === 1,
      "shape",
      () =>
        `item: the tensor must have exactly one element, got shape ${formatShape(this.shape)}. Use data() or toArray().`,
    );
    return (await this.data())[0]!;
  }

  /** The elements as nested arrays; bool elements as `true` and `false`. */
  async toArray(): Promise<unknown> {
    return nest(this.shape, await this.data(), this.dtype === "bool");
  }

  /** The elements as text, long axes shortened in the middle. */
  async format(): Promise<string> {
    return formatElements(this.shape, this.dtype, await this.data());
  }

  /** Writes the tensor to the console. */
  async print(): Promise<void> {
    // eslint-disable-next-line no-console -- writing to the console is what was asked for
    console.log(await this.format());
  }

  /**
   * The same numbers on another device, once they are computed and read. Gradients do not flow from
   * there to this tensor.
   */
  async to(device: Device): Promise<Tensor> {
    if (this.device === device) return this.wrap(this.#value);
    const host = await this.storedData();
    return this.wrap(
      input(new Storage(device, host.byteLength, host, null), this.shape, this.dtype, device),
    );
  }

  /** Releases the tensor's memory at once instead of when it is garbage collected. */
  dispose(): void {
    this.#value.storage?.release();
    this.#value.home?.release();
    this.#gradientHome?.release();
    this.#gradient = null;
    if (this.#value.storage === null) {
      // Never computed: forget how, and make later use an error.
      const storage = new Storage(this.#value.device!, 0, null, null);
      storage.release();
      becomeLeaf(this.#value, storage);
    }
  }

  /** Lets `using` release the tensor at the end of its block. */
  [Symbol.dispose](): void {
    this.dispose();
  }
}
