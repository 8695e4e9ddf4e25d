/**
 * `pnpm bench launches`: what each launch moves, against the least that its shapes allow, and how
 * many launches a token and a training step take. Evidence that needs no fast GPU.
 */

import Table from "cli-table3";
import {
  crossEntropy,
  cumulativeLinearAttention,
  getDevice,
  layerNorm,
  realize,
  scaledDotProductAttention,
  setDevice,
  type Device,
  type Tensor,
} from "@x/tensor";
import { AdamW } from "@x/tensor/optim";
import { decode } from "../peers/decode-ours.js";
import { trainGpt } from "../peers/gpt-ours.js";
import { trainingTokens, type DecodeTask, type TrainTask } from "../peers/peer.js";
import { minimumOf, type Minimum } from "./minimum.js";
import { describeGpu, openGpu } from "./open.js";
import { input } from "./tensors.js";
import { TrafficCounter, type Traffic } from "./traffic.js";

/** A computation whose launches are listed. */
interface LaunchCase {
  readonly name: string;
  /** Layers that its launches are shared out among. */
  readonly layers?: number;
  /** Makes it ready to run again and again. */
  readonly prepare: () => Promise<() => Promise<unknown>>;
}

/** Launches of a run that was seen before, and the least it takes. */
export interface LaunchReport {
  readonly name: string;
  readonly layers: number;
  readonly launches: readonly Traffic[];
  readonly minimum: Minimum;
}

const floats = async (...shape: number[]): Promise<Tensor> => (await input(shape, 1)).tensor;

/** A computation of tensors from tensors of these shapes, with the gradients of all of them if wanted. */
function of(
  name: string,
  shapes: readonly (readonly number[])[],
  compute: (...inputs: Tensor[]) => Tensor,
  backward = false,
): LaunchCase {
  const prepare = async (): Promise<() => Promise<void>> => {
    const parts = [];
    for (const [i, shape] of shapes.entries()) parts.push(await input(shape, i + 1, backward));
    const inputs = parts.map(({ tensor }) => tensor);
    return async () => {
      for (const tensor of inputs) tensor.grad = null;
      const output = compute(...inputs);
      if (!backward) return realize(output);
      output.sum().backward();
      await realize(output, ...inputs.map(({ grad }) => grad!));
    };
  };
  return { name: backward ? `${name}, with gradients` : name, prepare };
}

const heads = [1, 2, 256, 64];
const model = { width: 64, layers: 2, heads: 2 };
const step: TrainTask = {
  op: "train",
  batch: 1,
  context: 16,
  ...model,
  vocabulary: 64,
  rate: 1e-3,
};

function decoding(kind: DecodeTask["kind"]): LaunchCase {
  const task: DecodeTask = { op: "decode", kind, position: 16, ...model };
  const prepare = async (): Promise<() => Promise<unknown>> => {
    const prepared = await decode(task);
    return async () => prepared.run();
  };
  return { name: `a decoded token, ${kind}`, layers: model.layers, prepare };
}

const cases: readonly LaunchCase[] = [
  of(
    "matmul 256×256×256",
    [
      [256, 256],
      [256, 256],
    ],
    (a, b) => a.matmul(b),
  ),
  of(
    "matmul 1×1024×1024",
    [
      [1, 1024],
      [1024, 1024],
    ],
    (a, b) => a.matmul(b),
  ),
  of("chain of 65536", [[65536], [65536]], (a, b) => a.mul(b).add(a).tanh().mul(0.5).add(b)),
  of("sum of 256×1000 over rows", [[256, 1000]], (a) => a.sum(1)),
  of("softmax 256×1000", [[256, 1000]], (a) => a.softmax(-1)),
  of("layer norm 256×1000", [[256, 1000]], (a) => layerNorm(a, 1000), true),
  of("cumsum 16×4096", [[16, 4096]], (a) => a.cumsum(1)),
  of("sort 4×4096", [[4, 4096]], (a) => a.sort(1).values),
  ...[false, true].flatMap((backward) => [
    of(
      "causal attention 2×256×64",
      [heads, heads, heads],
      (q, k, v) => scaledDotProductAttention(q, k, v, { isCausal: true }),
      backward,
    ),
    of(
      "causal linear attention 2×256×64",
      [heads, heads, heads],
      (q, k, v) => cumulativeLinearAttention(q, k, v, { causal: true }).output,
      backward,
    ),
  ]),
  {
    name: "cross entropy 64×1000, with gradients",
    prepare: async () => {
      const [logits, scores] = [await floats(64, 1000), await floats(64, 1000)];
      logits.setRequiresGrad();
      const target = await scores.argmax(1).realize();
      return async () => {
        logits.grad = null;
        const loss = crossEntropy(logits, target);
        loss.backward();
        await realize(loss, logits.grad!);
      };
    },
  },
  {
    name: "AdamW over 20 tensors of 1000",
    prepare: async () => {
      const parameters: Tensor[] = [];
      for (let i = 0; i < 20; i++) parameters.push((await floats(1000)).setRequiresGrad());
      const optimizer = new AdamW(parameters);
      for (const parameter of parameters) parameter.grad = await floats(1000);
      return () => optimizer.step();
    },
  },
  decoding("trim"),
  decoding("softmax"),
  {
    name: "a training step of a GPT",
    layers: model.layers,
    prepare: async () => {
      const prepared = trainGpt(step, trainingTokens(step));
      return async () => prepared.run();
    },
  },
];

