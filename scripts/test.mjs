/**
 * `npm test [-- CHECK…]`: installs what is missing, then runs the checks of scripts/check/main.ts.
 */
import { spawnSync } from "node:child_process";
import { ensureInstalled, root } from "./bootstrap.mjs";

try {
  ensureInstalled();
} catch (error) {
  console.error(error.message);
  console.log("0 passed, 1 failed, 0 skipped");
  process.exit(1);
}

const checks = ["--import", "tsx", "scripts/check/main.ts", ...process.argv.slice(2)];
const { status } = spawnSync(process.execPath, checks, { cwd: root, stdio: "inherit" });
process.exit(status ?? 1);
