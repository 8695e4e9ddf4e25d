/**
 * The suites of devices in a page of a real browser, once cross-origin isolated and once not, on
 * the packages as built.
 */
import { existsSync } from "node:fs";
import { playwright } from "@vitest/browser-playwright";
import type { Plugin } from "vite";
import type { TestProjectInlineConfiguration, ViteUserConfig } from "vitest/config";
import { isolation } from "../../../apps/bench/web/headers.js";
import { chromiumOptions } from "../../chromium.js";
import { root } from "../check.js";
import { areasOfEveryDay } from "../tests.js";

/** Lets tests import what was built where they name the source it was built from. */
const builtPackages: Plugin = {
  name: "built-packages",
  enforce: "pre",
  async resolveId(source, importer, options) {
    const resolved = await this.resolve(source, importer, { ...options, skipSelf: true });
    const built = resolved?.id.replace(
      /(\/packages\/[^/]+)\/src\/(.*?)(?<!\.test)\.ts$/,
      "$1/dist/$2.js",
    );
    return built === undefined || built === resolved?.id || !existsSync(built)
      ? resolved
      : { ...resolved, id: built };
  },
};

/** What runs in both kinds of page. */
const suitesOfPages = [
  "apps/bench/web/test/*.test.ts",
  "packages/kernels-webgpu/test/training.test.ts",
];

const isThorough = process.env.X_THOROUGH !== undefined;

/** What runs in one of them: all suites of devices but those that need files, or what there is time for. */
const suitesOfDevices = [
  "packages/tensor/test/differential.test.ts",
  "packages/tensor/test/attention.test.ts",
  "packages/trim/src/{encoder,multihead}/*.test.ts",
  ...(isThorough
    ? [
        "packages/tensor/src/{nn,optim}/**/!(checkpoint).test.ts",
        "apps/bench/test/mechanisms.test.ts",
      ]
    : []),
];

function project(name: string, isolated: boolean): TestProjectInlineConfiguration {
  return {
    root,
    plugins: [builtPackages],
    server: { headers: isolated ? isolation : {} },
    // To bundle them when a test first asks for them would reload the page.
    optimizeDeps: { exclude: ["fast-check", "csv-parse"] },
    define: Object.fromEntries(
      Object.entries({
        X_TEST_DEVICES: "wasm,webgpu",
        DIFFERENTIAL_PROGRAMS: "20",
        DIFFERENTIAL_ATTENTIONS: "10",
      }).map(([key, value]) => [`process.env.${key}`, JSON.stringify(value)]),
    ),
    test: {
      name,
      include: isolated ? [...suitesOfPages, ...suitesOfDevices] : suitesOfPages,
      provide: { isolated, areasOnGpu: isThorough ? null : areasOfEveryDay },
      testTimeout: 300_000,
      isolate: false,
      fileParallelism: false,
      browser: {
        enabled: true,
        headless: true,
        screenshotFailures: false,
        provider: playwright({ launchOptions: chromiumOptions() }),
        instances: [{ browser: "chromium" }],
      },
    },
  };
}

/** The page of apps/bench, driven from Node. */
const drivenPage: TestProjectInlineConfiguration = {
  root,
  test: { name: "page", include: ["scripts/check/browser/*.test.ts"], testTimeout: 300_000 },
};

const config: ViteUserConfig = {
  root,
  test: {
    projects: [project("isolated", true), project("plain", false), drivenPage],
  },
};
export default config;
