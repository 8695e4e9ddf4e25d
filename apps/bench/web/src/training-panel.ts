/** The panel that trains a language model. */

import type { ModelShape } from "../../src/main-job/model.js";
import { Chart } from "./chart.js";
import { find } from "./elements.js";
import type { DeviceName, Report } from "./messages.js";
import { Panel } from "./panel.js";

interface Size {
  readonly label: string;
  readonly shape: ModelShape;
  readonly batch: number;
  readonly rate: number;
  readonly steps: number;
}

const sizes: Readonly<Record<string, Size>> = {
  tiny: {
    label: "tiny: 1 layer of 32",
    shape: { width: 32, layers: 1, length: 32 },
    batch: 4,
    rate: 0.01,
    steps: 100,
  },
  small: {
    label: "small: 2 layers of 64",
    shape: { width: 64, layers: 2, length: 64 },
    batch: 8,
    rate: 0.005,
    steps: 300,
  },
  full: {
    label: "that of npm start: 3 layers of 128",
    shape: { width: 128, layers: 3, length: 128 },
    batch: 8,
    rate: 0.003,
    steps: 700,
  },
};

const sizeOf = (name: string): Size => sizes[name] ?? sizes.small!;

/** Makes the panel work. */
export function showTraining(device: () => DeviceName): void {
  const panel: Panel = new Panel(
    "#training",
    () => {
      const { shape, batch, rate } = sizeOf(panel.value("size"));
      loss.clear();
      speed.clear();
      writing.textContent = "";
      progress.value = 0;
      progress.max = Number(panel.value("steps"));
      pause.textContent = "Pause";
      const file = find(panel.form, "[name=text]", HTMLInputElement).files?.[0];
      return {
        kind: "train",
        device: device(),
        shape,
        mechanism: panel.value("mechanism"),
        batch,
        rate,
        steps: progress.max,
        text: file ?? new URL("repository.txt", document.baseURI).href,
        generate: Number(panel.value("generate")),
      };
    },
    hear,
  );
  const loss = new Chart(find(panel.element, ".loss", HTMLElement), {
    x: "step",
    lines: [
      { label: "step's own", color: "--faint" },
      { label: "average", color: "--accent" },
    ],
  });
  const speed = new Chart(find(panel.element, ".speed", HTMLElement), {
    x: "step",
    lines: [{ label: "tokens/s", color: "--second" }],
  });
  const progress = find(panel.element, "progress", HTMLProgressElement);
  const writing = find(panel.element, ".writing", HTMLElement);

  const size = find(panel.form, "[name=size]", HTMLSelectElement);
  const steps = find(panel.form, "[name=steps]", HTMLInputElement);
  for (const [name, { label }] of Object.entries(sizes)) size.add(new Option(label, name));
  size.value = "small";
  const showSteps = (): void => void (steps.value = String(sizeOf(size.value).steps));
  size.addEventListener("change", showSteps);
  showSteps();

  const pause = panel.button("pause");
  pause.addEventListener("click", () => {
    const pausing = pause.textContent === "Pause";
    panel.tell(pausing ? "pause" : "resume");
    pause.textContent = pausing ? "Resume" : "Pause";
    if (pausing) panel.show("Paused.");
  });

  function hear(report: Report): void {
    if (report.kind === "writing") {
      writing.textContent += report.text;
      writing.scrollTop = writing.scrollHeight;
    } else if (report.kind === "step") {
      const { step, loss: own, average, tokensPerSecond } = report.step;
      loss.add(step, [own, average]);
      speed.add(step, [tokensPerSecond]);
      progress.value = step;
      panel.show(
        `Step ${step} of ${progress.max}: ${average.toFixed(2)} bits per byte, ${Math.round(tokensPerSecond).toLocaleString("en")} tokens per second.`,
      );
    }
  }
}
