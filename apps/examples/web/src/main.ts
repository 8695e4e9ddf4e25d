/** The page: two forms, and a worker that does what they ask for. */

import type { Report, Request } from "./messages.js";

const element = <T extends HTMLElement>(selector: string): T =>
  document.querySelector<T>(selector)!;
const progress = element<HTMLProgressElement>("#progress");
const loss = element<HTMLParagraphElement>("#loss");
const written = element<HTMLOutputElement>("#written");
const buttons = [...document.querySelectorAll("button")] as [HTMLButtonElement, HTMLButtonElement];
const [trainButton, writeButton] = buttons;

const worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
const ask = (request: Request): void => {
  for (const button of buttons) button.disabled = true;
  worker.postMessage(request);
};

/** Lets the user ask for what can be done now. */
function allow(canWrite: boolean): void {
  trainButton.disabled = false;
  writeButton.disabled = !canWrite;
}

element("#training").addEventListener("submit", (event) => {
  event.preventDefault();
  const steps = Number(element<HTMLInputElement>("#steps").value);
  progress.max = steps;
  ask({ kind: "train", steps, text: element<HTMLTextAreaElement>("#text").value });
});

element("#writing").addEventListener("submit", (event) => {
  event.preventDefault();
  const beginning = element<HTMLInputElement>("#beginning").value;
  written.value = beginning;
  ask({ kind: "write", beginning });
});

worker.addEventListener("message", ({ data }: MessageEvent<Report>) => {
  switch (data.kind) {
    case "step":
      progress.value = data.step;
      loss.textContent = `Step ${data.step}: ${data.bitsPerByte.toFixed(2)} bits per byte`;
      break;
    case "trained":
      allow(true);
      break;
    case "written":
      written.value += data.text;
      if (data.isEnd) allow(true);
      break;
    case "failed":
      loss.textContent = data.sentence;
      allow(false);
  }
});
