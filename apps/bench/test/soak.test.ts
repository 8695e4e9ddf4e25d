/**
 * A thousand training steps and ten thousand decode steps, where there is time for them and else a fifth of
 * that, leave nothing behind, in a process that ends by itself.
 */

import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { mechanisms } from "../src/mechanisms/table.js";

const root = fileURLToPath(new URL("../../..", import.meta.url));

const [steps, tokens] = process.env.X_THOROUGH === undefined ? [200, 2000] : [1000, 10_000];

test("soak", { timeout: 600_000 }, async () => {
  // Rejects with the output if the exit code is not 0, or if it does not end.
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [
      ...["--conditions=@x/source", "--import", "tsx", "apps/bench/src/bench/main.ts"],
      ...["soak", "--steps", String(steps), "--tokens", String(tokens), "--width", "32"],
    ],
    { cwd: root, timeout: 570_000 },
  );
  expect(stdout).toContain(`${steps.toLocaleString("en")} training steps\n`);
  expect(stdout).toContain(`${tokens.toLocaleString("en")} decode steps\n`);
  expect(stdout.match(/compiled after the first: 0\n/g)).toHaveLength(2 + mechanisms.length);
  expect(stdout).toMatch(/left behind: nothing\n$/);
});
