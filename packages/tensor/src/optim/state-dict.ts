/** What is saved of an optimizer. */

import { XError } from "../error.js";
import { stateName } from "../nn/names.js";
import { Tensor } from "../tensor/tensor.js";

/** What an option of a parameter group can be. */
export type OptionValue = number | boolean | readonly number[];

/** The state of a parameter: the number of its steps, and tensors of its shape. */
export type ParameterStateDict = Readonly<Record<string, Tensor | number>>;

/** The options of a parameter group under PyTorch's names, and the numbers of its parameters. */
export interface ParameterGroupDict {
  /** The options, e.g. `lr` and `weight_decay`. */
  readonly [option: string]: OptionValue;
  /** The numbers of its parameters. */
  readonly params: readonly number[];
}

/** The state of an optimizer, in the structure that PyTorch uses. */
export interface OptimizerStateDict {
  /** The state of each parameter that was updated, by its number. */
  readonly state: Readonly<Record<number, ParameterStateDict>>;
  /** The parameter groups in order. */
  readonly param_groups: readonly ParameterGroupDict[];
}

function isOption(value: unknown): value is OptionValue {
  if (typeof value === "number" || typeof value === "boolean") return true;
  return Array.isArray(value) && value.every((part) => typeof part === "number");
}

/** Options under PyTorch's names. */
export function saveOptions(options: object): Record<string, OptionValue> {
  const saved: Record<string, OptionValue> = {};
  for (const [name, value] of Object.entries(options)) {
    if (isOption(value)) saved[stateName(name)] = value;
  }
  return saved;
}

/** Those of `saved` that `group` has too, or that schedules add, under our names. */
export function loadOptions(group: object, saved: ParameterGroupDict): Record<string, OptionValue> {
  const loaded: Record<string, OptionValue> = {};
  for (const name of new Set([...Object.keys(group), "initialLr"])) {
    const value = Object.hasOwn(saved, stateName(name)) ? saved[stateName(name)] : undefined;
    if (name !== "params" && isOption(value)) loaded[name] = value;
  }
  return loaded;
}

/** An optimizer's state as named tensors and text notes: what a safetensors file holds. */
export interface PackedOptimizerState {
  /** The tensors, named `state.0.exp_avg` and so on. */
  readonly tensors: Record<string, Tensor>;
  /** The rest as JSON under the name `optimizer`. */
  readonly metadata: Record<string, string>;
}

/**
 * The state of an optimizer as named tensors and text notes, ready for `saveSafetensors`.
 *
 * @example
 * ```ts
 * const weight = new Parameter(ones([2]));
 * const optimizer = new Adam([weight]);
 * weight.square().sum().backward();
 * await optimizer.step();
 *
 * const { tensors, metadata } = packOptimizerState(optimizer.stateDict());
 * console.log(Object.keys(tensors)); // → [ 'state.0.exp_avg', 'state.0.exp_avg_sq' ]
 * optimizer.loadStateDict(unpackOptimizerState(tensors, metadata));
 * ```
 */
export function packOptimizerState(dict: OptimizerStateDict): PackedOptimizerState {
  const tensors: Record<string, Tensor> = {};
  const numbers: Record<string, Record<string, number>> = {};
  for (const [parameter, state] of Object.entries(dict.state)) {
    const own: Record<string, number> = {};
    for (const [name, value] of Object.entries(state)) {
      if (value instanceof Tensor) tensors[`state.${parameter}.${name}`] = value;
      else own[name] = value;
    }
    numbers[parameter] = own;
  }
  const optimizer = JSON.stringify({ state: numbers, param_groups: dict.param_groups });
  return { tensors, metadata: { optimizer } };
}

/**
 * The state of an optimizer from what `packOptimizerState` made of it.
 *
 * @param tensors what `loadSafetensors` gives; tensors with other names are ignored
 * @param metadata the notes of the file
 * @throws XError `checkpoint` if the notes hold no state of an optimizer
 */
export function unpackOptimizerState(
  tensors: ReadonlyMap<string, Tensor> | Readonly<Record<string, Tensor>>,
  metadata: ReadonlyMap<string, string> | Readonly<Record<string, string>>,
): OptimizerStateDict {
  const notes =
    metadata instanceof Map
      ? (metadata as ReadonlyMap<string, string>).get("optimizer")
      : (metadata as Readonly<Record<string, string>>).optimizer;
  const { state, param_groups } = parsed(notes);
  const result: Record<string, Record<string, Tensor | number>> = {};
  for (const [parameter, numbers] of Object.entries(state)) result[parameter] = { ...numbers };
  const entries =
    tensors instanceof Map
      ? [...(tensors as ReadonlyMap<string, Tensor>)]
      : Object.entries(tensors as Readonly<Record<string, Tensor>>);
  for (const [name, tensor] of entries) {
    const found = /^state\.(\d+)\.(\w+)$/.exec(name);
    if (found !== null) (result[found[1]!] ??= {})[found[2]!] = tensor;
  }
  return { state: result, param_groups };
}

interface Notes {
  readonly state: Readonly<Record<string, Readonly<Record<string, number>>>>;
  readonly param_groups: readonly ParameterGroupDict[];
}

/** The notes of `packOptimizerState`, checked. */
function parsed(text: string | undefined): Notes {
  let value: unknown = null;
  try {
    value = text === undefined ? null : JSON.parse(text);
  } catch {
    // Reported below.
  }
  if (!isNotes(value)) {
    throw new XError(
      "checkpoint",
      `unpackOptimizerState: the notes must hold the state of an optimizer, got ${text === undefined ? "none" : `"${text.slice(0, 40)}"`}. Pass the metadata that packOptimizerState gave.`,
    );
  }
  return value;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isNotes(value: unknown): value is Notes {
  return (
    isRecord(value) &&
    isRecord(value.state) &&
    Object.entries(value.state).every(
      ([parameter, numbers]) =>
        /^\d+$/.test(parameter) &&
        isRecord(numbers) &&
        Object.values(numbers).every((number) => typeof number === "number"),
    ) &&
    Array.isArray(value.param_groups) &&
    value.param_groups.every(
      (group: unknown) =>
        isRecord(group) &&
        Object.values(group).every(isOption) &&
        Array.isArray(group.params) &&
        group.params.every((number) => Number.isSafeInteger(number)),
    )
  );
}
