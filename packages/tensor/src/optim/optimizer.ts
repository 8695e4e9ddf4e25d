/** What all optimizers have in common. */

import { check, XError } from "../error.js";
import type { Device } from "../device/device.js";
import { withGradient, type Value } from "../graph/node.js";
import { realizeValues } from "../plan/realize.js";
import { checkNumbers, nonNegative } from "../tensor/arguments.js";
import { fromData } from "../tensor/creation.js";
import { formatShape, sameShape } from "../tensor/shape.js";
import { Tensor } from "../tensor/tensor.js";
import {
  loadOptions,
  saveOptions,
  type OptimizerStateDict,
  type ParameterStateDict,
} from "./state-dict.js";

/** Parameters that are updated with the same options. */
export interface ParameterGroup {
  /** The parameters. */
  readonly params: readonly Tensor[];
  /** The learning rate; schedules change it. */
  lr: number;
  /** The learning rate before any schedule changed it; set by the first schedule. */
  initialLr?: number;
}

/** A parameter group as it is given: what is left out comes from the optimizer's own options. */
export type ParameterGroupInput<Options> = Partial<Options> & {
  /** The parameters. */
  readonly params: Iterable<Tensor>;
};

/** Parameters, or groups of them with options of their own. */
export type OptimizerParameters<Options> =
  Iterable<Tensor> | Iterable<ParameterGroupInput<Options>>;

/** What an optimizer remembers of a parameter. */
interface ParameterState {
  /** How many steps it took part in. */
  step: number;
  /** Tensors of its shape, by their names in state dictionaries. */
  readonly tensors: Record<string, Tensor>;
}

/** Parameters of a group that took part in equally many steps, on one device. */
export interface Batch<Group> {
  readonly group: Group;
  /** The number of this step for these parameters: 1 the first time. */
  readonly step: number;
  readonly device: Device;
  readonly parameters: readonly Tensor[];
}

/**
 * The base of optimizers: parameter groups, state, and the step.
 *
 * A step reads the gradients that `backward()` left, and updates the parameters in place. Loss,
 * gradients, clipping and update are computed by one plan, and a learning rate that changes needs
 * no new one.
 */
export abstract class Optimizer<Options extends object = object> {
  /** Parameters and their options. Options may be changed between steps. */
  readonly paramGroups: (Options & ParameterGroup)[] = [];
  readonly #name: string;
  readonly #defaults: Options & { lr: number };
  readonly #state = new Map<Tensor, ParameterState>();

  /** @internal */
  constructor(
    name: string,
    parameters: OptimizerParameters<Options>,
    defaults: Options & { lr: number },
  ) {
    this.#name = name;
    this.#defaults = defaults;
    const given = [...(parameters as Iterable<Tensor | ParameterGroupInput<Options>>)];
    check(
      given.length > 0,
      "argument",
      () =>
        `${name}: at least one parameter is needed, got none. Pass model.parameters() after the model is complete.`,
    );
    const isPlain = given.every((part) => part instanceof Tensor);
    const groups = isPlain
      ? // A group without options takes the defaults, which the type cannot say of every `Options`.
        [{ params: given } as unknown as ParameterGroupInput<Options>]
      : (given as ParameterGroupInput<Options>[]);
    for (const group of groups) this.addParamGroup(group);
  }

  /** The state tensors that a parameter of the group needs, by their names in state dictionaries. */
  protected abstract stateNames(group: Options & ParameterGroup): readonly string[];

  /** Throws if the options of a group are out of range. */
  protected abstract checkOptions(owner: string, group: Options & ParameterGroup): void;

  /** Gives the group another momentum (for Adam: another β₁), as some schedules do. */
  abstract setMomentum(group: Options & ParameterGroup, momentum: number): void;

  /**
   * Records the update of some parameters. `tensors` are for each of them the parameter, its
   * gradient and its state in the order of `stateNames`. Gives their new values, without gradients.
   */
  protected abstract update(
    batch: Batch<Options & ParameterGroup>,
    tensors: readonly Value[],
  ): readonly Value[];

