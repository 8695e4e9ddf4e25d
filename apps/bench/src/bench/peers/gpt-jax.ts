/** The same GPT and training step in jax-js, compiled with `jit` as a whole. */

import type * as jaxLibrary from "@jax-js/jax";
import type { Prepared, TrainTask } from "./peer.js";

type Jax = typeof jaxLibrary;
type JaxArray = jaxLibrary.Array;

/** Parameters by name, as jax-js takes them: type aliases rather than interfaces. */
type Parameters = Record<string, JaxArray>;

/** jax-js counts references: a use consumes an array, except through `ref`. */
function lossOf(
  { numpy: np, nn }: Jax,
  { batch, context, width, layers, heads }: TrainTask,
): (parameters: Parameters, inputs: JaxArray, targets: JaxArray, mask: JaxArray) => JaxArray {
  const size = width / heads;
  return (parameters, inputs, targets, mask) => {
    const use = (name: string): JaxArray => parameters[name]!.ref;
    const norm = (x: JaxArray, name: string): JaxArray =>
      nn
        .standardize(x, -1)
        .mul(use(`${name}.weight`))
        .add(use(`${name}.bias`));
    const attend = (x: JaxArray, layer: number): JaxArray => {
      const all = np.transpose(
        np.matmul(x, use(`${layer}.attentionIn`)).reshape([batch, context, 3, heads, size]),
        [2, 0, 3, 1, 4],
      );
      const [q, k, v] = np
        .split(all, 3, 0)
        .map((part) => part.reshape([batch, heads, context, size]));
      const scores = np.matmul(q!, np.transpose(k!, [0, 1, 3, 2])).mul(1 / Math.sqrt(size));
      const weights = nn.softmax(scores.add(mask.ref), -1);
      const mixed = np.transpose(np.matmul(weights, v!), [0, 2, 1, 3]);
      return np.matmul(mixed.reshape([batch * context, width]), use(`${layer}.attentionOut`));
    };
    const embedded = np.matmul(inputs, use("embedding")).reshape([batch, context, width]);
    let x = embedded.add(use("positions")).reshape([batch * context, width]);
    for (let layer = 0; layer < layers; layer++) {
      x = x.ref.add(attend(norm(x, `${layer}.norm1`), layer));
      const inner = nn.gelu(np.matmul(norm(x.ref, `${layer}.norm2`), use(`${layer}.up`)));
      x = x.add(np.matmul(inner, use(`${layer}.down`)));
    }
    const logProbabilities = nn.logSoftmax(np.matmul(x, use("head")), -1);
    const loss = np.mean(np.sum(logProbabilities.mul(targets), -1)).mul(-1);
    mask.dispose();
    for (const parameter of Object.values(parameters)) parameter.dispose();
    return loss;
  };
}

/** Prepares the training step: cross entropy, Adam, one-hot embeddings. */
export function trainGpt(jax: Jax, task: TrainTask, tokens: Int32Array): Prepared {
  const { numpy: np, nn, random, tree } = jax;
  const { batch, context, width, layers, vocabulary } = task;
  const matrix = (rows: number, columns: number, seed: number): JaxArray =>
    random.normal(random.key(seed), [rows, columns]).mul(0.02);
  let parameters: Parameters = {
    embedding: matrix(vocabulary, width, 1),
    positions: matrix(context, width, 2),
    head: matrix(width, vocabulary, 3),
  };
  for (let layer = 0; layer < layers; layer++) {
    parameters[`${layer}.attentionIn`] = matrix(width, 3 * width, 4 * layer + 4);
    parameters[`${layer}.attentionOut`] = matrix(width, width, 4 * layer + 5);
    parameters[`${layer}.up`] = matrix(width, 4 * width, 4 * layer + 6);
    parameters[`${layer}.down`] = matrix(4 * width, width, 4 * layer + 7);
    for (const norm of ["norm1", "norm2"]) {
      parameters[`${layer}.${norm}.weight`] = np.ones([width]);
      parameters[`${layer}.${norm}.bias`] = np.zeros([width]);
    }
  }
  const zeros = (): Parameters =>
    Object.fromEntries(
      Object.entries(parameters).map(([name, { shape }]) => [name, np.zeros(shape)]),
    );
  let first = zeros();
  let second = zeros();
  const oneHot = (start: number): JaxArray => {
    const part = tokens.subarray(start, start + batch * context);
    return nn.oneHot(np.array(part, { dtype: np.int32 }), vocabulary);
  };
  const inputs = oneHot(0);
  const targets = oneHot(1);
  const mask = np.array(
    Float32Array.from({ length: context * context }, (_, i) =>
      i % context > Math.floor(i / context) ? -1e9 : 0,
    ),
    { shape: [context, context] },
  );
  const gradient = jax.valueAndGrad(lossOf(jax, task));
  const update = jax.jit(
    (
      old: Parameters,
      oldFirst: Parameters,
      oldSecond: Parameters,
      rate: JaxArray,
      ...data: [JaxArray, JaxArray, JaxArray]
    ) => {
      const [loss, gradients] = gradient(tree.ref(old), ...data);
      const result = {
        loss,
        parameters: {} as Parameters,
        first: {} as Parameters,
        second: {} as Parameters,
      };
      for (const name of Object.keys(old)) {
        const slope = gradients[name]!;
        const mean = oldFirst[name]!.mul(0.9).add(slope.ref.mul(0.1));
        const square = oldSecond[name]!.mul(0.999).add(np.square(slope).mul(0.001));
        const step = mean.ref.div(np.sqrt(square.ref).add(1e-8)).mul(rate.ref);
        result.parameters[name] = old[name]!.sub(step);
        result.first[name] = mean;
        result.second[name] = square;
      }
      rate.dispose();
      return result;
    },
  );
  let steps = 0;
  let latest = NaN;
  return {
    run: async () => {
      steps++;
      const rate = (task.rate * Math.sqrt(1 - 0.999 ** steps)) / (1 - 0.9 ** steps);
      const data = [inputs.ref, targets.ref, mask.ref] as const;
      const result = update(parameters, first, second, np.array(rate), ...data);
      ({ parameters, first, second } = result);
      await jax.blockUntilReady(parameters);
      latest = ((await result.loss.data()) as Float32Array)[0]!;
    },
    result: () => Promise.resolve(Float32Array.of(latest)),
    release: () => undefined,
  };
}
