/**
 * Runs the suites of devices on the GPU: `run-suites.mjs [TEXT…]`, only files whose path contains a
 * text. Each file has a process of its own.
 */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath, pathToFileURL } from "node:url";
import { join } from "node:path";

const root = fileURLToPath(new URL(".", import.meta.url));

if (process.argv[2] !== "--file") {
  const files = JSON.parse(readFileSync(join(root, "suites.json"), "utf8"));
  const texts = process.argv.slice(2);
  const chosen = files.filter(
    (file) => texts.length === 0 || texts.some((text) => file.includes(text)),
  );
  const total = { passed: 0, failed: 0, skipped: 0 };
  for (const file of chosen) {
    console.log(file);
    const { stdout } = spawnSync(
      process.execPath,
      ["--conditions=@x/source", fileURLToPath(import.meta.url), "--file", file],
      { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"], cwd: root, maxBuffer: 1 << 26 },
    );
    const lines = stdout.trimEnd().split("\n");
    const counts = /^(\d+) passed, (\d+) failed, (\d+) skipped$/.exec(lines.at(-1) ?? "");
    for (const line of counts === null ? lines : lines.slice(0, -1)) console.log(`  ${line}`);
    // A process that ended early failed, whatever came before.
    const [passed, failed, skipped] = counts === null ? [0, 1, 0] : counts.slice(1).map(Number);
    if (counts === null) console.log("  ✗ the process ended early");
    total.passed += passed;
    total.failed += failed;
    total.skipped += skipped;
  }
  console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
  process.exitCode = total.failed > 0 || chosen.length === 0 ? 1 : 0;
} else {
  const { runFile } = await import("vitest");
  const counts = { pass: 0, fail: 0, skip: 0 };
  const start = performance.now();
  const result = await runFile(
    pathToFileURL(join(root, process.argv[3])).href,
    ({ name, suite, result }) => {
      const state = result?.state ?? "skip";
      counts[state in counts ? state : "skip"]++;
      if (state !== "fail") return;
      console.log(`✗ ${suite?.name ?? ""} ${name}`);
      for (const { message } of result.errors ?? []) console.log(message.replace(/^/gm, "    "));
    },
  );
  // A file that could not be loaded has no tests.
  for (const { message } of result.result?.errors ?? []) {
    counts.fail++;
    console.log(`✗ ${message}`);
  }
  console.log(`${((performance.now() - start) / 1000).toFixed(1)} s`);
  console.log(`${counts.pass} passed, ${counts.fail} failed, ${counts.skip} skipped`);
  process.exit(counts.fail > 0 ? 1 : 0);
}
