/** The mechanisms by their names, in configurations of @x/miniformer. */

import { registerAttention } from "@x/miniformer";
import { mechanisms } from "./table.js";

/**
 * Gives every mechanism its name. What depends on the length is made for the option `length`, which is
 * that of training, or without it for the longest sequence.
 */
export function registerMechanisms(): void {
  for (const { name, make, needsNorm } of mechanisms) {
    // Models have it by themselves.
    if (name === "softmax") continue;
    registerAttention(name, {
      make: ({ headDim, length, options }) =>
        make({ headDim, length: Number(options.length ?? length) }),
      needsNorm,
    });
  }
}
