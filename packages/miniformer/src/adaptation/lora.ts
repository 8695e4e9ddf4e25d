/** Low-rank adapters: fine-tuning few numbers beside frozen weights. */

import { randn, zeros, type Tensor } from "@x/tensor";
import { check, checkNumbers, count, finite, probability } from "@x/tensor/checks";
import { Parameter, type LoadReport, type Module, type StateDict } from "@x/tensor/nn";
import { AdaptedLinear, withAdaptation } from "./adapted-linear.js";
import { linearMaps, replaceModules, type MapTargets } from "./targets.js";

/** Options of {@link addLora}. */
export interface LoraOptions {
  /** How many rows `A` has. Default 8. */
  readonly rank?: number;
  /** The adapter's result is multiplied by `alpha / rank`. Default: `rank`. */
  readonly alpha?: number;
  /** The probability with which inputs of adapters are dropped in training. Default 0. */
  readonly dropout?: number;
  /** Which linear maps get adapters. Default `["wq", "wv"]`, as in the paper. */
  readonly targets?: MapTargets;
}

/**
 * Puts low-rank adapters beside linear maps of a model: `y = W x + b + (alpha / rank) B A x`. `A` starts
 * with normal numbers of variance `1 / in`, `B` with zeros, so the model gives what it gave. All other
 * parameters are frozen: train `model.parameters().filter((p) => p.requiresGrad)`, which are the adapters.
 *
 * The names of the model's tensors do not change; those of the adapters end with `lora_a` and `lora_b`. A
 * map that stands in several places has one adapter. Weights may be int8 or float16 ({@link quantize}).
 *
 * @returns the maps with adapters, in the order of the model
 * @throws XError `argument` if an option is out of range, the targets name no linear map, or one of them
 * has an adapter already
 * @example
 * ```ts
 * const model = new Sequential(new Linear(8, 16), new ReLU(), new Linear(16, 2));
 * addLora(model, { rank: 2, targets: ["0"] });
 * const trained = model.parameters().filter((parameter) => parameter.requiresGrad);
 * console.log(trained.map((parameter) => parameter.shape)); // → [ [ 2, 8 ], [ 16, 2 ] ]
 * ```
 *
 * @see Hu et al.: LoRA: Low-Rank Adaptation of Large Language Models (2021)
 */
export function addLora(model: Module, options: LoraOptions = {}): AdaptedLinear[] {
  const { rank = 8, alpha = rank, dropout = 0, targets = ["wq", "wv"] } = options;
  checkNumbers("addLora", count, { rank });
  checkNumbers("addLora", finite, { alpha });
  checkNumbers("addLora", probability, { dropout });
  const maps = linearMaps("addLora", model, targets);
  for (const { name, map } of maps) {
    check(
      !(map instanceof AdaptedLinear) || map.loraA === null,
      "argument",
      () =>
        `addLora: a map must have one adapter at most, got ${name}, which has one. Call mergeLora() or removeLora() first.`,
    );
  }
  for (const parameter of model.parameters()) {
    if (parameter.dtype === "float32") parameter.setRequiresGrad(false);
  }
  const replacements = new Map<Module, AdaptedLinear>();
  for (const { module, map } of maps) {
    const { inFeatures, outFeatures } = map;
    const loraA = new Parameter(randn([rank, inFeatures]).mul(1 / Math.sqrt(inFeatures)));
    const loraB = new Parameter(zeros([outFeatures, rank]));
    const parts = { loraA, loraB, loraScale: alpha / rank, loraDropout: dropout };
    replacements.set(module, new AdaptedLinear(map, parts));
  }
  replaceModules(model, replacements);
  return [...replacements.values()];
}

/** The maps of a model that have adapters. */
function adaptedMaps(op: string, model: Module): [string, AdaptedLinear][] {
  const maps = model
    .namedModules()
    .filter(
      (entry): entry is [string, AdaptedLinear] =>
        entry[1] instanceof AdaptedLinear && entry[1].loraA !== null,
    );
  check(
    maps.length > 0,
    "argument",
    () =>
      `${op}: the model must have adapters, got none in ${model.constructor.name}. Call addLora() first.`,
  );
  return maps;
}

/**
 * The tensors of all adapters by their names: the part of the state dictionary whose names end with
 * `lora_a` and `lora_b`. They are those of the model, not copies.
 *
 * @throws XError `argument` if there are none
 * @example
 * ```ts
 * const model = new Sequential(new Linear(8, 16));
 * addLora(model, { rank: 2, targets: ["0"] });
 * console.log(Object.keys(loraStateDict(model))); // → [ '0.lora_a', '0.lora_b' ]
 * ```
 */
