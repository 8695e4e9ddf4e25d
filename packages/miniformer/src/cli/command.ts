/** The command `miniformer` and its exit codes. */

import { Command, CommanderError } from "commander";
import { XError } from "@x/tensor";
import { reasonOf } from "../runtime/reason.js";
import { addEvaluate } from "./evaluate.js";
import { addGenerate } from "./generate.js";
import { addInspect } from "./inspect.js";
import type { Output } from "./output.js";
import { addTrain } from "./train.js";

/**
 * Runs the command; gives the exit code: 0; 1 if something went wrong, with a sentence about it; 2 for
 * wrong arguments; 130 if it was interrupted, with everything saved.
 */
export async function runCommand(
  args: readonly string[],
  output: Output,
  interrupt: AbortSignal,
): Promise<number> {
  const program = new Command("miniformer")
    .description(
      "Trains small transformers with any attention, lets them write, and looks into checkpoints.",
    )
    .allowExcessArguments(false)
    .showHelpAfterError("(--help lists what there is)")
    .exitOverride()
    .configureOutput({
      writeOut: (text) => {
        output.write(text);
      },
      writeErr: (text) => {
        output.complain(text.trimEnd());
      },
    });
  const surroundings = { output, interrupt };
  for (const add of [addTrain, addGenerate, addEvaluate, addInspect]) add(program, surroundings);
  try {
    await program.parseAsync([...args], { from: "user" });
    return interrupt.aborted ? 130 : 0;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    if (interrupt.aborted && error === interrupt.reason) return 130;
    output.complain(sentenceOf(error));
    return 1;
  }
}

function sentenceOf(error: unknown): string {
  if (XError.isInstance(error)) return error.message;
  return `miniformer: the command could not go on, got an error that it does not know (${reasonOf(error)}). Please report it.`;
}
