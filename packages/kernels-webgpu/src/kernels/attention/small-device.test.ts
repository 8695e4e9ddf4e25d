/** Devices that can do no more than every device must: 16 KiB for a workgroup, 8 buffers. */

import { describe, expect, it } from "vitest";
import type { NativeStep } from "@x/tensor/device";
import { validateShader } from "../../../test/null-backend.js";
import type { Launch } from "../../launch.js";
import type { LoweringContext, NativeKernel } from "../../native.js";
import { ShaderBuilder } from "../../wgsl/shader.js";
import { denseView } from "../view.js";
import {
  scaledDotProductAttentionBackwardKernel,
  scaledDotProductAttentionKernel,
} from "./index.js";
import { tilesFor } from "./tile.js";

function smallDevice(): LoweringContext {
  let buffers = 100;
  return {
    features: new Set(),
    workgroupBytes: 16384,
    workgroupSize: 256,
    mostBuffers: 8,
    shader: () => new ShaderBuilder(new Set()),
    workspace: () => buffers++,
    choose: (_key, [first]) => first,
  };
}

/** The launches of a kernel that is given everything it can be given. */
function launchesOf(kernel: NativeKernel, size: number, queries: number): readonly Launch[] {
  const [heads, keys] = [2, 700];
  const [q, k] = [
    [1, heads, queries, size],
    [1, 1, keys, size],
  ] as const;
  const backward = kernel === scaledDotProductAttentionBackwardKernel;
  const rest = backward ? [q, q.slice(0, 3), q] : [];
  const floats = [q, k, k, [heads, queries, keys], ...rest];
  const inputs = [
    ...floats.map((shape, buffer) => denseView(buffer, "float32", shape)),
    ...[50, 51, 52].map((buffer) => denseView(buffer, "uint32", [])),
  ];
  const attributes = { hasBias: true, causal: true, window: [500, 3], scale: 0.1, dropout: 0.3 };
  // A node, and a step, with no more than the kernel reads.
  const node: Partial<NativeStep["node"]> = { attributes };
  const step: Partial<NativeStep> = {
    inputs,
    outputs: [60, 61, 62],
    node: node as NativeStep["node"],
  };
  return kernel.lower(step as NativeStep, smallDevice());
}

describe("attention on a small device", () => {
  for (const size of [7, 64, 256]) {
    for (const queries of [1, 500]) {
      it(`is valid for ${queries} queries of ${size} numbers`, async () => {
        const launches = [
          scaledDotProductAttentionKernel,
          scaledDotProductAttentionBackwardKernel,
        ].flatMap((kernel) => launchesOf(kernel, size, queries));
        for (const { name, shader, buffers } of launches) {
          expect(await validateShader(shader), name).toEqual([]);
          expect(buffers.length, name).toBeLessThanOrEqual(8);
        }
      });
    }
  }

  it("has a tile for every problem", () => {
    for (const size of [1, 20, 64, 100, 256]) {
      for (const rows of [1, 8, 33, 5000]) {
        const problem = { rows, columns: 300, depths: [size, size], results: [size, size] };
        expect(tilesFor(problem, smallDevice()).length).toBeGreaterThan(0);
      }
    }
  });
});
