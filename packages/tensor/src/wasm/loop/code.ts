/** The code of a strategy. */

import { kernelSignature } from "../assembler/index.js";
import type { KernelCode } from "../launch.js";
import { emitLoop } from "./emit.js";
import type { Strategy } from "./strategy.js";

// JSON knows neither NaN nor infinities nor -0.
function exactNumber(_: string, value: unknown): unknown {
  if (typeof value !== "number" || (Number.isFinite(value) && !Object.is(value, -0))) return value;
  return Object.is(value, -0) ? "-0" : String(value);
}

/** The code of a strategy. The key is the strategy itself: whatever changes the code is part of it. */
export function codeOf(strategy: Strategy): KernelCode {
  const { work: _, joining: __, ...relevant } = strategy;
  const key = `loop ${JSON.stringify(relevant, exactNumber)}`;
  return {
    key,
    emit: (module) => {
      module.function(key, kernelSignature, (f, args, begin, end) => {
        emitLoop({ module, f }, strategy, args, begin, end);
      });
    },
  };
}
