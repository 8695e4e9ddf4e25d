/** Fused loops as WebAssembly. */

import type { LoopKernel } from "../../plan/loop.js";
import type { LoopStep } from "../../plan/schedule.js";
import { bytesPerElement } from "../../tensor/dtype.js";
import { kernelSignature } from "../assembler/index.js";
import type { KernelCode, Launch, LaunchArgument } from "../launch.js";
import type { LoweringContext } from "../native.js";
import { emitLoop } from "./emit.js";
import { normalize } from "./normalize.js";
import { chooseStrategy, joiningKernel, type Limits, type Strategy } from "./strategy.js";

// JSON knows neither NaN nor infinities nor -0.
function exactNumber(_: string, value: unknown): unknown {
  if (typeof value !== "number" || (Number.isFinite(value) && !Object.is(value, -0))) return value;
  return Object.is(value, -0) ? "-0" : String(value);
}

// The code of a strategy. The key is the strategy itself: whatever changes the code is part of it.
function codeOf(strategy: Strategy): KernelCode {
  const { work: _, source: __, ...relevant } = strategy;
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

function launchOf(
  name: string,
  strategy: Strategy,
  buffers: readonly number[],
  scalars: readonly number[],
): Launch {
  const { axes, kernel, work } = strategy;
  const loads = [...kernel.body, ...kernel.epilogue].filter((e) => e.kind === "load");
  const bufferOf = ({ slot }: { slot: number }): number => buffers[slot]!;
  return {
    name,
    code: codeOf(strategy),
    arguments: [
      ...buffers.map((buffer): LaunchArgument => ({ kind: "buffer", buffer })),
      ...scalars.map((scalar): LaunchArgument => ({ kind: "scalar", scalar })),
    ],
    items: axes.reduce((n, { loop, chunk }) => n * Math.ceil(kernel.extents[loop]! / chunk), 1),
    grain: 1,
    scratchBytes: 0,
    reads: [...new Set(loads.map(bufferOf))],
    writes: [...new Set(kernel.stores.map(bufferOf))],
    work,
  };
}

/**
 * The launches of a fused loop. The argument words are the addresses of the slots in order (with
 * one more for partial results, where a reduction is divided), then the scalars.
 */
export function lowerLoop(
  { name, kernel, buffers, scalars }: Pick<LoopStep, "name" | "kernel" | "buffers" | "scalars">,
  context: Pick<LoweringContext, "workspace">,
  limits?: Limits,
): readonly Launch[] {
  const normal = normalize(kernel);
  const strategy = chooseStrategy(normal, false, limits);
  if (!strategy.parts) return [launchOf(name, strategy, buffers, scalars)];
  const [partial] = strategy.kernel.stores;
  const { extents, outputRank } = strategy.kernel;
  const elements = extents.slice(0, outputRank).reduce((a, b) => a * b, 1);
  const workspace = context.workspace(elements * bytesPerElement(partial!.stored));
  const joining: LoopKernel = joiningKernel(strategy, normal);
  const all = [...buffers, workspace];
  return [
    launchOf(name, strategy, all, scalars),
    launchOf(`${name} (join)`, chooseStrategy(normalize(joining), true, limits), all, scalars),
  ];
}
