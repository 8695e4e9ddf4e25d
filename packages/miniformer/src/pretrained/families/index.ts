/** The families of published models that can be loaded. */

import type { ConfigFile } from "../config-file.js";
import { unloadable } from "../files/failure.js";
import { bert, distilbert } from "./bert.js";
import type { Family } from "./family.js";
import { gpt2 } from "./gpt2.js";
import { llama } from "./llama.js";

const families: readonly Family[] = [gpt2, llama, bert, distilbert];

/** The family that `config.json` names. */
export function familyOf(config: ConfigFile): Family {
  const type = config.text("model_type", null);
  const found = families.find(({ modelTypes }) => type !== null && modelTypes.includes(type));
  if (found !== undefined) return found;
  const known = ["miniformer", ...families.flatMap(({ modelTypes }) => modelTypes)];
  throw unloadable(
    `config.json must give as "model_type" one of ${known.join(", ")}, got ${JSON.stringify(type)}. Choose a checkpoint of one of these families.`,
  );
}
