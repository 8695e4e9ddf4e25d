/** Fewer launches: work that is done together with other work. */

import type { PlanBuffer, Step } from "@x/tensor/device";
import type { DeviceLimits } from "../native.js";
import { joinChains } from "./chains.js";
import { joinPrologues } from "./prologues.js";
import type { DeviceStep } from "./steps.js";

export { joinLaunches } from "./launches.js";
export type { DeviceStep } from "./steps.js";

/** The same work in fewer steps, over the same buffers and some that are added to them. */
export function joinSteps(
  steps: readonly Step[],
  buffers: PlanBuffer[],
  context: DeviceLimits,
): readonly DeviceStep[] {
  return joinChains(joinPrologues(steps, buffers, context), buffers, context);
}
