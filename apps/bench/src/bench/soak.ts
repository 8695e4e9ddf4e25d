/** Many training and decode steps, to show that nothing is compiled, kept or left behind. */

import {
  crossEntropy,
  fromData,
  memory,
  noGrad,
  profile,
  setThreads,
  type MemoryUse,
} from "@x/tensor";
import { AdamW, clipGradNorm } from "@x/tensor/optim";
import { makeByteModel } from "../main-job/model.js";
import { MechanismLanguageModel } from "../mechanisms/model.js";
import { mechanisms } from "../mechanisms/table.js";

/** How much is done. */
export interface SoakOptions {
  readonly steps: number;
  readonly tokens: number;
  /** Size of the model's vectors, a multiple of 32. */
  readonly width: number;
  readonly threads: number;
}

const length = 16;
const batch = 2;

/** What was seen of one kind of work. */
interface Phase {
  readonly what: string;
  readonly count: number;
  /** Plans compiled after the first. */
  readonly compiled: number;
  readonly afterSecond: MemoryUse;
  readonly atEnd: MemoryUse;
}

async function repeat(what: string, count: number, step: () => Promise<void>): Promise<Phase> {
  await step();
  // Kernels run as usual under `profile`, one after the other; it counts every plan.
  const { result, compileCount } = await profile(async () => {
    await step();
    const afterSecond = memory();
    for (let i = 2; i < count; i++) await step();
    return { afterSecond, atEnd: memory() };
  });
  return { what, count, compiled: compileCount, ...result };
}

/** Listeners of the process and what keeps it running, by name. */
function leftovers(): Map<string, number> {
  const counts = new Map<string, number>();
  for (const resource of process.getActiveResourcesInfo()) {
    // A request under way, such as for a file that is being loaded, ends by itself.
    if (/Req(Callback|Promise|Wrap)$/.test(resource)) continue;
    counts.set(resource, (counts.get(resource) ?? 0) + 1);
  }
  for (const event of process.eventNames()) {
    counts.set(`listener of ${String(event)}`, process.listenerCount(event));
  }
  return counts;
}

const describe = ({ tensors, plans }: MemoryUse): string =>
  `${tensors.toLocaleString("en")} bytes in tensors, ${plans.toLocaleString("en")} in plans`;

/** Runs everything and prints what it finds, complaints last; gives the complaints. */
export async function soak(
  { steps, tokens, width, threads }: SoakOptions,
  print: (line: string) => void,
): Promise<readonly string[]> {
  const before = leftovers();
  setThreads(threads);
  const model = makeByteModel("trim", { width, layers: 2, length }, tokens + 1);
  const optimizer = new AdamW(model.parameters(), { lr: 1e-3 });
  const text = Int32Array.from({ length: 4096 }, (_, i) => (i * i) % 251);
  let start = 0;
  const training = await repeat("training steps", steps, async () => {
    start = (start + 17) % (text.length - batch * length - 1);
    const inputs = fromData(text.slice(start, start + batch * length), [batch, length]);
    const targets = fromData(text.slice(start + 1, start + 1 + batch * length), [batch * length]);
    const loss = crossEntropy(model.forward(inputs).flatten(0, 1), targets);
    optimizer.zeroGrad();
    loss.backward();
    clipGradNorm(model.parameters(), 1);
    await optimizer.step();
    await loss.item();
  });
  const state = model.initState({ batch: 1 });
  let token = 0;
  const decoding = await repeat("decode steps", tokens, async () => {
    const bytes = fromData(Int32Array.of(token), [1, 1]);
    token = await noGrad(() => model.next(bytes, { state }).argmax(-1)).item();
  });

  const generations: Phase[] = [];
  for (const entry of mechanisms) {
    const language = new MechanismLanguageModel(
      entry,
      { width, heads: 2, layers: 2, length: tokens },
      256,
    ).eval();
    const states = language.encoder.initState(1);
    let [position, latest] = [0, 0];
    const phase = await repeat(`tokens with ${entry.name}`, tokens, async () => {
      const token = fromData(Int32Array.of(latest), [1, 1]);
      const offset = fromData(Int32Array.of(position++), []);
      latest = await noGrad(() => language.step(token, states, offset).argmax(-1)).item();
    });
    generations.push(phase);
  }

  const complaints: string[] = [];
  for (const { what, count, compiled, afterSecond, atEnd } of [
    training,
    decoding,
    ...generations,
  ]) {
    print(`${count.toLocaleString("en")} ${what}`);
    print(`  after the second: ${describe(afterSecond)}`);
    print(`  at the end:       ${describe(atEnd)}`);
    print(`  compiled after the first: ${compiled}`);
    if (compiled > 0) complaints.push(`${what}: ${compiled} plans were compiled after the first`);
    // The garbage collector may have given back what was made before; nothing may be added.
    for (const kind of ["tensors", "plans"] as const) {
      const added = atEnd[kind] - afterSecond[kind];
      if (added > 0) complaints.push(`${what}: ${added} bytes were added to ${kind}`);
    }
  }
  // What has ended this turn is gone in the next.
  await new Promise((resolve) => setImmediate(resolve));
  const more = [...leftovers()].filter(([name, count]) => count > (before.get(name) ?? 0));
  print(`left behind: ${more.map(([name, count]) => `${count} ${name}`).join(", ") || "nothing"}`);
  if (more.length > 0) complaints.push(`${more.length} kinds of handles or listeners are left`);
  for (const complaint of complaints) print(`NOT held: ${complaint}.`);
  return complaints;
}
