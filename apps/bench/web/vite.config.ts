/** The page: `pnpm --filter bench dev` serves it from source, `build:web` builds it into `dist/web`. */

import { defaultClientConditions, type Plugin, type UserConfigFnObject } from "vite";
import { readRepository } from "../src/main-job/repository.js";
import { isolation } from "./headers.js";

const textFile = "repository.txt";

/** Gives the page the text that `npm start` learns from. */
const repositoryText: Plugin = {
  name: "repository-text",
  configureServer(server) {
    server.middlewares.use(`/${textFile}`, (_request, response, next) => {
      readRepository().then((bytes) => response.end(bytes), next);
    });
  },
  async generateBundle() {
    this.emitFile({ type: "asset", fileName: textFile, source: await readRepository() });
  },
};

const config: UserConfigFnObject = ({ command, isPreview }) => {
  const fromSource = command === "serve" && isPreview !== true;
  return {
    // Works in any folder of a server.
    base: "./",
    plugins: [repositoryText],
    resolve: { conditions: [...(fromSource ? ["@x/source"] : []), ...defaultClientConditions] },
    worker: { format: "es" },
    server: { headers: isolation },
    preview: { headers: isolation },
    build: { outDir: "../dist/web", emptyOutDir: true, target: "es2023" },
  };
};
export default config;
