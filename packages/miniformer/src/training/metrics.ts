/** Counting how often classes were met. */

/** How often each class was predicted, was right, and occurred. */
export class ClassCounts {
  readonly #hits = new Map<number, number>();
  readonly #predicted = new Map<number, number>();
  readonly #occurring = new Map<number, number>();
  /** How many predictions were counted. */
  total = 0;

  /** Adds predictions and the classes that they should have been. */
  add(predictions: ArrayLike<number>, labels: ArrayLike<number>): void {
    for (let i = 0; i < labels.length; i++) {
      const prediction = predictions[i]!;
      const label = labels[i]!;
      increment(this.#predicted, prediction);
      increment(this.#occurring, label);
      if (prediction === label) increment(this.#hits, label);
      this.total++;
    }
  }

  /** Which share of the predictions was right. */
  get accuracy(): number {
    return [...this.#hits.values()].reduce((a, b) => a + b, 0) / this.total;
  }

  /**
   * The mean over all classes that occurred or were predicted of F₁, the harmonic mean of precision
   * and recall: 2 hits / (predicted + occurring).
   */
  get f1Macro(): number {
    const classes = new Set([...this.#predicted.keys(), ...this.#occurring.keys()]);
    let sum = 0;
    for (const number of classes) {
      const either = (this.#predicted.get(number) ?? 0) + (this.#occurring.get(number) ?? 0);
      sum += (2 * (this.#hits.get(number) ?? 0)) / either;
    }
    return sum / classes.size;
  }
}

function increment(counts: Map<number, number>, key: number): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

/** Metrics that are better when larger. */
const risingMetrics: readonly string[] = ["accuracy", "f1Macro"];

/** Whether a smaller or a larger value of a metric is better, unless told otherwise. */
export function directionOf(metric: string): "min" | "max" {
  return risingMetrics.includes(metric) ? "max" : "min";
}