  /**
   * Adds parameters, with options of their own where given.
   *
   * @throws XError `argument` if a parameter is not one, belongs to a group already, or an option is
   * out of range
   */
  addParamGroup(input: ParameterGroupInput<Options>): void {
    const { params, ...own } = input;
    const parameters = [...params];
    const known = new Set(this.paramGroups.flatMap((group) => group.params));
    for (const parameter of parameters) {
      check(
        parameter instanceof Tensor && parameter.requiresGrad,
        "argument",
        () =>
          `${this.#name}: parameters must be tensors that require gradients, got ${parameter instanceof Tensor ? "one that does not" : typeof parameter}. Call setRequiresGrad(), or leave it out.`,
      );
      check(
        !known.has(parameter),
        "argument",
        () =>
          `${this.#name}: every parameter must belong to one group, got one of shape ${formatShape(parameter.shape)} twice. Remove it from one of them.`,
      );
      known.add(parameter);
    }
    const group = {
      ...this.#defaults,
      ...(own as Partial<Options>),
      params: parameters,
    } as Options & ParameterGroup;
    this.#checkGroup(group);
    this.paramGroups.push(group);
  }

  #checkGroup(group: Options & ParameterGroup): void {
    checkNumbers(this.#name, nonNegative, { "the learning rate": group.lr });
    this.checkOptions(this.#name, group);
  }

  /** Removes the gradients of all parameters. */
  zeroGrad(): void {
    for (const { params } of this.paramGroups) {
      for (const parameter of params) parameter.grad = null;
    }
  }

  /**
   * Updates all parameters that have a gradient, in place. The promise resolves once everything is
   * computed: what belongs to the gradients (the loss, for example) can then be read at no cost.
   *
   * @throws XError `argument` if an option of a group was changed to something out of range
   */
  async step(): Promise<void> {
    for (const group of this.paramGroups) this.#checkGroup(group);
    const computed = new Map<Device, Value[]>();
    withGradient(false, () => {
      for (const group of this.paramGroups) {
        for (const batch of this.#batches(group)) {
          let values = computed.get(batch.device);
          if (values === undefined) computed.set(batch.device, (values = []));
          values.push(...this.#updateBatch(batch));
        }
      }
    });
    for (const values of computed.values()) await realizeValues(values, new Set());
  }

  #batches(group: Options & ParameterGroup): Batch<Options & ParameterGroup>[] {
    const batches: { readonly step: number; readonly device: Device; parameters: Tensor[] }[] = [];
    for (const parameter of group.params) {
      if (parameter.grad === null) continue;
      const step = (this.#state.get(parameter)?.step ?? 0) + 1;
      const device = parameter.device!;
      let batch = batches.find((other) => other.step === step && other.device === device);
      if (batch === undefined) batches.push((batch = { step, device, parameters: [] }));
      batch.parameters.push(parameter);
    }
    return batches.map((batch) => ({ ...batch, group }));
  }

  /** Records the update of a batch; gives everything that has to be computed. */
  #updateBatch(batch: Batch<Options & ParameterGroup>): Value[] {
    const names = this.stateNames(batch.group);
    const tensors: Value[] = [];
    const targets: Tensor[] = [];
    const gradients: Value[] = [];
    for (const parameter of batch.parameters) {
      const state = this.#stateOf(parameter, names);
      state.step = batch.step;
      const own = names.map((name) => state.tensors[name]!);
      const gradient = parameter.grad!.value;
      gradients.push(gradient);
      tensors.push(parameter.value, gradient, ...own.map(({ value }) => value));
      targets.push(parameter, ...own);
    }
    const results = this.update(batch, tensors);
    targets.forEach((target, i) => target.assign(new Tensor(results[i]!)));
    return [...gradients, ...targets.map(({ value }) => value)];
  }

  #stateOf(parameter: Tensor, names: readonly string[]): ParameterState {
    let state = this.#state.get(parameter);
    if (state === undefined) this.#state.set(parameter, (state = { step: 0, tensors: {} }));
    for (const name of names) {
      state.tensors[name] ??= fromData(new Float32Array(parameter.size), parameter.shape, {
        device: parameter.device!,
      });
    }
    return state;
  }

