/** The projections of a trained attention, whatever it calls them. */

import { linear, type Tensor } from "@x/tensor";
import { check } from "@x/tensor/checks";
import { Module, MultiheadAttention, Parameter } from "@x/tensor/nn";

/** What a projection is for. */
export type Role = "query" | "key" | "value" | "output";

/** Names of the properties with the four projections; `null` for those of `MultiheadAttention`. */
export type ProjectionNames = Readonly<Record<Role, string>> | null;

/** What attention modules call their projections. */
function knownNames(): Readonly<Record<Role, string>>[] {
  return [
    ["qProj", "kProj", "vProj", "outProj"],
    ["qProj", "kProj", "vProj", "oProj"],
    ["toQ", "toK", "toV", "toOut"],
    ["query", "key", "value", "output"],
    ["wq", "wk", "wv", "wo"],
  ].map(([query, key, value, output]) => ({
    query: query!,
    key: key!,
    value: value!,
    output: output!,
  }));
}

/** A module with the projections among its properties. */
export type Projected = Module & Readonly<Record<string, unknown>>;

interface Projection extends Module {
  forward(x: Tensor): Tensor;
}

function isProjection(value: unknown): value is Projection {
  return value instanceof Module && typeof (value as Partial<Projection>).forward === "function";
}

/** How `attention` calls its projections. */
export function projectionNames(attention: Module): ProjectionNames {
  if (attention instanceof MultiheadAttention) {
    check(
      attention.biasK === null && !attention.addZeroAttn,
      "argument",
      () =>
        "retrofit: keys that are added to every sequence cannot be kept, got addBiasKv or addZeroAttn. Train without them.",
    );
    return null;
  }
  const properties = attention as Projected;
  const names = knownNames().find((roles) =>
    Object.values(roles).every((name) => isProjection(properties[name])),
  );
  check(
    names !== undefined,
    "argument",
    () =>
      `retrofit: the attention must be a MultiheadAttention or have modules ${knownNames()
        .map((roles) => Object.values(roles).join(", "))
        .join("; or ")}, got ${attention.constructor.name}. Name its projections so.`,
  );
  return names;
}

/** The size of what a projection gives, if its weight tells. */
export function projectedSize(
  attention: Module,
  names: ProjectionNames,
  role: Role,
): number | null {
  if (attention instanceof MultiheadAttention) return attention.embedDim;
  const { weight } = (attention as Projected)[names![role]] as { weight?: unknown };
  return weight instanceof Parameter ? weight.shape[0]! : null;
}

/** What the projection gives for x [batch, length, size], by the names in `owner`. */
export function project(owner: Module, names: ProjectionNames, role: Role, x: Tensor): Tensor {
  if (names !== null) return ((owner as Projected)[names[role]] as Projection).forward(x);
  // A part of it has the properties of a MultiheadAttention under their names.
  const parts = owner as Module & Pick<MultiheadAttention, PackedNames>;
  if (role === "output") return parts.outProj.forward(x);
  const place = { query: 0, key: 1, value: 2 }[role];
  const size = parts.outProj.inFeatures;
  const rows = (all: Tensor): Tensor => all.narrow(0, place * size, size);
  const own = [parts.qProjWeight, parts.kProjWeight, parts.vProjWeight][place]!;
  const weight = parts.inProjWeight === null ? own : rows(parts.inProjWeight);
  return linear(x, weight, parts.inProjBias && rows(parts.inProjBias));
}

type PackedNames =
  "inProjWeight" | "inProjBias" | "qProjWeight" | "kProjWeight" | "vProjWeight" | "outProj";
