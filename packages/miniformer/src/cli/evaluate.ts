/** `miniformer eval`. */

import type { Command } from "commander";
import { readInput } from "./inputs.js";
import { loadModel, openModelFolder, tokenizerIn, withoutTokenizer } from "./load-model.js";
import type { Surroundings } from "./output.js";
import { useDevice } from "./plug-ins.js";
import { readRecord } from "./run-folder.js";
import { formatTable } from "./table.js";
import { formatMetric } from "./tasks/job.js";
import { prepareJob } from "./tasks/prepare.js";
import {
  deviceOptions,
  formatOption,
  modelOption,
  wholeNumber,
  type DeviceChoice,
  type Format,
} from "./values.js";

interface Options extends DeviceChoice {
  readonly model: string;
  readonly data: string;
  readonly format?: Format;
  readonly input?: string;
  readonly target?: string;
  readonly length?: number;
  readonly batch: number;
}

/** How long windows are for a model that does not say on which it was trained. */
const defaultLength = 512;

/** Adds the command to a program. */
export function addEvaluate(program: Command, surroundings: Surroundings): void {
  const command = program
    .command("eval")
    .description("Judges a model by all of a file.")
    .addOption(modelOption())
    .requiredOption("--text, --data <file>", "what to judge by: text, JSONL or CSV")
    .addOption(formatOption())
    .option("--input <field>", "the field of rows that is given (default: as in training)")
    .option("--target <field>", "the field that is predicted (default: as in training)")
    .option(
      "--length <number>",
      "tokens or rows that a window has (default: as in training)",
      wholeNumber(2),
    )
    .option("--batch <number>", "examples at a time", wholeNumber(1), 8);
  for (const option of deviceOptions()) command.addOption(option);
  command.action((options: Options) => runEvaluate(options, surroundings));
}

async function runEvaluate(options: Options, { output }: Surroundings): Promise<void> {
  const input = await readInput(options.data, options.format);
  await useDevice(options);
  const folder = await openModelFolder(options.model, "--model");
  const record = await readRecord(folder.path);
  const trained = Number(record?.options.length ?? NaN);
  const most = Number(folder.config.maxSeqLen ?? NaN);
  const usual = Number.isInteger(trained) ? trained : Math.min(defaultLength, most || Infinity);
  const tokenizer = await tokenizerIn(folder);
  if (tokenizer === null && (record === null || record.facts.task === "language")) {
    throw withoutTokenizer(folder);
  }
  const { input: from, target } = options;
  const job = await prepareJob(
    input,
    { ...(from !== undefined && { input: from }), ...(target !== undefined && { target }) },
    {
      length: options.length ?? usual,
      heldOut: null,
      mostHeldOut: Infinity,
      seed: 0,
      tokenizer,
    },
    record?.facts ?? { task: "language", input: null },
  );
  const bench = await job.open(async (make) => (await loadModel(folder, make)).model);
  const metrics = await bench.evaluate(options.batch);
  output.write(`${options.data}: ${job.headline(metrics)}.\n`);
  const rows = Object.entries(metrics).map(([name, value]) => [name, formatMetric(value)]);
  output.write(formatTable(rows, [1]));
}
