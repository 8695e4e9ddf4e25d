/** How long launches take: for the tuner. */

import type { Graph } from "@x/tensor/device";
import { preparePlan, type PlanParts } from "./plan.js";
import type { GpuRuntime } from "./runtime.js";

/** How often launches are tried; the first time only warms up. */
const trials = 6;

/** The shortest time of the launches together in several trials, in milliseconds; on scratch memory. */
export async function timeOfLaunches(runtime: GpuRuntime, parts: PlanParts): Promise<number> {
  const { launches, buffers } = parts;
  const graph: Graph = { ...parts.graph, inputs: [], outputs: [], updates: [], nodes: [] };
  const plan = await preparePlan(runtime, {
    graph,
    buffers: buffers.map(({ bytes }) => ({ kind: "temporary", bytes })),
    launches: Array.from({ length: trials }, () => launches).flat(),
  });
  try {
    const times: number[] = [];
    await plan.run({
      inputs: [],
      outputs: [],
      scalars: graph.scalars.map(() => 0),
      profile: { kernel: (_name, milliseconds) => times.push(milliseconds) },
    });
    const sums = Array.from({ length: trials }, (_, trial) =>
      times
        .slice(trial * launches.length, (trial + 1) * launches.length)
        .reduce((a, b) => a + b, 0),
    );
    return Math.min(...sums.slice(1));
  } finally {
    plan.release();
  }
}
