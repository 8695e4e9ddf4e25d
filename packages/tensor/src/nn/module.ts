/** The base of everything that has parameters. */

import { XError } from "../error.js";
import type { Device } from "../device/device.js";
import type { Tensor } from "../tensor/tensor.js";
import { joinNames, stateName } from "./names.js";
import { Buffer, Parameter } from "./parameter.js";
import { loadState, type LoadOptions, type LoadReport, type StateDict } from "./state-dict.js";
import { summarize } from "./summary.js";

/** What a module owns directly, by its name in the state dictionary. */
interface Members {
  readonly parameters: readonly (readonly [string, Parameter])[];
  readonly buffers: readonly (readonly [string, Buffer])[];
  readonly children: readonly (readonly [string, Module])[];
}

/**
 * The base of all modules. A subclass keeps its parameters, buffers and submodules in properties,
 * also in arrays of them, and computes in a method that is usually called `forward`.
 *
 * Properties are found by their type, in the order in which they were set: a {@link Parameter} is a
 * parameter, a {@link Buffer} a buffer, a `Module` a submodule. Other tensors are not part of the
 * module. The names in the state dictionary are those that PyTorch would give:
 * `selfAttn.inProjWeight` is `self_attn.in_proj_weight`, the first of an array `layers` is
 * `layers.0`.
 *
 * Mark private properties and methods `private`, not with a `#`: {@link Module.clone} copies the
 * properties without calling the constructor, and what has a `#` is there only after it was called.
 *
 * @example
 * ```ts
 * class Scaled extends Module {
 *   readonly linear = new Linear(3, 2);
 *   readonly logScale = new Parameter(zeros([]));
 *
 *   forward(x: Tensor): Tensor {
 *     return this.linear.forward(x).mul(this.logScale.exp());
 *   }
 * }
 *
 * const model = new Scaled();
 * console.log(Object.keys(model.stateDict())); // → [ 'log_scale', 'linear.weight', 'linear.bias' ]
 * console.log(model.forward(ones([4, 3])).shape); // → [ 4, 2 ]
 * ```
 */
export abstract class Module {
  /** Whether the module is trained now: dropout does nothing where it is not. Set by `train()`. */
  training = true;

  /** Switches this module and all in it to training, or away from it. Returns the module. */
  train(mode: boolean = true): this {
    for (const module of this.modules()) module.training = mode;
    return this;
  }

  /** Switches this module and all in it to inference: no dropout. The same as `train(false)`. */
  eval(): this {
    return this.train(false);
  }

  /** All parameters, each once. */
  parameters(): Parameter[] {
    const found = new Set<Parameter>();
    // Called in every training step: without names, this takes a fraction of the time.
    for (const module of this.modules()) {
      eachMember(module, (member) => {
        if (member instanceof Parameter) found.add(member);
      });
    }
    return [...found];
  }

  /** All parameters with their first names in the state dictionary, each once. */
  namedParameters(): [string, Parameter][] {
    return firstNames(named(this, ({ parameters }) => parameters));
  }

  /** All buffers, each once. */
  buffers(): Buffer[] {
    return this.namedBuffers().map(([, buffer]) => buffer);
  }

  /** All buffers with their first names in the state dictionary, each once. */
  namedBuffers(): [string, Buffer][] {
    return firstNames(named(this, ({ buffers }) => buffers));
  }

  /** This module and all in it, each once. */
  modules(): Module[] {
    const found = new Set<Module>();
    const visit = (module: Module, outer: readonly Module[]): void => {
      checkNotInside(module, outer);
      if (found.has(module)) return;
      found.add(module);
      const inner = [...outer, module];
      eachMember(module, (member) => {
        if (member instanceof Module) visit(member, inner);
      });
    };
    visit(this, []);
    return [...found];
  }

  /** This module, named `""`, and all in it with their first names, each once. */
  namedModules(): [string, Module][] {
    return firstNames([...walk(this, "", [])]);
  }

