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
  // One team's sums are the result; those of several are summed.
  const joins = [
    { sum: weightSum, buffer: dWeight },
    { sum: biasSum, buffer: dBias },
  ].flatMap(({ sum, buffer }) => {
    if (!sum) return [];
    const { size } = rows;
    const isWhole = row.teams === 1;
    const partial = isWhole ? buffer! : context.workspace(row.teams * size * 4);
    const parts = denseView(partial, "float32", [row.teams, size]);
    row.storeTeam(parts, sum.value);
    return isWhole ? [] : [() => columnSums("sum over rows", parts, buffer!, context)];
  });
  return [row.launch(op), ...joins.map((join) => join())];
}

function normalized(x: string, mean: string | null, scale: string): string {
  return mean === null ? `(${x} * ${scale})` : `((${x} - ${mean}) * ${scale})`;
}

/** The sums of the columns of a matrix. */
function columnSums(name: string, x: Operand, target: number, context: LoweringContext): Launch {
  const [size, inner] = x.shape as [number, number];
  const column = new RowShader(context, { outer: 1, size, inner }, { elements: [x] });
  column.eachRow(() => {
    column.storeSingle(target, column.sum(column.load(x)));
  });
  return column.launch(name);
}

/** The gradients of weight and bias, from x and g themselves. */
function overColumns(op: string, gradient: Gradient, context: LoweringContext): readonly Launch[] {
  const { rows, x, mean, rstd, g, dWeight, dBias } = gradient;
  const launches: Launch[] = [];
  if (dWeight !== null) {
    // Along a column, what belongs to a row is the same for all columns.
    const columns = { outer: 1, size: rows.outer, inner: rows.size };
    const column = new RowShader(context, columns, { elements: [x, g], shared: [mean, rstd] });
    column.eachRow(() => {
      const [elements, own, scale] = [column.load(x), column.load(g), column.loadShared(rstd)];
      const middle = mean && column.loadShared(mean);
      const product: RowValue = (piece) =>
        `${own(piece)} * ${normalized(elements(piece), middle && middle(piece), scale(piece))}`;
      column.storeSingle(dWeight, column.sum(product));
    });
    launches.push(column.launch(`${op} weight`));
  }
  if (dBias !== null) {
    const matrix = { ...g, shape: [rows.outer, rows.size] };
    launches.push(columnSums(`${op} bias`, matrix, dBias, context));
  }
  return launches;
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
