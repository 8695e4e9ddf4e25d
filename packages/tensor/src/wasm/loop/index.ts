/** Fused loops as WebAssembly. */

import type { Store } from "../../plan/loop.js";
import type { LoopStep } from "../../plan/schedule.js";
import { bytesPerElement } from "../../tensor/dtype.js";
import type { Launch, LaunchArgument } from "../launch.js";
import type { LoweringContext } from "../native.js";
import { codeOf } from "./code.js";
import { normalize } from "./normalize.js";
import { chooseStrategy, type Limits, type Strategy } from "./strategy.js";

/** The argument words of a fused loop: the addresses of its slots in order, then its scalars. */
export function loopArguments({
  buffers,
  scalars,
}: Pick<LoopStep, "buffers" | "scalars">): LaunchArgument[] {
  return [
    ...buffers.map((buffer): LaunchArgument => ({ kind: "buffer", buffer })),
    ...scalars.map((scalar): LaunchArgument => ({ kind: "scalar", scalar })),
  ];
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
    arguments: loopArguments({ buffers, scalars }),
    items: axes.reduce((n, { loop, chunk }) => n * Math.ceil(kernel.extents[loop]! / chunk), 1),
    grain: 1,
    scratchBytes: 0,
    reads: [...new Set(loads.map(bufferOf))],
    writes: [...new Set(kernel.stores.map(bufferOf))],
    work: 4 * work,
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
  const strategy = chooseStrategy(normalize(kernel), false, limits);
  const { joining } = strategy;
  if (!joining) return [launchOf(name, strategy, buffers, scalars)];
  const [{ stored }] = strategy.kernel.stores as [Store];
  const elements = joining.extents.slice(0, joining.outputRank).reduce((a, b) => a * b, 1);
  const parts = joining.extents.at(-1)!;
  const all = [...buffers, context.workspace(parts * elements * bytesPerElement(stored))];
  const join = chooseStrategy(normalize(joining), true, limits);
  return [launchOf(name, strategy, all, scalars), launchOf(`${name} (join)`, join, all, scalars)];
}
