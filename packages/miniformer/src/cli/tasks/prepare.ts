/** From data to a job. */

import type { Input } from "../inputs.js";
import { fieldsOf, type Facts, type FieldOptions } from "./facts.js";
import type { Job } from "./job.js";
import { languageJob } from "./language.js";
import type { JobOptions } from "./options.js";
import { pairsJob } from "./pairs.js";
import { classificationJob, regressionJob } from "./sequences.js";
import { seriesJob } from "./series.js";

/**
 * The job that data is for.
 *
 * @param earlier what a model was trained for, where there is one
 * @throws XError `argument` if the data is not for it, or for nothing that is known
 */
export async function prepareJob(
  input: Input,
  fields: FieldOptions,
  options: JobOptions,
  earlier: Facts | null = null,
): Promise<Job> {
  const found = fieldsOf(input, earlier === null ? fields : { ...fieldsIn(earlier), ...fields });
  const { task } = found;
  // Only text has no rows, and text is for language models.
  if (task === "language" || input.kind === "text") return languageJob(input, found.input, options);
  const { rows } = input;
  const [from, to] = [found.input!, found.target!];
  switch (task) {
    case "classification": {
      const known = earlier?.task === task ? earlier : {};
      return classificationJob(rows, { ...known, input: from, target: to }, options);
    }
    case "regression": {
      const known = earlier?.task === task ? earlier : {};
      return regressionJob(rows, { ...known, input: from, target: to }, options);
    }
    case "forecasting":
      return seriesJob(rows, earlier?.task === task ? earlier : null, options);
    case "seq2seq":
      return pairsJob(rows, { input: from, target: to }, options);
  }
}

function fieldsIn(facts: Facts): FieldOptions {
  if (facts.task === "forecasting") return { task: facts.task };
  if (facts.task === "language") {
    return { task: facts.task, ...(facts.input !== null && { input: facts.input }) };
  }
  return { task: facts.task, input: facts.input, target: facts.target };
}
