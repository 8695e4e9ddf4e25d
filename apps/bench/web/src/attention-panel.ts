/** The panel that measures attention. */

import { Chart } from "./chart.js";
import { find } from "./elements.js";
import type { AttentionRow, DeviceName } from "./messages.js";
import { Panel } from "./panel.js";

/** Makes the panel work. */
export function showAttention(device: () => DeviceName): void {
  const panel: Panel = new Panel(
    "#attention",
    () => {
      chart.clear();
      body.replaceChildren();
      return { kind: "attention", device: device(), longest: Number(panel.value("longest")) };
    },
    (report) => {
      if (report.kind !== "row") return;
      const { length, exact, linear } = report.row;
      chart.add(length, [exact.milliseconds, linear.milliseconds]);
      addRow(body, report.row);
    },
  );
  const body = find(panel.element, ".measured tbody", HTMLTableSectionElement);
  const chart = new Chart(find(panel.element, ".times", HTMLElement), {
    x: "N",
    lines: [
      { label: "exact", color: "--second" },
      { label: "linear", color: "--accent" },
    ],
    logarithmic: true,
  });
}

function addRow(body: HTMLTableSectionElement, { length, exact, linear }: AttentionRow): void {
  const row = body.insertRow();
  const cells = [
    length.toLocaleString("en"),
    exact.milliseconds.toFixed(2),
    linear.milliseconds.toFixed(2),
    `${(exact.milliseconds / linear.milliseconds).toFixed(1)}×`,
    exact.error.toExponential(1),
    linear.error.toExponential(1),
  ];
  for (const cell of cells) row.insertCell().textContent = cell;
}
