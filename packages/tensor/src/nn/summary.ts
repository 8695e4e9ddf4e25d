/** Modules as text. */

import { bytesPerElement } from "../tensor/dtype.js";
import { formatShape } from "../tensor/shape.js";
import type { Tensor } from "../tensor/tensor.js";

/** What the summary tells about a module. */
export interface ModuleFacts {
  readonly name: string;
  readonly kind: string;
  readonly parameters: readonly (readonly [string, Tensor])[];
  readonly buffers: readonly (readonly [string, Tensor])[];
}

/** A table of modules with the shapes and the number of their parameters. */
export function summarize(modules: readonly ModuleFacts[]): string {
  const rows: string[][] = [["name", "kind", "shapes", "parameters"]];
  const counted = new Set<Tensor>();
  let trained = 0;
  let total = 0;
  let bytes = 0;
  for (const { name, kind, parameters, buffers } of modules) {
    const shapes = [...parameters, ...buffers].map(
      ([member, { shape }]) => `${member} ${formatShape(shape)}`,
    );
    let own = 0;
    for (const [, parameter] of parameters) {
      if (counted.has(parameter)) continue;
      counted.add(parameter);
      own += parameter.size;
      if (parameter.requiresGrad) trained += parameter.size;
    }
    total += own;
    for (const [, buffer] of buffers) counted.add(buffer);
    rows.push([name, kind, shapes.join("  "), parameters.length === 0 ? "" : formatCount(own)]);
  }
  for (const tensor of counted) bytes += tensor.size * bytesPerElement(tensor.dtype);

  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const lines = rows.map((row) =>
    row
      .map((cell, column) =>
        column === 3 ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!),
      )
      .join("  ")
      .trimEnd(),
  );
  lines.push(
    `${formatCount(total)} parameters, ${formatCount(trained)} of them trained; ${formatBytes(bytes)}`,
  );
  return lines.join("\n");
}

/** A whole number with its thousands apart: `1,234,567`. */
function formatCount(count: number): string {
  return String(count).replace(/\B(?=(\d{3})+$)/g, ",");
}

function formatBytes(bytes: number): string {
  const units = ["bytes", "kB", "MB", "GB"];
  let unit = 0;
  let amount = bytes;
  while (amount >= 1000 && unit < units.length - 1) {
    amount /= 1000;
    unit++;
  }
  return `${unit === 0 ? amount : amount.toFixed(1)} ${units[unit]}`;
}
