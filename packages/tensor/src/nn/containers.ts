/** Modules made of a row of modules. */

import { check } from "../error.js";
import type { Tensor } from "../tensor/tensor.js";
import { Module } from "./module.js";

/** A module that takes one tensor and gives one. */
export interface TensorModule extends Module {
  /** What the module computes. */
  forward(x: Tensor): Tensor;
}

/**
 * Modules in a row, named by their positions: `layers.0`, `layers.1` … for a property `layers`.
 *
 * A plain array of modules as a property does the same; the list adds `push` and iteration over
 * modules of one type.
 *
 * @example
 * ```ts
 * const layers = new ModuleList([new Linear(2, 3), new Linear(3, 4)]);
 * let x = ones([2]);
 * for (const layer of layers) x = layer.forward(x);
 * console.log(x.shape, layers.length); // → [ 4 ] 2
 * ```
 */
export class ModuleList<M extends Module = Module> extends Module implements Iterable<M> {
  /** The module at a position. */
  readonly [position: number]: M;
  /** How many modules it holds. */
  length = 0;

  /** @param modules what it holds at first */
  constructor(modules: Iterable<M> = []) {
    super();
    for (const module of modules) this.push(module);
  }

  /** Adds a module at the end. Returns the list. */
  push(module: M): this {
    check(
      module instanceof Module,
      "argument",
      () =>
        `${this.constructor.name}: its parts must be modules, got ${typeof module}. Extend Module.`,
    );
    (this as { [position: number]: M })[this.length++] = module;
    return this;
  }

  /** The modules in order. */
  *[Symbol.iterator](): Generator<M, void, undefined> {
    for (let i = 0; i < this.length; i++) yield this[i]!;
  }
}

/**
 * Modules one after the other: each gets what the one before gives.
 *
 * @example
 * ```ts
 * const model = new Sequential(new Linear(4, 8), new ReLU(), new Linear(8, 2));
 * console.log(model.forward(ones([5, 4])).shape); // → [ 5, 2 ]
 * ```
 */
export class Sequential extends ModuleList<TensorModule> {
  /** @param modules the modules in the order in which they are applied */
  constructor(...modules: readonly TensorModule[]) {
    super(modules);
  }

  /** The result of the last module. */
  forward(x: Tensor): Tensor {
    let result = x;
    for (const module of this) result = module.forward(result);
    return result;
  }
}

/** Gives back what it gets. */
export class Identity extends Module {
  /** `x` itself. */
  forward(x: Tensor): Tensor {
    return x;
  }
}
