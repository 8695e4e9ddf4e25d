/** A thousand training steps and ten thousand decode steps leave nothing behind, in a process that ends by itself. */

import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { mechanisms } from "../src/mechanisms/table.js";

const root = fileURLToPath(new URL("../../..", import.meta.url));

test("soak", { timeout: 600_000 }, async () => {
  // Rejects with the output if the exit code is not 0, or if it does not end.
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [
      ...["--conditions=@x/source", "--import", "tsx", "apps/bench/src/bench/main.ts"],
      ...["soak", "--steps", "1000", "--tokens", "10000", "--width", "32"],
    ],
    { cwd: root, timeout: 570_000 },
  );
  expect(stdout).toContain("1,000 training steps\n");
  expect(stdout).toContain("10,000 decode steps\n");
  expect(stdout.match(/compiled after the first: 0\n/g)).toHaveLength(2 + mechanisms.length);
  expect(stdout).toMatch(/left behind: nothing\n$/);
});
