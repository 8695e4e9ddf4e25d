/**
 * Runs the checks of the workspace, two at a time, and ends with the line
 * `N passed, N failed, N skipped` over all of them.
 *
 * `npm test` runs them all; `pnpm check NAME…` runs the ones named.
 */
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import colors from "picocolors";
import { commandCheck, pass, type Check, type Outcome } from "./check.js";
import { checkChangesets } from "./changesets.js";
import { runConsumer, typeCheckConsumer } from "./consumer/consumer.js";
import { checkDocumentation } from "./documentation.js";
import { runExamples } from "./examples/examples.js";
import { findNode } from "./find-node.js";
import { checkManifests, checkTypeResolution } from "./publishing.js";
import { checkSizes } from "./size.js";
import { checkTreeShaking } from "./tree-shaking.js";
import { runGoldensOnGpu, runTests, runTestsInBrowser, runTestsOnGpu } from "./tests.js";
import { provideSwiftShader } from "../swiftshader.js";

const checks: Check[] = [
  commandCheck("build", "every package and app builds", "turbo", "run", "build"),
  commandCheck("format", "the code is formatted", "prettier", "--check", "."),
  commandCheck("lint", "the lint rules hold", "eslint", "--max-warnings", "0", "."),
  commandCheck("typecheck", "everything type-checks, tests included", "tsc", "--noEmit"),
  commandCheck(
    "arrows",
    "imports follow the arrows of the architecture, and no circles",
    "depcruise",
    "packages",
    "apps",
  ),
  commandCheck("unused", "no unused files, exports and dependencies", "knip"),
  { name: "documentation", purpose: "public symbols have doc comments", run: checkDocumentation },
  { name: "changesets", purpose: "pending changesets are well formed", run: checkChangesets },
  { name: "publint", purpose: "manifests are right", needsBuild: true, run: checkManifests },
  { name: "attw", purpose: "types resolve", needsBuild: true, run: checkTypeResolution },
  { name: "size", purpose: "sizes are under their ceilings", needsBuild: true, run: checkSizes },
  {
    name: "tree-shaking",
    purpose: "programs ship only what they use",
    needsBuild: true,
    run: checkTreeShaking,
  },
  {
    name: "consumer",
    purpose: "the packed packages work in plain Node",
    needsBuild: true,
    run: runConsumer,
  },
  {
    name: "consumer-types",
    purpose: "the packed packages type-check on every supported TypeScript",
    needsBuild: true,
    run: typeCheckConsumer,
  },
  { name: "examples", purpose: "examples in documents print what they say", run: runExamples },
  { name: "tests", purpose: "every test passes", run: runTests },
  { name: "gpu", purpose: "the GPU device passes the suites of devices", run: runTestsOnGpu },
  {
    name: "gpu-goldens",
    purpose: "the GPU device agrees with the originals",
    run: runGoldensOnGpu,
  },
  commandCheck(
    "gpu-goldens-hf",
    "the GPU device agrees with published models",
    "pnpm",
    "goldens:hf",
    "--device",
    "webgpu",
  ),
  {
    name: "browser",
    purpose: "pages of a real browser pass the suites of devices, on both devices",
    needsBuild: true,
    run: runTestsInBrowser,
  },
];

/** The checks that are repeated on another version of Node. */
const checksPerNode = ["consumer", "tests"];

const { values: options, positionals: names } = parseArgs({
  allowPositionals: true,
  options: {
    "also-node": { type: "string" },
    thorough: { type: "boolean" },
    help: { type: "boolean" },
  },
});

if (options.help) {
  console.log("pnpm check [--thorough] [--also-node VERSION] [NAME…]\n");
  for (const { name, purpose } of checks) console.log(`  ${name.padEnd(16)}${purpose}`);
} else {
  // Examples run on the GPU device too.
  provideSwiftShader();
  process.exitCode = (await runAll()) ? 0 : 1;
}

/** A check, as it is to be run and shown. */
interface Task {
  readonly check: Check;
  readonly label: string;
  readonly node: string;
}

async function runAll(): Promise<boolean> {
  const unknown = names.filter((name) => !checks.some((check) => check.name === name));
  if (unknown.length > 0) {
    console.error(`There is no check named ${unknown.join(", ")}. See pnpm check --help.`);
    return false;
  }
  const chosen = names.length === 0 ? checks : checks.filter(({ name }) => names.includes(name));
  const total: Outcome = { passed: 0, failed: 0, skipped: 0 };
  const failures: string[] = [];
  let buildFailed = false;

  const execute = async ({ check, label, node }: Task): Promise<void> => {
    const start = performance.now();
    const outcome =
      buildFailed && check.needsBuild
        ? { passed: 0, failed: 0, skipped: 1, summary: "the build failed" }
        : await run(check, node);
    report(label, outcome, (performance.now() - start) / 1000);
    if (outcome.failed > 0) failures.push(label);
    if (outcome.failed > 0 && check.name === "build") buildFailed = true;
    total.passed += outcome.passed;
    total.failed += outcome.failed;
    total.skipped += outcome.skipped;
  };

  const tasks = chosen.map((check) => ({ check, label: check.name, node: process.execPath }));
  const version = options["also-node"];
  if (version !== undefined) {
    let node = "";
    const search: Check = {
      name: "node",
      purpose: `Node ${version} is to be had`,
      run: async () => pass((node = await findNode(version))),
    };
    await execute({ check: search, label: `Node ${version}`, node: process.execPath });
    const repeated = node === "" ? [] : chosen.filter(({ name }) => checksPerNode.includes(name));
    const last = tasks.findLastIndex(({ label }) => checksPerNode.includes(label));
    const repeats = repeated.map((check) => {
      return { check, label: `${check.name} on Node ${version}`, node };
    });
    tasks.splice(last + 1, 0, ...repeats);
  }

  // Others need what the build leaves.
  if (tasks[0]?.check.name === "build") await execute(tasks.shift()!);
  // Many wait more than they work. One goes down the list, where the quick ones stand first; the other
  // up, where the long ones do.
  const work = async (next: () => Task | undefined): Promise<void> => {
    for (let task = next(); task !== undefined; task = next()) await execute(task);
  };
  const down = work(() => tasks.shift());
  const up = availableParallelism() > 1 ? work(() => tasks.pop()) : down;
  await Promise.all([down, up]);

  if (failures.length > 0) console.log(colors.red(`\nFailed: ${failures.join(", ")}`));
  console.log(`\n${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
  return total.failed === 0;
}

async function run(check: Check, node: string): Promise<Outcome> {
  try {
    return await check.run({ node, thorough: options.thorough === true });
  } catch (error) {
    const details = error instanceof Error ? (error.stack ?? error.message) : String(error);
    return { passed: 0, failed: 1, skipped: 0, details };
  }
}

function report(label: string, outcome: Outcome, seconds: number): void {
  const { passed, failed, skipped, summary, details } = outcome;
  const mark = failed > 0 ? colors.red("✗") : passed > 0 ? colors.green("✓") : colors.dim("-");
  const counts =
    passed + failed + skipped > 1
      ? [`${passed} passed`, `${failed} failed`, `${skipped} skipped`]
      : [];
  const notes = [...counts, ...(summary === undefined ? [] : [summary])].join(", ");
  console.log(`${mark} ${label.padEnd(24)}${`${seconds.toFixed(1)} s`.padStart(8)}  ${notes}`);
  if (failed > 0 && details !== undefined) console.log(details.trim().replace(/^/gm, "    "));
}
