/** `pnpm bench`: how fast we are, beside others, with what got worse. */

import { writeFile } from "node:fs/promises";
import { Argument, Command, InvalidArgumentError } from "commander";
import { availableParallelism, cpus } from "node:os";
import { peerNames, type PeerName } from "./peers/open.js";
import { formatSuite, type SuiteResult } from "./report.js";
import { attention } from "./suites/attention.js";
import { elementwise } from "./suites/elementwise.js";
import { gemm } from "./suites/gemm.js";
import { train } from "./suites/train.js";
import type { SuiteOptions } from "./suites/tasks.js";

const suites: Record<string, (options: SuiteOptions) => Promise<SuiteResult>> = {
  gemm,
  elementwise,
  attention,
  train,
};

function parsePeers(text: string): PeerName[] {
  const names = text.split(",").filter((name) => name !== "");
  for (const name of names) {
    if (!(peerNames as readonly string[]).includes(name)) {
      throw new InvalidArgumentError(
        `unknown library "${name}"; there are ${peerNames.join(", ")}.`,
      );
    }
  }
  return names as PeerName[];
}

interface Options {
  readonly peers: PeerName[];
  readonly quick: boolean;
  readonly json?: string;
  readonly threads: number;
  readonly python?: string;
}

const program = new Command("bench")
  .description(
    "Times our library beside others, each in its own process and in turn, and prints medians, spreads and ratios taken in this run.",
  )
  .addArgument(
    new Argument("[suite]", "what to time").choices([...Object.keys(suites), "all"]).default("all"),
  )
  .option("--peers <names>", `libraries to compare with: ${peerNames.join(", ")}`, parsePeers, [
    ...peerNames,
  ])
  .option("--quick", "fewer sizes, less time", false)
  .option("--threads <number>", "threads for everybody", Number, availableParallelism())
  .option("--python <path>", "an interpreter with torch, for the original algorithms")
  .option("--json <file>", "write everything measured to a file")
  .action(async (suite: string, options: Options) => {
    const names = suite === "all" ? Object.keys(suites) : [suite];
    const results: SuiteResult[] = [];
    console.log(`${cpus()[0]?.model ?? "unknown processor"}, Node ${process.versions.node}`);
    for (const name of names) {
      const result = await suites[name]!({
        effort: options.quick
          ? { rounds: 3, turnMilliseconds: 50 }
          : { rounds: 7, turnMilliseconds: 200 },
        peers: options.peers,
        threads: options.threads,
        quick: options.quick,
        python: options.python ?? null,
        progress: (what) => process.stderr.write(`  ${name}: ${what}\n`),
      });
      results.push(result);
      console.log(formatSuite(result));
    }
    if (options.json !== undefined) {
      await writeFile(options.json, `${JSON.stringify(results, null, 2)}\n`);
      console.log(`\nWritten to ${options.json}.`);
    }
  });

await program.parseAsync();
