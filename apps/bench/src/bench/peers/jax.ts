/** jax-js on its WebAssembly backend, compiled with `jit`. */

import type * as jaxLibrary from "@jax-js/jax";
import { trainGpt } from "./gpt-jax.js";
import { inputShapes, isArrayTask, trainingTokens, type ArrayTask, type Peer } from "./peer.js";

type Jax = typeof jaxLibrary;
type JaxArray = ReturnType<Jax["numpy"]["array"]>;

function compute(
  { numpy: np, nn, scipySpecial }: Jax,
  task: ArrayTask,
): (...inputs: JaxArray[]) => JaxArray {
  switch (task.op) {
    case "matmul":
      return (a, b) => np.matmul(a, b);
    case "softmax":
      return (a) => nn.softmax(a, -1);
    case "layerNorm":
      return (a, weight, bias) => {
        const mean = np.mean(a.ref, -1, { keepdims: true });
        const centred = a.sub(mean);
        const variance = np.mean(np.square(centred.ref), -1, { keepdims: true });
        return centred
          .div(np.sqrt(variance.add(1e-5)))
          .mul(weight)
          .add(bias);
      };
    case "gelu":
      return (a) => a.ref.mul(0.5).mul(scipySpecial.erf(a.mul(Math.SQRT1_2)).add(1));
    case "chain":
      return (a, b) => np.tanh(a.ref.mul(b.ref).add(a)).mul(0.5).add(b);
  }
}

/** jax-js. Node gives it one thread: it starts workers only in pages. */
export async function jax(): Promise<Peer> {
  const library = await import("@jax-js/jax");
  await library.init("wasm");
  library.defaultDevice("wasm");
  return {
    name: "jax-js",
    settings: "wasm SIMD, jit, 1 thread",
    prepare: async (task, inputs) => {
      if (task.op === "train") return trainGpt(library, task, trainingTokens(task));
      if (!isArrayTask(task)) return null;
      const shapes = inputShapes(task);
      const arrays = inputs.map((data, i) => library.numpy.array(data, { shape: [...shapes[i]!] }));
      const compiled = library.jit(compute(library, task));
      let latest: JaxArray | null = null;
      const run = async (): Promise<void> => {
        latest?.dispose();
        latest = compiled(...arrays.map((array) => array.ref));
        await latest.blockUntilReady();
      };
      await run();
      return {
        run,
        result: async () => (await latest!.ref.data()) as Float32Array,
        release: () => {
          latest?.dispose();
          for (const array of arrays) array.dispose();
          compiled.dispose();
        },
      };
    },
  };
}
