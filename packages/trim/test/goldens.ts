/** The recorded cases of the original implementation. */

import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { fromData, type Device, type Tensor } from "@x/tensor";
import { openSafetensorsFile } from "@x/tensor/safetensors";
import { expectClose } from "@x/tensor/testing";

const folder = fileURLToPath(new URL("../../../goldens/trim/", import.meta.url));

/** The names of the cases whose name starts with `prefix`. */
export function goldenNames(prefix: string): string[] {
  return readdirSync(folder)
    .filter((file) => file.startsWith(prefix) && file.endsWith(".safetensors"))
    .map((file) => file.replace(".safetensors", ""))
    .sort();
}

/** The tensors and arguments of a recorded case. */
export interface Golden {
  readonly config: Readonly<Record<string, unknown>>;
  /** Largest relative difference between float32 and float64 in the original. */
  readonly deviation: number;
  /** What is recorded, by name. */
  readonly tensors: ReadonlyMap<string, Tensor>;
}

/** Reads a case; what has a recorded gradient requires one. */
export async function readGolden(name: string, device: Device): Promise<Golden> {
  const file = await openSafetensorsFile(`${folder}${name}.safetensors`);
  try {
    const tensors = new Map<string, Tensor>();
    for (const key of file.names) {
      const { dtype, data } = await file.data(key);
      const own = key.replace(/^(input|param)\./, "");
      const requiresGrad = own !== key && file.names.includes(`grad.${own}`);
      const { shape } = file.entry(key);
      tensors.set(key, fromData(data, [...shape], { dtype, device, requiresGrad }));
    }
    return {
      config: JSON.parse(file.metadata.get("config")!) as Record<string, unknown>,
      deviation: Number(file.metadata.get("f64_deviation") ?? 0),
      tensors,
    };
  } finally {
    await file.close();
  }
}

/** The recorded parameters, by their names in the state dictionary. */
export function parametersOf({ tensors }: Golden): Map<string, Tensor> {
  const found = [...tensors].filter(([name]) => name.startsWith("param."));
  return new Map(found.map(([name, tensor]) => [name.slice("param.".length), tensor]));
}

/** Compares outputs, and the gradients of everything in `leaves`, with what was recorded. */
export async function expectGolden(
  golden: Golden,
  outputs: Readonly<Record<string, Tensor | null>>,
  leaves: ReadonlyMap<string, Tensor> = new Map(),
): Promise<void> {
  const { tensors, deviation } = golden;
  const relative = Math.max(2e-5, 30 * deviation);
  let loss: Tensor | null = null;
  for (const [name, output] of Object.entries(outputs)) {
    const cotangent = tensors.get(`cotangent.${name}`);
    if (!output || !cotangent) continue;
    const part = output.mul(cotangent).sum();
    loss = loss === null ? part : loss.add(part);
  }
  loss?.backward();
  const compare = async (actual: Tensor, expected: Tensor, factor: number): Promise<void> => {
    const tolerance = relative * factor;
    const options = { relative: tolerance, absolute: tolerance * 1e-3 };
    await expectClose(actual, expected, { ...options, relativeTo: "largest" });
  };
  for (const [name, expected] of tensors) {
    if (!name.startsWith("output.")) continue;
    const output = outputs[name.slice("output.".length)];
    if (!output) throw new Error(`${name} must be computed, got nothing`);
    await compare(output, expected, 1);
  }
  if (loss === null) return;
  for (const [name, expected] of tensors) {
    if (!name.startsWith("grad.")) continue;
    const own = name.slice("grad.".length);
    const leaf = leaves.get(own) ?? tensors.get(`input.${own}`);
    if (!leaf?.grad) throw new Error(`${name} must be computed, got nothing`);
    await compare(leaf.grad, expected, 5);
  }
}