  /**
   * Everything that has to be saved to go on later, in the structure of PyTorch: the state of each
   * parameter by its number, and the options of each group with the numbers of its parameters. The
   * tensors are those of the optimizer, not copies. `packOptimizerState` makes it ready for a file.
   */
  stateDict(): OptimizerStateDict {
    const numbers = this.#numbers();
    const state: Record<number, ParameterStateDict> = {};
    for (const [parameter, number] of numbers) {
      const own = this.#state.get(parameter);
      if (own !== undefined) state[number] = { step: own.step, ...own.tensors };
    }
    const groups = this.paramGroups.map(({ params, ...options }) => ({
      ...saveOptions(options),
      params: params.map((parameter) => numbers.get(parameter)!),
    }));
    return { state, param_groups: groups };
  }

  #numbers(): Map<Tensor, number> {
    const parameters = this.paramGroups.flatMap((group) => group.params);
    return new Map(parameters.map((parameter, i) => [parameter, i]));
  }

  /**
   * Goes on from what `stateDict()` of an optimizer of the same kind gave, with the same parameters
   * in the same order. Everything is checked before anything is changed.
   *
   * @throws XError `checkpoint` if the state does not fit the optimizer
   */
  loadStateDict(dict: OptimizerStateDict): void {
    const refuse = (wrong: string): never => {
      throw new XError(
        "checkpoint",
        `${this.#name}: the state must fit the optimizer, got ${wrong}. Make the optimizer with the same parameters in the same order.`,
      );
    };
    const groups = dict.param_groups;
    if (groups.length !== this.paramGroups.length) {
      refuse(`${groups.length} parameter groups for ${this.paramGroups.length}`);
    }
    const loaded: [Tensor, ParameterState][] = [];
    const options = this.paramGroups.map((group, i) => {
      const given = groups[i]!;
      const count = given.params.length;
      if (count !== group.params.length) {
        refuse(`${count} parameters in group ${i} for ${group.params.length}`);
      }
      const merged = { ...group, ...loadOptions(group, given) };
      this.#checkGroup(merged);
      const names = this.stateNames(merged);
      group.params.forEach((parameter, j) => {
        const state = dict.state[given.params[j]!];
        if (state === undefined) return;
        loaded.push([parameter, loadedState(parameter, state, names, refuse)]);
      });
      return merged;
    });
    options.forEach((merged, i) => Object.assign(this.paramGroups[i]!, merged));
    this.#state.clear();
    for (const [parameter, { step, tensors }] of loaded) {
      const names = Object.keys(tensors);
      const state = this.#stateOf(parameter, names);
      state.step = step;
      for (const name of names) state.tensors[name]!.initialize(tensors[name]!);
    }
  }
}

/** Checks what was saved of a parameter. */
function loadedState(
  parameter: Tensor,
  saved: ParameterStateDict,
  names: readonly string[],
  refuse: (wrong: string) => never,
): ParameterState {
  const step = typeof saved.step === "number" ? saved.step : NaN;
  if (!Number.isSafeInteger(step) || step < 0) refuse(`${step} as the number of steps`);
  const tensors: Record<string, Tensor> = {};
  for (const name of names) {
    const tensor = saved[name];
    const found = tensor instanceof Tensor ? `one of shape ${formatShape(tensor.shape)}` : "none";
    if (!(tensor instanceof Tensor) || !sameShape(tensor.shape, parameter.shape)) {
      return refuse(
        `for "${name}" of a parameter of shape ${formatShape(parameter.shape)} ${found}`,
      );
    }
    tensors[name] = tensor.dtype === "float32" ? tensor : tensor.cast("float32");
  }
  return { step, tensors };
}
