/** `@x/tensor` as one of the libraries. */

import {
  enableRevectorization,
  fromData,
  getDevice,
  layerNorm,
  memory,
  realize,
  setThreads,
  zeros,
  type Tensor,
} from "@x/tensor";
import { attendBy } from "./attention-forms.js";
import { decode } from "./decode-ours.js";
import { trainGpt } from "./gpt-ours.js";
import type { Attend } from "./original-forms.js";
import {
  inputShapes,
  trainingTokens,
  type ArrayTask,
  type AttentionTask,
  type Peer,
} from "./peer.js";

/** Elements that are brought to the device at once: at least these, and at least this share of all. */
const leastPiece = 4096;
const pieceShare = 1 / 256;

/**
 * Brings numbers to the device piece by piece: a tensor made of data is copied into the memory for
 * intermediates when it is first used, and would count there.
 */
async function fill(tensor: Tensor, data: Float32Array): Promise<void> {
  const flat = await zeros([data.length]).realize();
  const pieceSize = Math.max(leastPiece, Math.ceil(data.length * pieceShare));
  for (let start = 0; start < data.length; start += pieceSize) {
    const piece = data.slice(start, start + pieceSize);
    flat.assign(flat.dynamicUpdate(0, fromData(piece, [piece.length]), start));
    await flat.realize();
  }
  await tensor.assign(flat.reshape(tensor.shape)).realize();
  flat.dispose();
}

/** The results of a task: its output, or the gradients of its inputs. */
function compute(
  task: ArrayTask | AttentionTask,
  inputs: readonly Tensor[],
  attend: Attend | null,
): readonly Tensor[] {
  const [a, b, c] = inputs as [Tensor, Tensor, Tensor];
  switch (task.op) {
    case "matmul":
      return [a.matmul(b)];
    case "softmax":
      return [a.softmax(-1)];
    case "layerNorm":
      return [layerNorm(a, [task.columns], { weight: b, bias: c })];
    case "gelu":
      return [a.gelu()];
    case "chain":
      return [a.mul(b).add(a).tanh().mul(0.5).add(b)];
    case "attention": {
      const output = attend!(a, b, c);
      if (!task.backward) return [output];
      for (const input of inputs) input.grad = null;
      output.sum().backward();
      return inputs.map((input) => input.grad!);
    }
  }
}

/** Our own library on the CPU, with `threads` threads. */
export function ours(threads: number): Peer {
  setThreads(threads);
  return onCurrentDevice();
}

/** Our own library on the device that is set. */
export function onCurrentDevice(): Peer {
  return {
    name: "@x/tensor",
    settings: describeDevice(),
    prepare: async (task, inputs) => {
      if (task.op === "train") return trainGpt(task, trainingTokens(task));
      if (task.op === "decode") return decode(task);
      const shapes = inputShapes(task);
      const requiresGrad = task.op === "attention" && task.backward;
      const tensors = shapes.map((shape) => zeros(shape, { requiresGrad }));
      for (const [i, tensor] of tensors.entries()) await fill(tensor, inputs[i]!);
      const attend = task.op === "attention" ? attendBy(task) : null;
      const taken = memory().tensors;
      let latest: readonly Tensor[] = [];
      const run = async (): Promise<void> => {
        if (!requiresGrad) for (const tensor of latest) tensor.dispose();
        latest = compute(task, tensors, attend);
        await realize(...latest);
      };
      await run();
      return {
        run,
        settle: async () => void (await latest[0]!.flatten().narrow(0, 0, 1).data()),
        result: async () => (await latest[0]!.data()) as Float32Array,
        figures: () => ({ MiB: (memory().total - taken) / 2 ** 20 }),
        release: () => {
          if (!requiresGrad) for (const tensor of latest) tensor.dispose();
          for (const tensor of tensors) tensor.dispose();
        },
      };
    },
  };
}

/** The same with 256-bit operations, which V8 has to be asked for. */
export function ours256(threads: number): Peer {
  enableRevectorization();
  return ours(threads);
}

function describeDevice(): string {
  const { name, info } = getDevice();
  if (info.threads === undefined) return name;
  const simd =
    info.revectorized === true ? "256-bit" : info.relaxedSimd === true ? "relaxed SIMD" : "SIMD";
  return `${name} ${simd}, ${info.threads} threads`;
}
