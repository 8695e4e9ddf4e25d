/** The panel that measures attention. */

import { Chart } from "./chart.js";
import { find } from "./elements.js";
import type { AttentionRow, DeviceName } from "./messages.js";
import { Panel } from "./panel.js";

/** What every other mechanism is compared with; it is always measured. */
const base = "softmax";

const lines = [
  { label: base, color: "--second" },
  { label: "trim", color: "--accent" },
  { label: "srf", color: "--third" },
  { label: "linear", color: "--fourth" },
  { label: "thinformer", color: "--fifth" },
] as const;

/** Makes the panel work. */
export function showAttention(device: () => DeviceName): void {
  const panel: Panel = new Panel(
    "#attention",
    () => {
      const mechanisms = [base, ...panel.values("mechanism")];
      chart.clear();
      chart.show(mechanisms);
      body.replaceChildren();
      return {
        kind: "attention",
        device: device(),
        longest: Number(panel.value("longest")),
        mechanisms,
      };
    },
    (report) => {
      if (report.kind !== "row") return;
      const { length, measured } = report.row;
      const times = lines.map(
        ({ label }) => measured.find(({ mechanism }) => mechanism === label)?.milliseconds ?? null,
      );
      chart.add(length, times);
      addRows(body, report.row);
    },
  );
  const body = find(panel.element, ".measured tbody", HTMLTableSectionElement);
  const chart = new Chart(find(panel.element, ".times", HTMLElement), {
    x: "N",
    lines,
    logarithmic: true,
  });
}

function addRows(body: HTMLTableSectionElement, { length, measured }: AttentionRow): void {
  const exact = measured[0]!.milliseconds;
  for (const { mechanism, milliseconds, error, distance } of measured) {
    const row = body.insertRow();
    const cells = [
      length.toLocaleString("en"),
      mechanism,
      milliseconds.toFixed(2),
      `${(exact / milliseconds).toFixed(1)}×`,
      error?.toExponential(1) ?? "–",
      mechanism === base ? "–" : distance.toPrecision(2),
    ];
    for (const cell of cells) row.insertCell().textContent = cell;
  }
}
