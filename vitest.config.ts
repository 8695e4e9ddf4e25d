import { defaultServerConditions } from "vite";
import type { ViteUserConfig } from "vitest/config";

/**
 * One configuration for every package and app. Tests run from source: the `@x/source` condition
 * makes `@x/tensor` mean `packages/tensor/src/index.ts`, so nothing has to be built first.
 */
const config: ViteUserConfig = {
  ssr: {
    // Setting this replaces the defaults, so they are spread back in.
    resolve: { conditions: ["@x/source", ...defaultServerConditions] },
  },
  test: {
    include: ["{packages,apps}/*/{src,test}/**/*.test.ts"],
    testTimeout: 30_000,
    // Tests of the GPU device find a driver through the environment of their process. Threads would
    // have that of the running process, which is too late.
    pool: "forks",
    globalSetup: "scripts/swiftshader.ts",
  },
};
export default config;
