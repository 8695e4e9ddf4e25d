/**
 * `npm start -- [options]`: installs and builds what is missing, then runs the main job of
 * apps/bench in this process, so that its exit code and Ctrl-C behave as if it were run directly.
 */
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { ensureInstalled, root, runHidden } from "./bootstrap.mjs";

try {
  ensureInstalled();
  const { status, output } = runHidden("turbo", ["run", "build", "--filter=bench"]);
  if (status !== 0) throw new Error(`The build failed (exit code ${status}):\n${output.trim()}`);
} catch (error) {
  console.error(error.message);
  process.exit(1);
}

const mainJob = join(root, "apps/bench/dist/main-job/main.js");
process.argv[1] = mainJob;
await import(pathToFileURL(mainJob).href);
