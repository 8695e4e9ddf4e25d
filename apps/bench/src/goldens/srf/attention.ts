/** Attention with random features: the whole sequence, and step by step. */

import { stack, type Tensor } from "@x/tensor";
import {
  Attention,
  FastAttention,
  lowMemAttn,
  simplexRandomMatrix,
  softmaxKernel,
  type AttnFn,
  type SrfState,
} from "@x/srf";
import type { Output, Runner } from "../subject.js";
import { drawsOf } from "./features.js";

/** `low_mem_attn`. */
export const runLowMem: Runner = (subject) => {
  const { settings } = subject;
  const y = lowMemAttn(subject.input("q"), subject.input("k"), subject.input("v"), {
    causal: settings.boolean("causal") ?? true,
    smScale: settings.number("sm_scale") ?? null,
  });
  return { outputs: { y } };
};

/** The names of ways to compute in the original. */
const attnFns: Readonly<Record<string, AttnFn>> = { torch: "plain", flash: "fused" };

/** `Attention`. */
export const runAttention: Runner = (subject) => {
  const { settings } = subject;
  const [q, k, v] = [subject.input("q"), subject.input("k"), subject.input("v")];
  const d = settings.requiredNumber("d");
  const features = settings.number("n_features") ?? d;
  const options = {
    scale: settings.boolean("scale") ?? false,
    normalize: settings.boolean("normalize") ?? false,
  };
  const attention = new Attention(d, settings.boolean("causal") ?? false, {
    nFeatures: features,
    ...options,
    compat: "reference",
  });
  const { projectionMatrix } = attention;
  const draws = drawsOf(subject);
  projectionMatrix.assign(
    simplexRandomMatrix({ rows: features, features: d, ...options, draws }),
  );
  const chunkSize = settings.number("chunk_size");
  const y = attention.forward(q, k, v, {
    attnFn: attnFns[settings.string("attn_fn") ?? ""] ?? "fused",
    ...(chunkSize !== undefined && { chunkSize }),
  });
  const { maxima } = softmaxKernel(k, projectionMatrix, { isQuery: false });
  return { outputs: { y, projection_matrix: projectionMatrix, key_maxima: maxima } };
};

/** A prompt, then one token after the other, with what is remembered after each of these. */
export const runRecurrent: Runner = async (subject) => {
  const { settings } = subject;
  const projection = subject.input("projection_matrix");
  const [q, k, v] = [subject.input("q"), subject.input("k"), subject.input("v")];
  const [batch, heads, length, headDim] = q.shape as [number, number, number, number];
  const nbFeatures = settings.requiredNumber("n_features");
  const epsilon = settings.number("eps") ?? 1e-4;
  const options = { headDim, nbFeatures, causal: true, epsilon };
  const attention = new FastAttention(options);
  const original = new FastAttention({ ...options, compat: "reference" });
  for (const { projectionMatrix } of [attention, original]) projectionMatrix.assign(projection);
  const { maxima } = softmaxKernel(k, projection, { isQuery: false, eps: epsilon });
  const rows = new Map<string, Tensor[]>();
  /** The last row of what the whole gives, if it ends after each token. */
  const prefixes: Tensor[] = [];
  const state = attention.initState({ batch, heads });
  for (let start = 0; start < length; ) {
    const tokens = start === 0 ? settings.requiredNumber("prefill") : 1;
    const part = (x: Tensor): Tensor => x.narrow(2, start, tokens);
    const output =
      start === 0
        ? attention.prefill(part(q), part(k), part(v), { state }).output
        : attention.step(part(q), part(k), part(v), state);
    start += tokens;
    // The state changes in place: what it holds now is copied.
    await output.realize();
    const query = softmaxKernel(q.narrow(2, start - 1, 1), projection, {
      isQuery: true,
      eps: epsilon,
    }).features;
    const row = {
      o: output.narrow(2, tokens - 1, 1).squeeze(2),
      o_final_maxima: read(query, rescaled(state, maxima.squeeze(-1).squeeze(-1)), epsilon),
      ...describe(state, query, epsilon),
    };
    const prefix = [q, k, v].map((x) => x.narrow(2, 0, start)) as [Tensor, Tensor, Tensor];
    const parallel = original.forward(...prefix).narrow(2, start - 1, 1);
    prefixes.push(await parallel.squeeze(2).realize());
    for (const [name, value] of Object.entries(row)) {
      const found = rows.get(name) ?? [];
      found.push(await value.add(0).realize());
      rows.set(name, found);
    }
  }
  const outputs: Record<string, Output> = {
    parallel: original.forward(q, k, v),
    parallel_key_maxima: maxima,
    parallel_prefix: stack(prefixes, 0),
  };
  for (const [name, found] of rows) outputs[`recurrent.${name}`] = stack(found, 0);
  return { outputs };
};

/** `√F` times the sums over features with ε, as the original has them. */
function sumsOf(state: SrfState, epsilon: number): { values: Tensor; keys: Tensor } {
  const ratio = state.keys.shape[2]! ** -0.5;
  const { keyValues, keys, values, count } = state;
  return {
    values: keyValues.add(values.unsqueeze(2).mul(epsilon)).mul(ratio),
    keys: keys.add(count.unsqueeze(2).mul(epsilon)).mul(ratio),
  };
}

/** The state with sums relative to another maximum. */
function rescaled(state: SrfState, maximum: Tensor): SrfState {
  const factor = state.maximum.sub(maximum).exp().unsqueeze(-1);
  return {
    ...state,
    maximum,
    keyValues: state.keyValues.mul(factor.unsqueeze(-1)),
    keys: state.keys.mul(factor),
  };
}

/** What the features [b, h, 1, F] of a query read, [b, h, e]. */
function read(query: Tensor, state: SrfState, epsilon: number): Tensor {
  const { values, keys } = sumsOf(state, epsilon);
  return query.matmul(values).squeeze(2).div(query.matmul(keys.unsqueeze(-1)).squeeze(2));
}

function describe(state: SrfState, query: Tensor, epsilon: number): Record<string, Tensor> {
  const sums = sumsOf(state, epsilon);
  return {
    key_maxima: state.maximum,
    exp_kv: state.keyValues,
    exp_sum: state.keys,
    v_sum: state.values,
    count: state.count.narrow(0, 0, 1).narrow(1, 0, 1).reshape([]),
    kv_state: sums.values,
    k_state: sums.keys,
    denominator: query.matmul(sums.keys.unsqueeze(-1)).squeeze(-1).squeeze(-1),
  };
}
