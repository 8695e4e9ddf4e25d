/** What a program is computed by. */

import { profile, realize, setDevice, type Device, type Tensor } from "@x/tensor";
import { expectLikeReference } from "./like-reference.js";

/** The name of each launch that computes the results of a program, which are those of the reference. */
export async function launchesOf(
  device: Device,
  program: () => readonly Tensor[],
): Promise<string[]> {
  await expectLikeReference(device, program, {
    relative: 1e-5,
    absolute: 1e-5,
    relativeTo: "largest",
  });
  setDevice(device);
  const { kernels } = await profile(() => realize(...program()));
  return kernels.flatMap(({ name, calls }) => Array.from({ length: calls }, () => name));
}
