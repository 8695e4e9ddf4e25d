/** A job of the page: a worker of its own, which ends with it. */

import type { Report, Request } from "./messages.js";

/** A running job. */
export class Job {
  readonly #worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });

  /** Starts it. `listen` is told everything up to the end, which is `finished` or `failed`. */
  constructor(request: Request, listen: (report: Report) => void) {
    this.#worker.addEventListener("message", ({ data }: MessageEvent<Report>) => {
      if (data.kind === "finished" || data.kind === "failed") this.#worker.terminate();
      listen(data);
    });
    this.#worker.addEventListener("error", (event) => {
      event.preventDefault();
      this.#worker.terminate();
      const reason = event.message || "its program could not be loaded";
      listen({ kind: "failed", sentence: `The worker failed: ${reason}. Reload the page.` });
    });
    this.tell(request);
  }

  /** Tells it to pause, resume or stop. */
  tell(request: Request): void {
    this.#worker.postMessage(request);
  }
}
