/** The WGSL helper functions, and which of them a shader needs. */

import { bitHelpers } from "./functions-bits.js";
import { exponentialHelpers } from "./functions-exponential.js";
import { integerHelpers } from "./functions-integer.js";
import { powerHelpers } from "./functions-power.js";
import { trigonometricHelpers } from "./functions-trigonometric.js";
import type { Helper } from "./functions-text.js";

/** A WGSL function that shaders can call, under this name. */
export type HelperName =
  | keyof typeof bitHelpers
  | keyof typeof exponentialHelpers
  | keyof typeof integerHelpers
  | keyof typeof powerHelpers
  | keyof typeof trigonometricHelpers;

const library: Record<HelperName, Helper<HelperName>> = {
  ...bitHelpers,
  ...exponentialHelpers,
  ...integerHelpers,
  ...powerHelpers,
  ...trigonometricHelpers,
};

/** Collects the WGSL helper functions a shader needs, each once. */
export class Helpers {
  // A helper comes after those it calls: the set keeps the order of insertion.
  readonly #names = new Set<HelperName>();

  /** Makes a function callable in the shader. */
  use(name: HelperName): void {
    if (this.#names.has(name)) return;
    const { uses = [] } = library[name];
    for (const needed of uses) this.use(needed);
    this.#names.add(name);
  }

  /** Makes the functions callable that another shader calls. */
  useAll(others: Helpers): void {
    for (const name of others.#names) this.use(name);
  }

  /** The functions as WGSL text. */
  get code(): string {
    return [...this.#names].map((name) => library[name].text).join("\n");
  }
}
