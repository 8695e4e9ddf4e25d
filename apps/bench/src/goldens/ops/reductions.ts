/** Reductions, scans and the softmax family. */

import type { Tensor } from "@x/tensor";
import type { Output, Subject } from "../subject.js";
import { axisBetween, ofOne, type Operation, type Operations } from "./operation.js";

type Reduction = (
  x: Tensor,
  dim: number | number[] | undefined,
  options: { keepdim: boolean },
  subject: Subject,
) => Tensor;

function reduction(compute: Reduction): Operation {
  return ofOne((x, subject) => {
    const { settings } = subject;
    const keepdim = settings.boolean("keepdim") ?? false;
    return compute(x, settings.numberOrNumbers("dim"), { keepdim }, subject);
  });
}

const correctionOf = ({ settings }: Subject, otherwise: number): number => {
  const unbiased = settings.boolean("unbiased");
  return settings.number("correction") ?? (unbiased === undefined ? otherwise : Number(unbiased));
};

const variance = (otherwise: number): Operation =>
  reduction((x, dim, options, subject) =>
    x.var(dim, { ...options, correction: correctionOf(subject, otherwise) }),
  );

function product(x: Tensor, dim: number | number[] | undefined, options: { keepdim: boolean }): Tensor {
  return x.prod(dim, options);
}

/** `values` and `indices` of an extreme along one axis. */
function extreme(
  compute: (x: Tensor, dim: number, keepdim: boolean) => { values: Tensor; indices: Tensor },
  join: (row: number[]) => number,
): Operation {
  return (subject) => {
    const { settings } = subject;
    const dim = settings.number("dim") ?? axisBetween(subject, "x", "values", join);
    const { values, indices } = compute(
      subject.input("x"),
      dim,
      settings.boolean("keepdim") ?? false,
    );
    return { outputs: { values, indices } };
  };
}

/**
 * Positions of extremes. Without settings each output says by its name what it is: `all`, `last`,
 * `dim<n>`, with `_keepdim`; `y` is along the last axis.
 */
function position(
  compute: (x: Tensor, dim: number | undefined, keepdim: boolean) => Tensor,
): Operation {
  return (subject) => {
    const { settings } = subject;
    const outputs: Record<string, Output> = {};
    for (const name of subject.names("output")) {
      const keepdim = settings.boolean("keepdim") ?? name.endsWith("keepdim");
      const named = /^dim_?(m?)(\d+)/.exec(name);
      const ownDim = named ? Number(named[2]) * (named[1] === "m" ? -1 : 1) : -1;
      const dim = name.startsWith("all") ? undefined : (settings.number("dim") ?? ownDim);
      outputs[name] = compute(subject.input("x"), dim, keepdim);
    }
    return { outputs };
  };
}

const counts: Readonly<Record<string, (row: number[]) => number>> = {
  any: (row) => Number(row.some((element) => element !== 0)),
  all: (row) => Number(row.every((element) => element !== 0)),
  count: (row) => row.filter((element) => element !== 0).length,
};

const anyAll: Operation = (subject) => {
  const x = subject.input("x");
  const outputs: Record<string, Output> = {};
  for (const name of subject.names("output")) {
    const join = counts[name];
    if (join === undefined) throw new Error(`unknown output "${name}"`);
    const dim = subject.settings.number("dim") ?? axisBetween(subject, "x", name, join);
    if (name === "any") outputs[name] = x.any(dim);
    else if (name === "all") outputs[name] = x.all(dim);
    else outputs[name] = x.sum(dim);
  }
  return { outputs };
};

const along = (compute: (x: Tensor, dim: number) => Tensor): Operation =>
  ofOne((x, { settings }) => compute(x, settings.number("dim") ?? -1));

const cumulativeExtreme =
  (compute: (x: Tensor, dim: number) => { values: Tensor; indices: Tensor }): Operation =>
  (subject) => {
    const { values, indices } = compute(
      subject.input("x"),
      subject.settings.number("dim") ?? -1,
    );
    return { outputs: { values, indices } };
  };

/** By their names in PyTorch. */
export const reductionOperations: Operations = {
  sum: reduction((x, dim, options) => x.sum(dim, options)),
  mean: reduction((x, dim, options) => x.mean(dim, options)),
  prod: reduction(product),
  amax: reduction((x, dim, options) => x.amax(dim, options)),
  amin: reduction((x, dim, options) => x.amin(dim, options)),
  logsumexp: reduction((x, dim, options) => x.logsumexp(dim, options)),
  var: variance(1),
  var0: variance(0),
  std: reduction((x, dim, options, subject) =>
    x.std(dim, { ...options, correction: correctionOf(subject, 1) }),
  ),
  norm: reduction((x, dim, options, { settings }) => x.norm(settings.number("p") ?? 2, dim, options)),
  max_all: ofOne((x) => x.max()),
  min_all: ofOne((x) => x.min()),
  max_dim: extreme(
    (x, dim, keepdim) => x.max(dim, { keepdim }),
    (row) => Math.max(...row),
  ),
  min_dim: extreme(
    (x, dim, keepdim) => x.min(dim, { keepdim }),
    (row) => Math.min(...row),
  ),
  argmax: position((x, dim, keepdim) => x.argmax(dim, { keepdim })),
  argmin: position((x, dim, keepdim) => x.argmin(dim, { keepdim })),
  anyall: anyAll,

  softmax: along((x, dim) => x.softmax(dim)),
  log_softmax: along((x, dim) => x.logSoftmax(dim)),

  cumsum: along((x, dim) => x.cumsum(dim)),
  cumprod: along((x, dim) => x.cumprod(dim)),
  cummax: cumulativeExtreme((x, dim) => x.cummax(dim)),
  cummin: cumulativeExtreme((x, dim) => x.cummin(dim)),
};
