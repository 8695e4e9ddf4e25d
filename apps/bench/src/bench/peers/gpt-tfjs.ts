/** A GPT and its training step in TensorFlow.js, as gpt-tfjs writes it. */

import type * as tfjs from "@tensorflow/tfjs";
import type { Prepared, TrainTask } from "./peer.js";

type Core = typeof tfjs;

interface Layer {
  readonly attentionIn: tfjs.Variable;
  readonly attentionOut: tfjs.Variable;
  readonly up: tfjs.Variable;
  readonly down: tfjs.Variable;
  readonly norms: readonly tfjs.Variable[];
}

/** Softmax attention, GELU, pre-norm, AdamW without decay, one-hot embeddings: the wasm backend lacks the gradient of gather. */
export function trainGpt(tf: Core, task: TrainTask, tokens: Int32Array): Prepared {
  const { batch, context, width, layers, heads, vocabulary } = task;
  const matrix = (rows: number, columns: number): tfjs.Variable =>
    tf.variable(tf.randomNormal([rows, columns], 0, 0.02));
  const embedding = matrix(vocabulary, width);
  const positions = matrix(context, width);
  const head = matrix(width, vocabulary);
  const stack: Layer[] = Array.from({ length: layers }, () => ({
    attentionIn: matrix(width, 3 * width),
    attentionOut: matrix(width, width),
    up: matrix(width, 4 * width),
    down: matrix(4 * width, width),
    norms: [tf.ones([width]), tf.zeros([width]), tf.ones([width]), tf.zeros([width])].map((x) =>
      tf.variable(x),
    ),
  }));
  const mask = tf.tidy(() => {
    const row = tf.reshape(tf.range(0, context), [context, 1]);
    const column = tf.reshape(tf.range(0, context), [1, context]);
    return tf.mul(tf.cast(tf.greater(column, row), "float32"), -1e9);
  });
  const inputs = tf.tidy(() =>
    tf.cast(
      tf.oneHot(tf.tensor1d(tokens.subarray(0, batch * context), "int32"), vocabulary),
      "float32",
    ),
  );
  const targets = tf.tidy(() =>
    tf.cast(
      tf.oneHot(tf.tensor1d(tokens.subarray(1, batch * context + 1), "int32"), vocabulary),
      "float32",
    ),
  );
  // Products of transposed matrices take a slow path, also in the gradients of others:
  // transposing first halves the time of a step.
  const flip = (x: tfjs.Tensor): tfjs.Tensor =>
    tf.transpose(x, [...x.shape.keys()].with(-1, x.rank - 2).with(-2, x.rank - 1));
  const product = tf.customGrad((...args) => {
    // The types say tensors only; the last argument is the function that keeps some of them.
    const [a, b, save] = args as unknown as [tfjs.Tensor, tfjs.Tensor, tfjs.GradSaveFunc];
    save([a, b]);
    return {
      value: tf.matMul(a, b),
      gradFunc: (slope: tfjs.Tensor, [left, right]: tfjs.Tensor[]) => [
        tf.matMul(slope, flip(right!)),
        tf.matMul(flip(left!), slope),
      ],
    };
  });
  const norm = (x: tfjs.Tensor, weight: tfjs.Tensor, bias: tfjs.Tensor): tfjs.Tensor => {
    const { mean, variance } = tf.moments(x, -1, true);
    return tf.add(tf.mul(tf.div(tf.sub(x, mean), tf.sqrt(tf.add(variance, 1e-5))), weight), bias);
  };
  const gelu = (x: tfjs.Tensor): tfjs.Tensor =>
    tf.mul(
      tf.mul(x, 0.5),
      tf.add(
        tf.tanh(tf.mul(tf.add(x, tf.mul(tf.mul(tf.mul(x, x), x), 0.044715)), 0.7978845608)),
        1,
      ),
    );
  const rows = (x: tfjs.Tensor): tfjs.Tensor => tf.reshape(x, [batch * context, -1]);
  const grid = (x: tfjs.Tensor): tfjs.Tensor => tf.reshape(x, [batch, context, -1]);
  const attend = (x: tfjs.Tensor, layer: Layer): tfjs.Tensor => {
    const size = width / heads;
    const all = tf.reshape(product(x, layer.attentionIn), [batch, context, 3, heads, size]);
    const [q, k, v] = tf
      .split(tf.transpose(all, [2, 0, 3, 1, 4]), 3, 0)
      .map((part) => tf.reshape(part, [batch, heads, context, size]));
    const scores = tf.add(tf.mul(product(q!, flip(k!)), 1 / Math.sqrt(size)), mask);
    const mixed = tf.transpose(product(tf.softmax(scores), v!), [0, 2, 1, 3]);
    return product(rows(mixed), layer.attentionOut);
  };
  const loss = (): tfjs.Scalar => {
    let x: tfjs.Tensor = tf.add(grid(product(inputs, embedding)), positions);
    for (const layer of stack) {
      const [weight1, bias1, weight2, bias2] = layer.norms;
      x = tf.add(x, grid(attend(rows(norm(x, weight1!, bias1!)), layer)));
      const fed = product(gelu(product(rows(norm(x, weight2!, bias2!)), layer.up)), layer.down);
      x = tf.add(x, grid(fed));
    }
    const logProbabilities = tf.logSoftmax(product(rows(x), head));
    return tf.neg(tf.mean(tf.sum(tf.mul(logProbabilities, targets), -1)));
  };
  const variables = [
    embedding,
    positions,
    head,
    ...stack.flatMap(({ norms, ...rest }) => [...Object.values(rest), ...norms]),
  ];
  const moments = variables.map(
    (variable) =>
      [tf.variable(tf.zerosLike(variable)), tf.variable(tf.zerosLike(variable))] as const,
  );
  let step = 0;
  let latest = NaN;
  return {
    run: async () => {
      step++;
      const value = tf.tidy(() => {
        const { value: scalar, grads } = tf.variableGrads(loss, variables);
        const rate = (task.rate * Math.sqrt(1 - 0.999 ** step)) / (1 - 0.9 ** step);
        variables.forEach((variable, i) => {
          const gradient = grads[variable.name]!;
          const [first, second] = moments[i]!;
          first.assign(tf.add(tf.mul(first, 0.9), tf.mul(gradient, 0.1)));
          second.assign(tf.add(tf.mul(second, 0.999), tf.mul(tf.square(gradient), 0.001)));
          variable.assign(
            tf.sub(variable, tf.mul(tf.div(first, tf.add(tf.sqrt(second), 1e-8)), rate)),
          );
        });
        return scalar;
      });
      latest = (await value.data())[0]!;
      value.dispose();
    },
    result: () => Promise.resolve(Float32Array.of(latest)),
    release: () => undefined,
  };
}
