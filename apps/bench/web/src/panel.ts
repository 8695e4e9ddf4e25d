/** What both panels have in common: a form that starts one job at a time, and what it says. */

import { find } from "./elements.js";
import { Job } from "./job.js";
import type { Report, Request } from "./messages.js";

/** A panel of the page. */
export class Panel {
  readonly element: HTMLElement;
  readonly form: HTMLFormElement;
  readonly #status: HTMLElement;
  readonly #listen: (report: Report) => void;
  #job: Job | null = null;

  /** `prepare` makes the request of a job when one is started; `listen` is told its reports. */
  constructor(selector: string, prepare: () => Request, listen: (report: Report) => void) {
    this.element = find(document, selector, HTMLElement);
    this.form = find(this.element, "form", HTMLFormElement);
    this.#status = find(this.element, ".status", HTMLElement);
    this.#listen = listen;
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#start(prepare());
    });
    this.button("stop").addEventListener("click", () => {
      this.tell("stop");
      this.show("Stopping …");
    });
  }

  /** A button by its name. */
  button(name: string): HTMLButtonElement {
    return find(this.form, `[name=${name}]`, HTMLButtonElement);
  }

  /** What a field of the form holds. */
  value(name: string): string {
    const value = new FormData(this.form).get(name);
    return typeof value === "string" ? value : "";
  }

  /** What is chosen of the boxes with that name. */
  values(name: string): string[] {
    return new FormData(this.form).getAll(name).filter((value) => typeof value === "string");
  }

  tell(kind: "pause" | "resume" | "stop"): void {
    this.#job?.tell({ kind });
  }

  show(sentence: string, wrong = false): void {
    this.#status.textContent = sentence;
    this.#status.classList.toggle("wrong", wrong);
  }

  #start(request: Request): void {
    this.#setRunning(true);
    this.show("Starting …");
    this.#job = new Job(request, (report) => {
      this.#hear(report);
    });
  }

  #hear(report: Report): void {
    switch (report.kind) {
      case "device":
        find(this.element, ".device", HTMLElement).textContent = report.sentence;
        break;
      case "status":
        this.show(report.sentence);
        break;
      case "finished":
      case "failed":
        this.#job = null;
        this.#setRunning(false);
        this.show(report.sentence, report.kind === "failed");
        break;
      default:
        this.#listen(report);
    }
  }

  #setRunning(running: boolean): void {
    for (const button of this.form.querySelectorAll("button")) {
      button.disabled = running === (button.name === "start");
    }
  }
}