export function loraStateDict(model: Module): StateDict {
  adaptedMaps("loraStateDict", model);
  return Object.fromEntries(
    Object.entries(model.stateDict()).filter(([name]) => /(^|\.)lora_[ab]$/.test(name)),
  );
}

/**
 * Gives the adapters of a model the numbers that {@link loraStateDict} gave: the model has adapters of
 * that rank in those places already.
 *
 * @throws XError `checkpoint` if a name is missing or unexpected, or a shape does not fit; `argument` if
 * the model has no adapters
 * @example
 * ```ts
 * const [model, other] = [new Sequential(new Linear(8, 16)), new Sequential(new Linear(8, 16))];
 * for (const each of [model, other]) addLora(each, { rank: 2, targets: ["0"] });
 * console.log(loadLora(other, loraStateDict(model))); // → { missing: [], unexpected: [] }
 * ```
 */
export function loadLora(
  model: Module,
  state: ReadonlyMap<string, Tensor> | Readonly<Record<string, Tensor>>,
): LoadReport {
  const names = Object.keys(loraStateDict(model));
  const given = state instanceof Map ? (state as ReadonlyMap<string, Tensor>) : null;
  const unexpected = [...(given?.keys() ?? Object.keys(state))].filter(
    (name) => !names.includes(name),
  );
  check(
    unexpected.length === 0,
    "checkpoint",
    () =>
      `loadLora: the state must hold adapters that the model has, got ${unexpected.slice(0, 10).join(", ")}. Call addLora() with the targets that it was saved with.`,
  );
  // Of the names of a map that stands in several places one suffices, as loading knows.
  const report = model.loadStateDict(state, { strict: false });
  const missing = report.missing.filter((name) => names.includes(name));
  check(
    missing.length === 0,
    "checkpoint",
    () =>
      `loadLora: the state must hold every adapter of the model, got none for ${missing.slice(0, 10).join(", ")}. Call addLora() with the targets that it was saved with.`,
  );
  return { missing, unexpected };
}

/**
 * Adds the adapters to the weights, `W + (alpha / rank) B A`, and takes them out: the model gives the
 * same, to rounding, with plain linear maps. All parameters are trained again. A weight that other parts
 * of the model use too, such as an embedding, keeps its numbers: the map gets one of its own.
 *
 * @throws XError `argument` if there are no adapters, or weights are int8 or float16
 * @example
 * ```ts
 * const model = new Sequential(new Linear(8, 16));
 * addLora(model, { rank: 2, targets: ["0"] });
 * await mergeLora(model);
 * console.log(Object.keys(model.stateDict())); // → [ '0.weight', '0.bias' ]
 * ```
 */
export async function mergeLora(model: Module): Promise<void> {
  const maps = adaptedMaps("mergeLora", model);
  for (const [name, map] of maps) {
    check(
      map.weight.dtype === "float32",
      "argument",
      () =>
        `mergeLora: weights must be float32 to take an adapter in, got ${map.weight.dtype} for ${name}. Merge before quantize(), or keep the adapters.`,
    );
  }
  const users = usersOf(model);
  for (const [, map] of maps) {
    const sum = map.weight.detach().add(map.loraWeight()!.detach());
    if (users.get(map.weight) === 1) map.weight.assign(sum);
    else Object.assign(map, { weight: new Parameter(sum) });
    await map.weight.realize();
  }
  detachAdapters(model, maps);
}

/** By how many modules each parameter is used. */
function usersOf(model: Module): Map<Tensor, number> {
  const users = new Map<Tensor, number>();
  for (const module of model.modules()) {
    for (const value of Object.values(module)) {
      if (value instanceof Parameter) users.set(value, (users.get(value) ?? 0) + 1);
    }
  }
  return users;
}

/**
 * Takes the adapters out of a model, which gives what it gave before them. All parameters are trained
 * again.
 *
 * @throws XError `argument` if there are none
 * @example
 * ```ts
 * const model = new Sequential(new Linear(8, 16));
 * addLora(model, { rank: 2, targets: ["0"] });
 * removeLora(model);
 * console.log(Object.keys(model.stateDict())); // → [ '0.weight', '0.bias' ]
 * ```
 */
export function removeLora(model: Module): void {
  detachAdapters(model, adaptedMaps("removeLora", model));
}

function detachAdapters(model: Module, maps: readonly (readonly [string, AdaptedLinear])[]): void {
  const none = { loraA: null, loraB: null, loraScale: 1, loraDropout: 0 };
  replaceModules(model, new Map(maps.map(([, map]) => [map, withAdaptation(map, none)])));
  for (const parameter of model.parameters()) {
    if (parameter.dtype === "float32") parameter.setRequiresGrad();
  }
}
