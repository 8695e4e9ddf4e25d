/** onnxruntime: in WebAssembly as pages use it, and native as the mark to reach. */

import type { InferenceSession, Tensor } from "onnxruntime-web";
import { onnxModel } from "./onnx-model.js";
import { inputShapes, isArrayTask, type Peer } from "./peer.js";

/** The part of the two packages that is used; it is the same in both. */
interface Runtime {
  readonly InferenceSession: {
    create(model: Uint8Array, options: InferenceSession.SessionOptions): Promise<InferenceSession>;
  };
  readonly Tensor: new (type: "float32", data: Float32Array, shape: readonly number[]) => Tensor;
}

function peer(
  name: string,
  settings: string,
  runtime: Runtime,
  options: InferenceSession.SessionOptions,
): Peer {
  return {
    name,
    settings,
    prepare: async (task, inputs) => {
      if (!isArrayTask(task)) return null;
      const session = await runtime.InferenceSession.create(onnxModel(task), options);
      const shapes = inputShapes(task);
      const feeds = Object.fromEntries(
        inputs.map((data, i) => [`x${i}`, new runtime.Tensor("float32", data, shapes[i]!)]),
      );
      let latest: Tensor | null = null;
      return {
        run: async () => {
          latest = (await session.run(feeds)).y!;
        },
        result: async () => (await latest!.getData()) as Float32Array,
        release: () => void session.release(),
      };
    },
  };
}

/** onnxruntime-web on `threads` threads. */
export async function onnxWeb(threads: number): Promise<Peer> {
  const runtime = await import("onnxruntime-web");
  runtime.env.wasm.numThreads = threads;
  runtime.env.logLevel = "error";
  return peer("onnxruntime-web", `wasm SIMD, ${threads} threads`, runtime, {
    executionProviders: ["wasm"],
    graphOptimizationLevel: "all",
  });
}

/** onnxruntime-node on `threads` threads: native code. */
export async function onnxNode(threads: number): Promise<Peer> {
  // Both packages have the same interface; their types only know their own tensors.
  const runtime = (await import("onnxruntime-node")) as unknown as Runtime;
  return peer("onnxruntime-node", `native, ${threads} threads`, runtime, {
    intraOpNumThreads: threads,
    graphOptimizationLevel: "all",
  });
}
