/** A headless Chromium with WebGPU for the tests that need a page. */
import { join } from "node:path";
import type { LaunchOptions } from "playwright";
import { packageRunsHere, readArchive, readCompressed, unpackOnce } from "./chromium-package.js";

const flags = [
  // Containers seldom allow what the sandbox needs; the tests load nothing but the repository.
  "--no-sandbox",
  "--enable-unsafe-webgpu",
  "--use-webgpu-adapter=swiftshader",
  // Kernels write workgroup memory before they read it: filling it with zeros would be in vain, and
  // takes SwiftShader seconds to compile.
  "--enable-dawn-features=disable_workgroup_init",
  "--enable-features=Vulkan",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--no-first-run",
];

/** Text looks the same on every machine: no fonts but those of the package. */
const fontConfiguration = `<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir prefix="relative">.</dir></fontconfig>
`;

/**
 * How Playwright starts Chromium: that of the package where it runs, or else the Chrome that is
 * installed. `X_CHROMIUM` names another one. WebGPU is SwiftShader in all of them.
 */
export function chromiumOptions(): LaunchOptions {
  const chosen = process.env.X_CHROMIUM;
  if (chosen !== undefined) return { executablePath: chosen, args: flags };
  if (!packageRunsHere) return { channel: "chrome", args: flags };
  const folder = unpackOnce("chromium", () => [
    { path: "chromium", contents: readCompressed("chromium.br") },
    // Chromium looks for its drivers beside itself.
    ...readArchive("swiftshader.tar.br"),
    ...readArchive("al2023.tar.br"),
    // Its own configuration names folders of another machine.
    ...readArchive("fonts.tar.br").filter(({ path }) => path.endsWith(".ttf")),
    { path: "fonts/fonts.conf", contents: Buffer.from(fontConfiguration) },
  ]);
  return {
    executablePath: join(folder, "chromium"),
    args: flags,
    env: {
      ...process.env,
      LD_LIBRARY_PATH: join(folder, "lib"),
      // That of bare machines would become "en-US@posix", which is no language to JavaScript.
      LANG: "en_US.UTF-8",
      LC_ALL: "en_US.UTF-8",
      FONTCONFIG_PATH: join(folder, "fonts"),
    },
  };
}
