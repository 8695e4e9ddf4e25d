/** A GPU for machines without one: SwiftShader, a Vulkan driver that computes on the CPU. */
import { delimiter } from "node:path";
import { packageRunsHere, readArchive, unpackOnce } from "./chromium-package.js";

/** Environment variable that, set to `system`, leaves the choice of the GPU to the system. */
const choice = "X_GPU";

/**
 * Lets the processes started from now on find SwiftShader where they ask for Vulkan. It cannot be
 * done for the running process: the dynamic linker reads its search path at the start only.
 *
 * Does nothing where the driver cannot run, and with `X_GPU=system`: the GPU of the machine is
 * used there.
 */
export function provideSwiftShader(): void {
  if (!packageRunsHere || process.env[choice] === "system") return;
  const folder = unpackOnce("swiftshader", () => {
    const driver = readArchive("swiftshader.tar.br").find(
      ({ path }) => path === "libvk_swiftshader.so",
    );
    if (driver === undefined) throw new Error("@sparticuz/chromium holds no SwiftShader.");
    // The name of the Vulkan loader, which would only lead to the driver anyway.
    return [{ path: "libvulkan.so.1", contents: driver.contents }];
  });
  const path = process.env.LD_LIBRARY_PATH?.split(delimiter) ?? [];
  if (!path.includes(folder)) process.env.LD_LIBRARY_PATH = [folder, ...path].join(delimiter);
}

/** Vitest calls this before it starts the processes of the tests. */
export const setup: () => void = provideSwiftShader;