/** Lets a device tell the least work of what it runs: the returned function says it, and starts anew. */
function watch(device: Device): () => Minimum {
  let total = { flops: 0, bytes: 0 };
  const compile = device.compile.bind(device);
  device.compile = async (graph) => {
    // Now, since what was computed forgets how.
    const { flops, bytes } = minimumOf(graph);
    const executable = await compile(graph);
    const run: typeof executable.run = (bindings) => {
      total = { flops: total.flops + flops, bytes: total.bytes + bytes };
      return executable.run(bindings);
    };
    return { run, release: () => executable.release() };
  };
  return () => {
    const before = total;
    total = { flops: 0, bytes: 0 };
    return before;
  };
}

/** Runs the cases whose name contains `only` and reports on each. */
export async function reportLaunches(
  only: string,
  print: (line: string) => void,
): Promise<LaunchReport[]> {
  const { device, gpu, entry } = await openGpu();
  const counter = new TrafficCounter(gpu);
  const takeMinimum = watch(device);
  const before = getDevice();
  setDevice(device);
  const reports: LaunchReport[] = [];
  try {
    print(describeGpu(device));
    for (const { name, layers = 1, prepare } of cases) {
      if (!name.includes(only)) continue;
      const run = await prepare();
      // The first run compiles, the second finds everything in its place.
      for (let i = 0; i < 2; i++) await run();
      counter.reset();
      takeMinimum();
      await run();
      const report = { name, layers, launches: await counter.take(), minimum: takeMinimum() };
      reports.push(report);
      print(formatReport(report));
    }
    print(`\n${formatSummary(reports)}`);
  } finally {
    setDevice(before);
    gpu.destroy();
  }
  // Until here, since its devices stop working without it.
  void entry;
  return reports;
}

/** Bytes or operations, in thousands. */
const thousands = (value: number): string => (value / 1000).toFixed(value < 10_000 ? 1 : 0);

const totalOf = (launches: readonly Traffic[]): number =>
  launches.reduce((sum, { loaded, stored }) => sum + loaded + stored, 0);

/** A table of the kernels of a report: those of one name in one row. */
function formatReport({ name, layers, launches, minimum }: LaunchReport): string {
  const table = new Table({
    head: ["kernel", "launches", "workgroups", "kB loaded", "kB stored"],
    colAligns: ["left", "right", "right", "right", "right"],
    style: { head: [], border: [], compact: true },
  });
  for (const kernel of new Set(launches.map((launch) => launch.kernel))) {
    const same = launches.filter((launch) => launch.kernel === kernel);
    const sum = (of: (launch: Traffic) => number): number => same.reduce((n, l) => n + of(l), 0);
    table.push([
      kernel,
      same.length,
      sum(({ workgroups }) => workgroups),
      thousands(sum(({ loaded }) => loaded)),
      thousands(sum(({ stored }) => stored)),
    ]);
  }
  const moved = totalOf(launches);
  const perLayer = layers > 1 ? `, ${(launches.length / layers).toFixed(1)} a layer` : "";
  return [
    `\n${name}`,
    table.toString(),
    `  ${launches.length} launches${perLayer}; ${thousands(moved)} kB moved, ${(moved / minimum.bytes).toFixed(1)} times the least of ${thousands(minimum.bytes)} kB; at least ${thousands(minimum.flops)} kflop`,
  ].join("\n");
}

/** One line for each report, as the table of docs/performance.md. */
function formatSummary(reports: readonly LaunchReport[]): string {
  return [
    "| what | launches | kB moved | least kB | ratio | least Mflop |",
    "| --- | --: | --: | --: | --: | --: |",
    ...reports.map(({ name, launches, minimum: { bytes, flops } }) => {
      const moved = totalOf(launches);
      const ratio = (moved / bytes).toFixed(1);
      return `| ${name} | ${launches.length} | ${thousands(moved)} | ${thousands(bytes)} | ${ratio} | ${(flops / 1e6).toFixed(1)} |`;
    }),
  ].join("\n");
}
