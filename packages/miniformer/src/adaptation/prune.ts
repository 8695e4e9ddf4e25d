/** Pruning by magnitude. */

import { tensor, type Tensor } from "@x/tensor";
import { check, checkChoice, checkNumbers, probability } from "@x/tensor/checks";
import { Buffer, Embedding, type Linear, type Module } from "@x/tensor/nn";
import { AdaptedLinear, withAdaptation } from "./adapted-linear.js";
import { linearMaps, replaceModules, type MapTargets } from "./targets.js";

/** Options of {@link prune}. */
export interface PruneOptions {
  /** The part of the weights that is pruned, from 0 to 1; those pruned before count. */
  readonly amount: number;
  /** Whether the smallest of all maps together are pruned, or of each. Default `"global"`. */
  readonly scope?: "global" | "layer";
  /** Which linear maps are pruned. Default: all whose weight is not that of an embedding. */
  readonly targets?: MapTargets;
}

/** The sparsity of one map. */
export interface PrunedMap {
  /** Its first name. */
  readonly name: string;
  /** How many weights it has. */
  readonly size: number;
  /** How many of them are pruned. */
  readonly pruned: number;
  /** `pruned / size` */
  readonly sparsity: number;
}

/** What {@link prune} did. */
export interface PruningReport {
  /** Every map, in the order of the model. */
  readonly maps: readonly PrunedMap[];
  /** The part of all their weights that is pruned. */
  readonly sparsity: number;
}

/**
 * Prunes the weights of smallest magnitude of a model's linear maps. Each map gets a `mask`, and computes
 * with `W ∘ mask`, so pruned weights count as 0 however the model is trained, and get no gradient. Prune
 * again with a larger `amount` to go on; {@link finishPruning} makes plain maps of the result.
 *
 * @throws XError `argument` if the amount is out of range, the targets name no linear map, or a weight is
 * not float32
 * @example
 * ```ts
 * const model = new Sequential(new Linear(8, 16), new ReLU(), new Linear(16, 2));
 * const report = await prune(model, { amount: 0.75 });
 * console.log(report.sparsity); // → 0.75
 * const layer = model[0] as Linear;
 * const { maps } = await prune(model, { amount: 0.5, scope: "layer", targets: ["2"] });
 * console.log(maps[0]!.pruned >= 16, layer.forward(randn([3, 8])).shape); // → true [ 3, 16 ]
 * ```
 *
 * @see Han et al.: Learning both Weights and Connections for Efficient Neural Networks (2015)
 */
export async function prune(model: Module, options: PruneOptions): Promise<PruningReport> {
  const { amount, scope = "global" } = options;
  checkNumbers("prune", probability, { amount });
  checkChoice("prune", "scope", scope, ["global", "layer"]);
  const tables = new Set<Tensor>(
    model.modules().flatMap((module) => (module instanceof Embedding ? [module.weight] : [])),
  );
  const { targets = (_, map) => !tables.has((map as Linear).weight) } = options;
  const maps = linearMaps("prune", model, targets);
  for (const { name, map } of maps) {
    check(
      map.weight.dtype === "float32",
      "argument",
      () =>
        `prune: weights must be float32, got ${map.weight.dtype} for ${name}. Prune before quantize().`,
    );
  }
  const sizes = await Promise.all(maps.map(({ map }) => magnitudes(map)));
  const groups = scope === "global" ? [sizes] : sizes.map((own) => [own]);
  const kept = groups.flatMap((group) => keptOf(group, amount));
  const replacements = new Map<Module, Linear>();
  const reports = maps.map(({ name, module, map }, i): PrunedMap => {
    const flags = kept[i]!;
    const mask = tensor(flags, { dtype: "bool" }).reshape(map.weight.shape);
    if (map instanceof AdaptedLinear && map.mask !== null) map.mask.assign(mask);
    else replacements.set(module, withAdaptation(map, { mask: new Buffer(mask) }));
    const pruned = flags.reduce((sum, flag) => sum + 1 - flag, 0);
    return { name, size: flags.length, pruned, sparsity: pruned / flags.length };
  });
  replaceModules(model, replacements);
  const total = (count: (map: PrunedMap) => number): number =>
    reports.reduce((sum, map) => sum + count(map), 0);
  return { maps: reports, sparsity: total((map) => map.pruned) / total((map) => map.size) };
}

/** The magnitudes of a map's weights; −1 where they are pruned, so that they stay so. */
async function magnitudes(map: Linear): Promise<Float32Array> {
  const size = map.weight.detach().abs();
  const mask = map instanceof AdaptedLinear ? map.mask : null;
  // Magnitudes are float32.
  return (await (mask === null ? size : size.where(mask, -1)).data()) as Float32Array;
}

/** 1 for the largest of all numbers of a group, 0 for the others; of equal ones the first go first. */
function keptOf(group: readonly Float32Array[], amount: number): Uint8Array[] {
  const count = group.reduce((sum, numbers) => sum + numbers.length, 0);
  const all = new Float32Array(count);
  let at = 0;
  for (const numbers of group) {
    all.set(numbers, at);
    at += numbers.length;
  }
  all.sort();
  const pruned = Math.round(amount * count);
  const limit = pruned === 0 ? -Infinity : all[pruned - 1]!;
  let equal = pruned - all.findIndex((x) => x === limit);
  return group.map((numbers) =>
    Uint8Array.from(numbers, (x) => Number(x > limit || (x === limit && equal-- <= 0))),
  );
}

/**
 * Writes zeros into the pruned weights of a model and takes the masks away: plain linear maps that give
 * the same.
 *
 * @throws XError `argument` if nothing in the model is pruned
 * @example
 * ```ts
 * const model = new Sequential(new Linear(8, 16));
 * await prune(model, { amount: 0.5 });
 * await finishPruning(model);
 * console.log(await model.stateDict()["0.weight"]!.eq(0).sum().item()); // → 64
 * ```
 */
export async function finishPruning(model: Module): Promise<void> {
  const maps = model
    .modules()
    .filter(
      (module): module is AdaptedLinear => module instanceof AdaptedLinear && module.mask !== null,
    );
  check(
    maps.length > 0,
    "argument",
    () =>
      `finishPruning: the model must have masks, got none in ${model.constructor.name}. Call prune() first.`,
  );
  for (const map of maps) {
    map.weight.assign(map.weight.detach().mul(map.mask!));
    await map.weight.realize();
  }
  replaceModules(model, new Map(maps.map((map) => [map, withAdaptation(map, { mask: null })])));
}
