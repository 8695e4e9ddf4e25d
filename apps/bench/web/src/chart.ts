/** Line charts that follow the width of the page and its colours. */

import uPlot from "uplot";

/** A line of a chart. */
export interface Line {
  readonly label: string;
  /** The custom property that holds its colour. */
  readonly color: "--accent" | "--second" | "--third" | "--fourth" | "--fifth" | "--faint";
}

interface ChartOptions {
  readonly x: string;
  readonly lines: readonly Line[];
  /** Both axes are logarithmic. */
  readonly logarithmic?: boolean;
}

const height = 220;

/** A chart in a figure. Its numbers are also told to those who cannot see it. */
export class Chart {
  readonly #figure: HTMLElement;
  readonly #caption: string;
  readonly #lines: readonly Line[];
  readonly #plot: uPlot;
  #data: (number | null)[][];
  #frame = 0;

  constructor(figure: HTMLElement, { x, lines, logarithmic = false }: ChartOptions) {
    this.#figure = figure;
    this.#caption = figure.textContent.trim();
    this.#lines = lines;
    this.#data = [[], ...lines.map(() => [])];
    const style = getComputedStyle(figure);
    const axis: uPlot.Axis = {
      stroke: style.color,
      grid: { stroke: colorOf(figure, "--line"), width: 1 },
      ticks: { stroke: colorOf(figure, "--line"), width: 1 },
    };
    const logScale = (base: 2 | 10): uPlot.Scale => ({
      time: false,
      distr: 3,
      log: base,
      range: (_, least, most) => (least > 0 ? uPlot.rangeLog(least, most, base, false) : [1, base]),
    });
    const canvasHolder = document.createElement("div");
    canvasHolder.setAttribute("role", "img");
    figure.append(canvasHolder);
    this.#plot = new uPlot(
      {
        width: Math.max(figure.clientWidth, 200),
        height,
        cursor: { show: false },
        scales: logarithmic ? { x: logScale(2), y: logScale(10) } : { x: { time: false } },
        legend: { live: false },
        axes: [{ ...axis }, { ...axis, size: 60 }],
        series: [
          { label: x },
          ...lines.map(({ label, color }) => ({
            label,
            stroke: colorOf(figure, color),
            width: 2,
            points: { show: logarithmic },
          })),
        ],
      },
      this.#data as uPlot.AlignedData,
      canvasHolder,
    );
    new ResizeObserver(() => {
      this.#plot.setSize({ width: Math.max(figure.clientWidth, 200), height });
    }).observe(figure);
    this.clear();
  }

  /** Takes all points away. */
  clear(): void {
    this.#data = this.#data.map(() => []);
    this.#draw();
  }

  /** Shows the lines with these labels and hides the others. */
  show(labels: readonly string[]): void {
    this.#lines.forEach(({ label }, i) => {
      this.#plot.setSeries(i + 1, { show: labels.includes(label) });
    });
  }

  /** Adds a point to every line; to one that is hidden, `null`. */
  add(x: number, values: readonly (number | null)[]): void {
    this.#data[0]!.push(x);
    values.forEach((value, i) => this.#data[i + 1]!.push(value));
    this.#draw();
  }

  /** At most once a frame, however fast points come. */
  #draw(): void {
    if (this.#frame !== 0) return;
    this.#frame = requestAnimationFrame(() => {
      this.#frame = 0;
      this.#plot.setData(this.#data as uPlot.AlignedData);
      const latest = this.#lines.flatMap(({ label }, i) => {
        const value = this.#data[i + 1]!.at(-1) ?? null;
        return value === null ? [] : `${label} ${value.toPrecision(3)}`;
      });
      const holder = this.#figure.querySelector("[role=img]")!;
      holder.setAttribute("aria-label", `${this.#caption}: ${latest.join(", ") || "empty"}`);
    });
  }
}

function colorOf(element: Element, property: string): string {
  // A custom property may hold light-dark(), which only a real property resolves.
  const probe = document.createElement("span");
  probe.style.color = `var(${property})`;
  element.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}
