/** Which parts of a model are meant, and putting others in their place. */

import { check } from "@x/tensor/checks";
import { Linear, type Module } from "@x/tensor/nn";
import { TiedProjection } from "../model/output.js";

/**
 * Which maps of a model are meant: names, or parts of names between dots, such as `"wq"`,
 * `"feed_forward"` or `"layers.0"`; or a function that says so for each.
 */
export type MapTargets = readonly string[] | ((name: string, map: Module) => boolean);

/** Whether `targets` mean the module with that name. */
export function isTargeted(targets: MapTargets, name: string, map: Module): boolean {
  if (typeof targets === "function") return targets(name, map);
  return targets.some((target) => `.${name}.`.includes(`.${target}.`));
}

/** A linear map in a model. */
export interface LinearPlace {
  /** Its first name. */
  readonly name: string;
  /** The module that stands there. */
  readonly module: Module;
  /** The map that it computes: the module itself, or for a tied projection one with its weight. */
  readonly map: Linear;
}

/** The linear map that a module computes, if it is one. */
export function linearMapOf(module: Module): Linear | null {
  if (module instanceof Linear) return module;
  if (!(module instanceof TiedProjection)) return null;
  const { weight, training } = module;
  const [outFeatures, inFeatures] = weight.shape as [number, number];
  const map = new Linear(inFeatures, outFeatures, { bias: false });
  return Object.assign(map, { weight, training });
}

/**
 * The linear maps of a model that `targets` mean, each once, with their first names.
 *
 * @throws XError `argument` if there are none
 */
export function linearMaps(op: string, model: Module, targets: MapTargets): LinearPlace[] {
  const all = model.namedModules().flatMap(([name, module]): LinearPlace[] => {
    const map = name === "" ? null : linearMapOf(module);
    return map === null ? [] : [{ name, module, map }];
  });
  const found = all.filter(({ name, map }) => isTargeted(targets, name, map));
  check(found.length > 0, "argument", () => {
    const wanted =
      typeof targets === "function" ? "a function that takes none" : targets.join(", ");
    const known = [...new Set(all.map(({ name }) => name.split(".").at(-1)!))].join(", ");
    return `${op}: the targets must name linear maps of the model, got ${wanted}. ${known === "" ? "Pass a model with linear maps." : `Choose among ${known}.`}`;
  });
  return found;
}

/** Puts modules in the places of others, wherever in the model those stand. */
export function replaceModules(model: Module, replacements: ReadonlyMap<Module, Module>): void {
  const replaced = (value: unknown): unknown => {
    if (Array.isArray(value)) {
      for (const [i, part] of value.entries()) value[i] = replaced(part);
      return value;
    }
    // What is no module has no replacement.
    return replacements.get(value as Module) ?? value;
  };
  for (const owner of model.modules()) {
    const properties = owner as Module & Record<string, unknown>;
    for (const [property, value] of Object.entries(properties)) {
      const other = replaced(value);
      if (other !== value) properties[property] = other;
    }
  }
}
