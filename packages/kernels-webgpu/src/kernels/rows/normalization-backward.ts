/**
 * The gradients of layer norm and RMS norm.
 *
 * With n = (x − mean) · rstd and h = g · weight, dx = rstd (h − mean(h) − n · mean(h n)), where RMS
 * norm lacks the first mean. The gradients of weight and bias, Σ g n and Σ g over the rows, grow in
 * registers while a team goes over its rows, and are joined afterwards: x and g are read once. Where
 * rows do not fit into registers, columns are many, and x and g are read again for their sums.
 */

import type { NativeStep, Operand } from "@x/tensor/device";
import type { Launch } from "../../launch.js";
import type { LoweringContext, NativeKernel } from "../../native.js";
import { constantCode } from "../../wgsl/functions.js";
import { denseView } from "../view.js";
import { hasRows, normalizedRows } from "./normalization.js";
import { RowShader, type RowShape, type RowValue } from "./row-shader.js";

/** Teams that share the rows, at most, where sums over rows are wanted. */
const mostTeams = 512;

/** What the gradient is made from, and where it goes. */
interface Gradient {
  readonly rows: RowShape;
  readonly x: Operand;
  readonly weight: Operand | null;
  readonly mean: Operand | null;
  readonly rstd: Operand;
  readonly g: Operand;
  readonly dx: Operand;
  /** Buffers of the gradients of weight and bias, where they are wanted. */
  readonly dWeight: number | null;
  readonly dBias: number | null;
}

function gradientOf({ node, inputs, outputs }: NativeStep, isCentred: boolean): Gradient {
  const { hasWeight, hasBias } = node.attributes;
  const [x, ...others] = inputs as [Operand, ...Operand[]];
  const weight = hasWeight === true ? others.shift()! : null;
  const mean = isCentred ? others.shift()! : null;
  const [rstd, g] = others as [Operand, Operand];
  const [, ...sums] = outputs as readonly number[];
  return {
    rows: normalizedRows(node),
    x,
    weight,
    mean,
    rstd,
    g,
    dx: denseView(outputs[0]!, "float32", x.shape),
    dWeight: weight && sums[0]!,
    dBias: hasBias === true ? sums.at(-1)! : null,
  };
}

/** The rows of dx, and the sums that each team makes of its rows. */
function overRows(op: string, gradient: Gradient, context: LoweringContext): readonly Launch[] {
  const { rows, x, weight, mean, rstd, g, dx, dWeight, dBias } = gradient;
  const rowsEach = dWeight === null && dBias === null ? 1 : Math.ceil(rows.outer / mostTeams);
  const operands = { elements: [x, g, dx], shared: [weight], single: [mean, rstd] };
  const row = new RowShader(context, rows, operands, rowsEach);
  const isSummed = row.isHeld;
  const factors = weight && row.loadShared(weight);
  const [weightSum, biasSum] = [dWeight, dBias].map((buffer) =>
    buffer !== null && isSummed ? row.accumulator() : null,
  );
  row.eachRow(() => {
    const [elements, own] = [row.load(x), row.load(g)];
    const scale = row.loadSingle(rstd);
    const middle = mean && row.loadSingle(mean);
    const normal = row.map((piece) => normalized(elements(piece), middle, scale));
    weightSum?.add((piece) => `${own(piece)} * ${normal(piece)}`);
    biasSum?.add(own);
    const inner = factors ? row.map((piece) => `${own(piece)} * ${factors(piece)}`) : own;
    const share = constantCode(1 / rows.size, "float32", row.shader.helpers);
    const meanOf = (value: RowValue): string => row.name(`${row.sum(value)} * ${share}`);
    const level = middle && meanOf(inner);
    const along = meanOf((piece) => `${inner(piece)} * ${normal(piece)}`);
    row.store(dx, (piece) => {
      const centred = level ? `${inner(piece)} - ${level}` : inner(piece);
      return `(${centred} - ${normal(piece)} * ${along}) * ${scale}`;
    });
  });
  if (!isSummed) return [row.launch(op), ...overColumns(op, gradient, context)];
  // The sums of one team are the result; those of several are summed.
  const parts = [
    { sum: weightSum, target: dWeight },
    { sum: biasSum, target: dBias },
  ].flatMap(({ sum, target }) => {
    if (!sum) return [];
    const buffer = row.teams === 1 ? target! : context.workspace(row.teams * rows.size * 4);
    const part = denseView(buffer, "float32", [row.teams, rows.size]);
    row.storeTeam(part, sum.value);
    return [{ part, target: target! }];
  });
  const own = row.launch(op);
  if (parts.length === 0 || row.teams === 1) return [own];
  const columns = columnsOf(
    row.teams,
    rows.size,
    parts.map(({ part }) => part),
    context,
  );
  columns.eachRow(() => {
    for (const { part, target } of parts) {
      columns.storeSingle(target, columns.sum(columns.load(part)));
    }
  });
  return [own, columns.launch(`${op} sums`)];
}

function normalized(x: string, mean: string | null, scale: string): string {
  return mean === null ? `(${x} * ${scale})` : `((${x} - ${mean}) * ${scale})`;
}

/** A shader on the columns of matrices. */
function columnsOf(
  size: number,
  inner: number,
  elements: readonly Operand[],
  context: LoweringContext,
  shared: readonly (Operand | null)[] = [],
): RowShader {
  return new RowShader(context, { outer: 1, size, inner }, { elements, shared });
}

/** The gradients of weight and bias, from x and g themselves. */
function overColumns(
  op: string,
  { rows, x, mean, rstd, g, dWeight, dBias }: Gradient,
  context: LoweringContext,
): readonly Launch[] {
  if (dWeight === null && dBias === null) return [];
  const elements = dWeight === null ? [g] : [x, g];
  // Along a column, what belongs to a row is the same for all columns.
  const columns = columnsOf(rows.outer, rows.size, elements, context, [mean, rstd]);
  columns.eachRow(() => {
    const own = columns.load(g);
    if (dBias !== null) columns.storeSingle(dBias, columns.sum(own));
    if (dWeight === null) return;
    const [values, scale] = [columns.load(x), columns.loadShared(rstd)];
    const middle = mean && columns.loadShared(mean);
    const product: RowValue = (piece) =>
      `${own(piece)} * ${normalized(values(piece), middle && middle(piece), scale(piece))}`;
    columns.storeSingle(dWeight, columns.sum(product));
  });
  return [columns.launch(`${op} sums`)];
}

function normBackwardKernel(op: string, isCentred: boolean): NativeKernel {
  return {
    op,
    supports: hasRows,
    lower: (step, context) => overRows(op, gradientOf(step, isCentred), context),
  };
}

/** The kernel of `layerNormBackward`. */
export const layerNormBackwardKernel: NativeKernel = normBackwardKernel("layerNormBackward", true);

/** The kernel of `rmsNormBackward`. */
export const rmsNormBackwardKernel: NativeKernel = normBackwardKernel("rmsNormBackward", false);
