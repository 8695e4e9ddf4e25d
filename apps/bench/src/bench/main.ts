/** `pnpm bench`: how fast we are, beside others, with what got worse. */

import { XError } from "@x/tensor";
import { Argument, Command, InvalidArgumentError, Option } from "commander";
import { writeFile } from "node:fs/promises";
import { availableParallelism, cpus } from "node:os";
import { availablePeerNames, peerNames, type PeerName } from "./peers/open.js";
import { benchFeatures, type FeaturesOptions } from "./features.js";
import { gpuSuiteNames, runGpuBench, type GpuBenchOptions } from "./gpu/command.js";
import { reportLaunches } from "./gpu/launches.js";
import { deviceNames } from "../devices.js";
import { runLearning, taskNames, type LearnOptions } from "../mechanisms/command.js";
import { mechanisms } from "../mechanisms/table.js";
import { formatSuite, type SuiteResult } from "./report.js";
import { runSelfTest, type SelfTestCommandOptions } from "./self-test.js";
import { soak, type SoakOptions } from "./soak.js";
import { approximation } from "./suites/approximation.js";
import { attention } from "./suites/attention.js";
import { decode } from "./suites/decode.js";
import { elementwise } from "./suites/elementwise.js";
import { compareFamilies } from "./suites/families.js";
import { gemm } from "./suites/gemm.js";
import { overhead } from "./suites/overhead.js";
import { train } from "./suites/train.js";
import type { SuiteOptions } from "./suites/tasks.js";

const suites: Record<string, (options: SuiteOptions) => Promise<SuiteResult>> = {
  gemm,
  elementwise,
  attention,
  train,
  families: compareFamilies,
  decode,
  approximation,
  overhead,
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

function wholeNumber(least: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!Number.isInteger(value) || value < least) {
      throw new InvalidArgumentError(`it must be a whole number of at least ${least}.`);
    }
    return value;
  };
}

function positive(text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new InvalidArgumentError("it must be a number above 0.");
  return value;
}

function parseLengths(text: string): number[] {
  return text.split(",").map(wholeNumber(1));
}

function parseNumbers(text: string): number[] {
  return text.split(",").map(positive);
}

interface Options {
  readonly peers: PeerName[];
  readonly quick: boolean;
  readonly json?: string;
  readonly threads: number;
  readonly python?: string;
  readonly lengths?: number[];
  readonly only?: string;
}

async function runSuites(suite: string, options: Options): Promise<void> {
  const names = suite === "all" ? Object.keys(suites) : [suite];
  const machine = {
    processor: cpus()[0]?.model ?? "unknown processor",
    node: process.versions.node,
    threads: options.threads,
  };
  console.log(`${machine.processor}, Node ${machine.node}, ${machine.threads} threads`);
  const results: SuiteResult[] = [];
  for (const name of names) {
    const result = await suites[name]!({
      effort: options.quick
        ? { rounds: 3, turnMilliseconds: 50 }
        : { rounds: 7, turnMilliseconds: 200 },
      peers: options.peers,
      threads: options.threads,
      quick: options.quick,
      python: options.python ?? null,
      lengths: options.lengths ?? null,
      only: options.only ?? null,
      progress: (what) => process.stderr.write(`  ${name}: ${what}\n`),
    });
    results.push(result);
    console.log(formatSuite(result));
    // After each, so that what was measured is there if a later one is cut short.
    if (options.json !== undefined) {
      await writeFile(options.json, `${JSON.stringify({ machine, suites: results }, null, 2)}\n`);
    }
  }
  if (options.json !== undefined) console.log(`\nWritten to ${options.json}.`);
}

const threads = [
  "--threads <number>",
  "threads, for every library that can use them",
  wholeNumber(1),
  availableParallelism(),
] as const;

const program = new Command("bench")
  // What comes after the name of a command is the command's.
  .enablePositionalOptions()
  .description(
    "Times our library beside others, each in its own process and in turn, and prints medians, spreads and ratios taken in this run.",
  )
  .addArgument(
    new Argument("[suite]", "what to time").choices([...Object.keys(suites), "all"]).default("all"),
  )
  .option("--peers <names>", `libraries to compare with: ${peerNames.join(", ")}`, parsePeers, [
    ...availablePeerNames,
  ])
  .option("--quick", "fewer sizes, less time", false)
  .option(...threads)
  .option("--python <path>", "an interpreter with torch, for attention in PyTorch")
  .option(
    "--lengths <numbers>",
    "lengths of sequences, with commas, in place of a suite's own (attention, families, approximation)",
    parseLengths,
  )
  .addOption(
    new Option("--only <mechanism>", "one mechanism (families, approximation)").choices(
      mechanisms.map(({ name }) => name),
    ),
  )
  .option("--json <file>", "write everything measured to a file")
  .action(runSuites);

