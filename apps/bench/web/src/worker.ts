/** What runs beside the page, so that it stays responsive: one job for each worker. */

import { XError } from "@x/tensor";
import { runAttention } from "./attention-job.js";
import { Control } from "./control.js";
import type { Report, Request } from "./messages.js";
import { runTraining } from "./training-job.js";

const control = new Control();
const tell = (report: Report): void => postMessage(report);

async function run(request: Request): Promise<void> {
  switch (request.kind) {
    case "train":
      return runTraining(request, control, tell);
    case "attention":
      return runAttention(request, control, tell);
    case "pause":
      return control.pause();
    case "resume":
      return control.resume();
    case "stop":
      return control.stop();
  }
}

addEventListener("message", ({ data }: MessageEvent<Request>) => {
  run(data).catch((error: unknown) => {
    const sentence = XError.isInstance(error)
      ? error.message
      : `Something went wrong: ${String(error)}`;
    tell({ kind: "failed", sentence });
  });
});