  /** The modules that are properties of this one, with their names. */
  namedChildren(): [string, Module][] {
    return firstNames(membersOf(this).children);
  }

  /** Calls `fn` for every module in this one, then for this one. Returns the module. */
  apply(fn: (module: Module) => void): this {
    for (const module of this.modules().reverse()) fn(module);
    return this;
  }

  /**
   * Parameters and persistent buffers by their PyTorch names. The tensors are those of the module,
   * not copies; a tensor that is used twice stands under both names.
   *
   * @example
   * ```ts
   * const { weight } = new LayerNorm(4).stateDict();
   * console.log(await weight!.toArray()); // → [ 1, 1, 1, 1 ]
   * ```
   */
  stateDict(): StateDict {
    const state: StateDict = {};
    const tensors = named(this, ({ parameters, buffers }) => [
      ...parameters,
      ...buffers.filter(([, buffer]) => buffer.persistent),
    ]);
    for (const [name, tensor] of tensors) {
      if (Object.hasOwn(state, name)) {
        throw new XError(
          "argument",
          `stateDict: every tensor must have a name of its own, got "${name}" twice. Rename one of the properties.`,
        );
      }
      state[name] = tensor;
    }
    return state;
  }

  /**
   * Gives the module the numbers of a state dictionary. Everything is checked before anything is
   * changed. Floating-point tensors may have another floating-point type and are converted. Of a
   * tensor that the module uses under several names, one suffices.
   *
   * @param state tensors by their PyTorch names, such as `stateDict()` or `loadSafetensors` give
   * @returns the names that were missing in `state`, and those in it that the module does not have
   * @throws XError `checkpoint` if a shape or type does not fit or, unless `strict` is false, a name
   * is missing or unexpected
   * @example
   * ```ts
   * const trained = new Linear(2, 1);
   * const other = new Linear(2, 1);
   * const report = other.loadStateDict(trained.stateDict());
   * console.log(report); // → { missing: [], unexpected: [] }
   * ```
   */
  loadStateDict(
    state: ReadonlyMap<string, Tensor> | Readonly<Record<string, Tensor>>,
    options: LoadOptions = {},
  ): LoadReport {
    return loadState(this.constructor.name, this.stateDict(), state, options);
  }

  /** Removes the gradients of all parameters. */
  zeroGrad(): void {
    for (const parameter of this.parameters()) parameter.grad = null;
  }

  /** Says for all parameters whether gradients are wanted. Returns the module. */
  requiresGrad(required: boolean = true): this {
    for (const parameter of this.parameters()) parameter.setRequiresGrad(required);
    return this;
  }

  /**
   * Moves all parameters and buffers to a device; their gradients are dropped. Tensors keep their
   * identity, so an optimizer that knows them goes on working.
   */
  async to(device: Device): Promise<this> {
    for (const tensor of [...this.parameters(), ...this.buffers()]) await tensor.moveTo(device);
    return this;
  }

  /**
   * A module of the same kind with copies of all parameters and buffers. Parts that are used twice
   * in this module are used twice in the copy; functions are shared.
   *
   * The constructor is not called: subclasses mark what is private `private`, not with a `#`.
   */
  clone(): this {
    return cloneOf(this, new Map()) as this;
  }

  /** Releases the memory of all parameters and buffers. */
  dispose(): void {
    for (const tensor of [...this.parameters(), ...this.buffers()]) tensor.dispose();
  }

  /** Lets `using` release the module at the end of its block. */
  [Symbol.dispose](): void {
    this.dispose();
  }

