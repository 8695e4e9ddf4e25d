/** Pausing and stopping a job between two of its steps. */

/** What a job asks between its steps. */
export class Control {
  readonly #stop = new AbortController();
  #running: Promise<void> = Promise.resolve();
  #resume: () => void = () => undefined;

  /** Aborted when the job is to end. */
  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  /** Resolves at once, or when a pause is over. */
  get running(): Promise<void> {
    return this.#running;
  }

  pause(): void {
    this.#running = new Promise((resolve) => {
      this.#resume = resolve;
    });
  }

  resume(): void {
    this.#resume();
  }

  stop(): void {
    this.#stop.abort();
    this.resume();
  }
}
