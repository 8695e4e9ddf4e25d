/** TensorFlow.js on its WebAssembly backend. Node gives it one thread: it starts workers only in pages. */

import type * as tfjs from "@tensorflow/tfjs";
import { trainGpt } from "./gpt-tfjs.js";
import { inputShapes, isArrayTask, trainingTokens, type ArrayTask, type Peer } from "./peer.js";

type Core = typeof tfjs;

function compute(tf: Core, task: ArrayTask, inputs: readonly tfjs.Tensor[]): tfjs.Tensor {
  const [a, b, c] = inputs as [tfjs.Tensor, tfjs.Tensor, tfjs.Tensor];
  switch (task.op) {
    case "matmul":
      return tf.matMul(a, b);
    case "softmax":
      return tf.softmax(a);
    case "layerNorm": {
      const { mean, variance } = tf.moments(a, -1, true);
      const scaled = tf.mul(tf.sub(a, mean), tf.rsqrt(tf.add(variance, 1e-5)));
      return tf.add(tf.mul(scaled, b), c);
    }
    case "gelu":
      return tf.mul(tf.mul(a, 0.5), tf.add(tf.erf(tf.mul(a, Math.SQRT1_2)), 1));
    case "chain":
      return tf.add(tf.mul(tf.tanh(tf.add(tf.mul(a, b), a)), 0.5), b);
  }
}

/** TensorFlow.js. */
export async function tensorflow(): Promise<Peer> {
  const tf = await import("@tensorflow/tfjs");
  await import("@tensorflow/tfjs-backend-wasm");
  await tf.setBackend("wasm");
  await tf.ready();
  return {
    name: "tfjs-wasm",
    settings: "wasm SIMD, 1 thread",
    prepare: async (task, inputs) => {
      if (task.op === "train") return trainGpt(tf, task, trainingTokens(task));
      if (!isArrayTask(task)) return null;
      const shapes = inputShapes(task);
      const tensors = inputs.map((data, i) => tf.tensor(data, [...shapes[i]!]));
      let latest: tfjs.Tensor | null = null;
      const run = (): void => {
        latest?.dispose();
        latest = tf.tidy(() => compute(tf, task, tensors));
      };
      run();
      return {
        run,
        result: async () => (await latest!.data()) as Float32Array,
        release: () => {
          latest?.dispose();
          for (const tensor of tensors) tensor.dispose();
        },
      };
    },
  };
}