  /**
   * A table of all modules with the shapes and the number of their parameters.
   *
   * @example
   * ```ts
   * const model = new Sequential(new Linear(4, 8), new ReLU(), new Linear(8, 2));
   * console.log(model.summary());
   * // → name  kind        shapes                   parameters
   * // →       Sequential
   * // → 0     Linear      weight [8, 4]  bias [8]          40
   * // → 1     ReLU
   * // → 2     Linear      weight [2, 8]  bias [2]          18
   * // → 58 parameters, 58 of them trained; 232 bytes
   * ```
   */
  summary(): string {
    return summarize(
      this.namedModules().map(([name, module]) => {
        const { parameters, buffers } = membersOf(module);
        return { name, kind: module.constructor.name, parameters, buffers };
      }),
    );
  }
}

/** The parameters, buffers and modules among a module's properties. */
function membersOf(module: Module): Members {
  const members = {
    parameters: [] as [string, Parameter][],
    buffers: [] as [string, Buffer][],
    children: [] as [string, Module][],
  };
  const add = (name: string, value: unknown): void => {
    if (value instanceof Parameter) members.parameters.push([name, value]);
    else if (value instanceof Buffer) members.buffers.push([name, value]);
    else if (value instanceof Module) members.children.push([name, value]);
    else if (Array.isArray(value)) {
      value.forEach((part: unknown, i) => {
        add(joinNames(name, String(i)), part);
      });
    }
  };
  for (const [property, value] of Object.entries(module)) add(stateName(property), value);
  return members;
}

/** Calls `visit` for every parameter, buffer and module among a module's properties. */
function eachMember(module: Module, visit: (member: unknown) => void): void {
  const visitAll = (value: unknown): void => {
    if (Array.isArray(value)) value.forEach(visitAll);
    else if (typeof value === "object" && value !== null) visit(value);
  };
  Object.values(module).forEach(visitAll);
}

function checkNotInside(module: Module, outer: readonly Module[]): void {
  if (!outer.includes(module)) return;
  throw new XError(
    "argument",
    `${module.constructor.name}: a module must not contain itself, got it again inside of ${outer.at(-1)!.constructor.name}. Refer to outer modules through a function, such as () => outer.`,
  );
}

/** A module and all in it with full names: a module that is used twice comes twice. */
function* walk(
  module: Module,
  prefix: string,
  outer: readonly Module[],
): Generator<[string, Module]> {
  checkNotInside(module, outer);
  yield [prefix, module];
  for (const [name, child] of membersOf(module).children) {
    yield* walk(child, joinNames(prefix, name), [...outer, module]);
  }
}

/** What `select` finds in all modules, with full names, also under several. */
function named<T>(
  root: Module,
  select: (members: Members) => readonly (readonly [string, T])[],
): [string, T][] {
  const found: [string, T][] = [];
  for (const [prefix, module] of walk(root, "", [])) {
    for (const [name, member] of select(membersOf(module))) {
      found.push([joinNames(prefix, name), member]);
    }
  }
  return found;
}

/** The pairs without those whose second part came before. */
function firstNames<T>(pairs: readonly (readonly [string, T])[]): [string, T][] {
  const seen = new Set<T>();
  const result: [string, T][] = [];
  for (const [name, member] of pairs) {
    if (seen.has(member)) continue;
    seen.add(member);
    result.push([name, member]);
  }
  return result;
}

/** A copy of what a module's property holds. */
function cloneOf(value: unknown, copies: Map<unknown, unknown>): unknown {
  const known = copies.get(value);
  if (known !== undefined) return known;
  if (value instanceof Parameter) {
    const copy = new Parameter(value, { requiresGrad: value.requiresGrad });
    copies.set(value, copy);
    return copy;
  }
  if (value instanceof Buffer) {
    const copy = new Buffer(value, { persistent: value.persistent });
    copies.set(value, copy);
    return copy;
  }
  if (Array.isArray(value)) return value.map((part: unknown) => cloneOf(part, copies));
  if (!(value instanceof Module)) return value;
  const copy = Object.create(Object.getPrototypeOf(value) as object) as Record<string, unknown>;
  copies.set(value, copy);
  for (const [property, part] of Object.entries(value)) copy[property] = cloneOf(part, copies);
  return copy;
}
