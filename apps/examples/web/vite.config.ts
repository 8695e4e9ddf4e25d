/** The page: `pnpm --filter examples dev` serves it from source, `build:web` builds it into `dist/web`. */

import { defaultClientConditions, type UserConfigFnObject } from "vite";

/** Makes the page cross-origin isolated, so that it may compute with threads. */
const headers = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
};

const config: UserConfigFnObject = ({ command, isPreview }) => {
  const fromSource = command === "serve" && isPreview !== true;
  return {
    base: "./",
    resolve: { conditions: [...(fromSource ? ["@x/source"] : []), ...defaultClientConditions] },
    worker: { format: "es" },
    server: { headers },
    preview: { headers },
    build: { outDir: "../dist/web", emptyOutDir: true, target: "es2023" },
  };
};
export default config;
