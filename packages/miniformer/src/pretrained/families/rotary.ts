/** How published models write down rotary positions. */

import type { RotaryScaling, TransformerOptions } from "../../config/fields.js";
import type { ConfigFile } from "../config-file.js";
import { unloadable } from "../files/failure.js";

/** What is said of rotary positions, and what users should know. */
export interface RotarySettings {
  readonly options: Pick<TransformerOptions, "rotaryBase" | "rotaryPct" | "rotaryScaling">;
  readonly notes: readonly string[];
}

/**
 * Reads `rope_parameters`, or `rope_theta` and `rope_scaling` of older files.
 *
 * @param positions the longest sequence of the model
 */
export function rotarySettings(config: ConfigFile, positions: number): RotarySettings {
  const [parameters, scaling] = ["rope_parameters", "rope_scaling"].map((name) =>
    config.object(name),
  ) as [ConfigFile, ConfigFile];
  const perKind = parameters.names().filter((name) => name.endsWith("_attention"));
  if (perKind.length > 0) {
    throw unloadable(
      `config.json must give all layers the same "rope_parameters", got some of their own for ${perKind.join(", ")}. Choose another checkpoint.`,
    );
  }
  const theta = config.numberOr(10000, "rope_theta");
  const part = config.numberOr(1, "partial_rotary_factor");
  // One of the two is empty; where both are there, the newer one holds.
  const said = parameters.names().length > 0 ? parameters : scaling;
  const { rotaryScaling, notes } = scalingOf(said, positions, config);
  return {
    options: {
      rotaryBase: said.numberOr(theta, "rope_theta"),
      rotaryPct: said.numberOr(part, "partial_rotary_factor"),
      rotaryScaling,
    },
    notes,
  };
}

function scalingOf(
  said: ConfigFile,
  positions: number,
  config: ConfigFile,
): { readonly rotaryScaling: RotaryScaling | null; readonly notes: readonly string[] } {
  const type = said.text("rope_type", null) ?? said.text("type", "default");
  const original = said.countOr(
    config.countOr(positions, "original_max_position_embeddings"),
    "original_max_position_embeddings",
  );
  const scaling = (rotaryScaling: RotaryScaling | null, ...notes: string[]) => ({
    rotaryScaling,
    notes,
  });
  const needed = (name: string): number => {
    const value = said.numberOr(null, name);
    if (value !== null) return value;
    throw unloadable(
      `config.json must give "${name}" for rotary positions of the type "${type}", got none. Check the file.`,
    );
  };
  switch (type) {
    case "default":
      return scaling(null);
    case "linear":
      return scaling({ type, factor: needed("factor") });
    case "dynamic":
      // Frequencies change only beyond the length that the model was trained for.
      return scaling(
        null,
        `Rotary frequencies that change beyond ${positions} positions ("dynamic") are not supported: keep sequences within them.`,
      );
    case "llama3":
      return scaling({
        type,
        factor: needed("factor"),
        lowFreqFactor: needed("low_freq_factor"),
        highFreqFactor: needed("high_freq_factor"),
        originalMaxPositions: original,
      });
    case "yarn":
      return scaling(yarn(said, needed("factor"), original));
    default:
      throw unloadable(
        `config.json must ask for rotary positions of the type default, linear, dynamic, llama3 or yarn, got ${JSON.stringify(type)}. Choose another checkpoint.`,
      );
  }
}

function yarn(said: ConfigFile, factor: number, originalMaxPositions: number): RotaryScaling {
  const magnitude = (scale: number): number =>
    factor <= 1 ? 1 : 0.1 * scale * Math.log(factor) + 1;
  const scales = ["mscale", "mscale_all_dim"].map((name) => said.numberOr(0, name));
  // Models that have both scale rotated vectors by the ratio.
  const usual = scales.every((scale) => scale !== 0)
    ? magnitude(scales[0]!) / magnitude(scales[1]!)
    : magnitude(1);
  if (!said.flag("truncate", true)) {
    throw unloadable(
      `config.json must not ask for a ramp between fractions of pairs, got "truncate": false for rotary positions. Choose another checkpoint.`,
    );
  }
  return {
    type: "yarn",
    factor,
    originalMaxPositions,
    betaFast: said.numberOr(32, "beta_fast"),
    betaSlow: said.numberOr(1, "beta_slow"),
    attentionFactor: said.numberOr(usual, "attention_factor"),
  };
}