program
  .command("gpu")
  .description(
    "Times the GPU device beside naive kernels and definitions, in one run. Needs the package webgpu and a GPU; `pnpm swiftshader pnpm bench gpu --quick` shows that it works.",
  )
  .addArgument(
    new Argument("[suite]", "what to time").choices([...gpuSuiteNames, "all"]).default("all"),
  )
  .option("--quick", "sizes that a processor can do", false)
  .option("--peak-tflops <number>", "float32 peak of the GPU, for shares of it", positive)
  .option("--peak-bandwidth <number>", "memory bandwidth of the GPU in GB/s, likewise", positive)
  .addOption(
    new Option("--only <mechanism>", "one mechanism beside exact attention (families)").choices(
      mechanisms.map(({ name }) => name),
    ),
  )
  .option("--json <file>", "write everything measured to a file")
  .action(async (suite: string, options: GpuBenchOptions) => {
    await runGpuBench(suite, options, (line) => console.log(line));
  });

program
  .command("launches")
  .description(
    "Lists what each launch of the GPU device loads and stores, beside the least that shapes allow, and counts launches. Any GPU will do, SwiftShader too.",
  )
  .option("--only <text>", "computations whose name contains this", "")
  .option("--json <file>", "write everything that was counted to a file")
  .action(async ({ only, json }: { only: string; json?: string }) => {
    const reports = await reportLaunches(only, (line) => console.log(line));
    if (json !== undefined) await writeFile(json, `${JSON.stringify(reports, null, 2)}\n`);
  });

program
  .command("self-test")
  .description(
    "Compares every kernel of a device with the float64 reference. Exits with 1 if one is wrong.",
  )
  .addOption(new Option("--device <name>", "what to test").choices(deviceNames).default("webgpu"))
  .option("--only <text>", "cases whose kernel and name contain this", "")
  .option("--seed <number>", "other random inputs", wholeNumber(0), 1)
  .option("--json <file>", "write everything that was found to a file")
  .action(async (options: SelfTestCommandOptions) => {
    const failed = await runSelfTest(options, (line) => console.log(line));
    if (failed > 0) process.exitCode = 1;
  });

program
  .command("features")
  .description(
    "Measures how well simplex, orthogonal and independent random features estimate the kernel of softmax, and attention with them: mean and mean square errors, by size and length of the vectors.",
  )
  .option("--dimensions <numbers>", "sizes of the vectors, with commas", parseNumbers, [12, 16, 64])
  .option("--norms <numbers>", "lengths of the vectors, with commas", parseNumbers, [0.25, 0.5, 1])
  .option("--draws <number>", "matrices for each figure", wholeNumber(2), 2000)
  .option("--epsilon <number>", "what is added to every feature in attention", positive, 1e-4)
  .option("--json <file>", "write everything that was measured to a file")
  .action(async (options: FeaturesOptions) => {
    await benchFeatures(options, (line) => console.log(line));
  });

program
  .command("learn")
  .description(
    "Trains a small language model with every attention mechanism: copying, and text byte by byte. Exits with 1 if one does not learn what it must.",
  )
  .addOption(
    new Option("--only <mechanism>", "one mechanism").choices(mechanisms.map(({ name }) => name)),
  )
  .addOption(new Option("--task <name>", "one task").choices(taskNames))
  .option("--seed <number>", "other random numbers", wholeNumber(0), 1)
  .option(...threads)
  .action(async (options: LearnOptions) => {
    const missed = await runLearning(options, (line) => console.log(line));
    if (missed > 0) process.exitCode = 1;
  });

program
  .command("soak")
  .description(
    "Trains and decodes for long with a small model: nothing may be compiled, added to memory or left behind. Exits with 1 otherwise.",
  )
  .option("--steps <number>", "training steps", wholeNumber(3), 1000)
  .option("--tokens <number>", "decode steps", wholeNumber(3), 10_000)
  .option("--width <number>", "size of the model's vectors, a multiple of 32", wholeNumber(32), 64)
  .option(...threads)
  .action(async (options: SoakOptions) => {
    const complaints = await soak(options, (line) => console.log(line));
    if (complaints.length > 0) process.exitCode = 1;
    // Only reached where something keeps the process running.
    setTimeout(() => {
      console.log(
        `NOT held: it does not exit by itself: ${process.getActiveResourcesInfo().join(", ")}.`,
      );
      process.exit(1);
    }, 5000).unref();
  });

try {
  await program.parseAsync();
} catch (error) {
  // A sentence that says what to do, such as that there is no GPU.
  if (!XError.isInstance(error)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}
