/** Where models came from, for saving them in the same layout. */

import type { Module } from "@x/tensor/nn";
import type { JsonObject } from "./config-file.js";
import type { Translation } from "./weights/load-weights.js";

/** The published layout that a model was loaded from. */
export interface Origin {
  /** What `config.json` said. */
  readonly json: JsonObject;
  /** How tensors were called. */
  readonly translation: Translation;
}

let origins: WeakMap<Module, Origin> | null = null;

/** Remembers where a model came from, as long as it lives. */
export function rememberOrigin(model: Module, origin: Origin): void {
  origins ??= new WeakMap();
  origins.set(model, origin);
}

/** Where a model came from; `null` for models that were not loaded from a published layout. */
export function originOf(model: Module): Origin | null {
  return origins?.get(model) ?? null;
}
