/** Progress of training: a bar on a terminal, lines elsewhere. */

import { SingleBar } from "cli-progress";
import { memory } from "@x/tensor";
import type { StepReport } from "../training/report.js";
import type { Output } from "./output.js";
import { formatBytes, formatCount } from "./table.js";

/** Steps between two lines where there is no terminal to draw a bar on. */
const linesEvery = 25;

/** What is shown of the steps of a run. */
export class Progress {
  readonly #bar: SingleBar | null;
  readonly #first: number;
  readonly #steps: number;
  readonly #output: Output;
  readonly #unit: string;
  readonly #lossText: (loss: number) => string;
  #speed: number | null = null;
  #count = 0;
  #seconds = 0;

  constructor(
    { steps, from }: { readonly steps: number; readonly from: number },
    output: Output,
    { unit, loss }: { readonly unit: string; readonly loss: (loss: number) => string },
  ) {
    this.#first = from + 1;
    this.#steps = steps;
    this.#output = output;
    this.#unit = unit;
    this.#lossText = loss;
    this.#bar = output.isTerminal
      ? new SingleBar({
          format: `{bar} {value}/{total}  {loss}  {speed} ${unit}/s  {memory}`,
          hideCursor: true,
        })
      : null;
    this.#bar?.start(steps, from, { loss: "–", speed: "–", memory: "–" });
  }

  /** How many of the unit were learned from a second, the first step left out: it compiles. */
  get perSecond(): number {
    return this.#count / this.#seconds;
  }

  /** Shows a step. */
  show({ step, averageLoss, count, perSecond }: StepReport): void {
    const isFirst = step === this.#first;
    if (!isFirst) {
      this.#count += count;
      this.#seconds += count / perSecond;
    }
    const before = this.#speed;
    this.#speed = isFirst || before === null ? null : before + 0.1 * (perSecond - before);
    if (!isFirst) this.#speed ??= perSecond;
    const shown = {
      loss: this.#lossText(averageLoss),
      speed: formatCount(this.#speed ?? perSecond),
      memory: formatBytes(memory().total),
    };
    if (this.#bar !== null) this.#bar.update(step, shown);
    else if (step % linesEvery === 0 || step === this.#steps || isFirst) {
      this.#output.write(
        `step ${step}/${this.#steps}: ${shown.loss}, ${shown.speed} ${this.#unit}/s, ${shown.memory}\n`,
      );
    }
  }

  /** Shows a line among the steps. */
  note(line: string): void {
    // A bar is drawn again below the line.
    if (this.#bar !== null) return;
    this.#output.write(`${line}\n`);
  }

  /** Ends the bar. */
  stop(): void {
    this.#bar?.stop();
  }
}
