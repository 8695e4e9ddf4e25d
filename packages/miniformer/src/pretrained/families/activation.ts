/** The names that published models give to functions. */

import type { GatedActivation, PlainActivation } from "../../config/fields.js";
import type { ConfigFile } from "../config-file.js";
import { unloadable } from "../files/failure.js";

const plain: Readonly<Record<string, PlainActivation>> = {
  gelu: "gelu",
  gelu_python: "gelu",
  gelu_new: "gelu_tanh",
  gelu_fast: "gelu_tanh",
  gelu_pytorch_tanh: "gelu_tanh",
  gelu_python_tanh: "gelu_tanh",
  relu: "relu",
  silu: "silu",
  swish: "silu",
  quick_gelu: "quick_gelu",
};

const gated: Readonly<Record<string, GatedActivation>> = {
  gelu: "geglu",
  gelu_python: "geglu",
  gelu_new: "geglu_tanh",
  gelu_fast: "geglu_tanh",
  gelu_pytorch_tanh: "geglu_tanh",
  gelu_python_tanh: "geglu_tanh",
  relu: "reglu",
  silu: "swiglu",
  swish: "swiglu",
};

function named<Kind>(
  known: Readonly<Record<string, Kind>>,
  config: ConfigFile,
  field: string,
  usual: string,
): Kind {
  const name = config.text(field, usual);
  if (Object.hasOwn(known, name)) return known[name]!;
  throw unloadable(
    `config.json must name one of the functions ${Object.keys(known).join(", ")}, got ${JSON.stringify(name)} for "${field}". Choose another checkpoint.`,
  );
}

/** The function that a field names, between the two maps of a feed-forward part. */
export function plainActivation(config: ConfigFile, field: string, usual: string): PlainActivation {
  return named(plain, config, field, usual);
}

/** The same where a second map multiplies its result. */
export function gatedActivation(config: ConfigFile, field: string, usual: string): GatedActivation {
  return named(gated, config, field, usual);
}
