/** Every mechanism on the GPU, by length, beside exact attention: forward, with gradients, decoding. */

import { mechanisms } from "../../mechanisms/table.js";
import { measure } from "../measure.js";
import { decode } from "../peers/decode-ours.js";
import { inputsOf } from "../peers/inputs.js";
import { onCurrentDevice } from "../peers/ours.js";
import { formatTask, type AttentionTask, type DecodeTask, type Prepared } from "../peers/peer.js";
import type { Claim, Entry, Row, SuiteResult } from "../report.js";
import { attentionError } from "../suites/attention-reference.js";
import type { GpuSuiteOptions } from "./compare.js";
import { OwnDevice } from "./own-device.js";

const dim = 64;
/** The first mechanism of the table: the kernel that others are compared with. */
const exact = mechanisms[0]!.name;

/** What is timed in turn. */
interface Contestant {
  readonly name: string;
  readonly prepare: () => Promise<Prepared>;
  readonly figures: (milliseconds: number) => Readonly<Record<string, number>>;
  readonly error?: (result: Float32Array) => number | null;
}

/** Times contestants in turn, each on a device of its own; what failed says why in `notes`. */
async function compete(
  contestants: readonly Contestant[],
  { effort, progress }: GpuSuiteOptions,
  notes: string[],
): Promise<Map<string, Entry>> {
  const opened: { readonly contestant: Contestant; readonly own: OwnDevice }[] = [];
  const entries = new Map<string, Entry>();
  try {
    for (const contestant of contestants) {
      const { name, prepare } = contestant;
      progress(name);
      try {
        opened.push({ contestant, own: await OwnDevice.open(name, prepare) });
      } catch (error) {
        notes.push(`${name}: left out, since it failed: ${String(error)}`);
        entries.set(name, { name, sample: null });
      }
    }
    const samples = await measure(
      opened.map(({ own }) => own),
      effort,
    );
    for (const { contestant, own } of opened) {
      const { name, error } = contestant;
      const sample = samples.get(name)!;
      const figures = { ...contestant.figures(sample.median), ...(await own.figures()) };
      const difference = error?.(await own.result()) ?? null;
      entries.set(name, { name, sample, figures, ...(difference !== null && { difference }) });
    }
    return entries;
  } finally {
    for (const { own } of opened) own.close();
  }
}

/** A row for every kind: it, and beside it exact attention of the same run. */
function rowsBesideExact(
  entries: ReadonlyMap<string, Entry>,
  nameOf: (kind: string) => string,
  kinds: readonly string[],
): Row[] {
  return kinds.map((kind) => {
    const what = nameOf(kind);
    const own = { ...entries.get(what)!, name: "ours" };
    const beside = { ...entries.get(nameOf(exact))!, name: "exact" };
    return { what, entries: kind === exact ? [own] : [own, beside] };
  });
}

/** What is measured: exact attention always, since the others are compared with it. */
function chosen(kinds: readonly string[], only: string | null): readonly string[] {
  return kinds.filter((kind) => only === null || kind === only || kind === exact);
}

const all = mechanisms.map(({ name }) => name);

/** The lengths: far beyond those of a processor, on a GPU that is none. */
const lengthsFor = (quick: boolean): readonly number[] =>
  quick ? [128] : [512, 4096, 16384, 65536];

async function attending(options: GpuSuiteOptions, notes: string[]): Promise<Row[]> {
  const heads = options.quick ? 2 : 4;
  const rows: Row[] = [];
  const forms = [
    { isFull: false, kinds: chosen(all, options.only) },
    // What thinformer's original does.
    ...(options.only === null || options.only === "thinformer"
      ? [{ isFull: true, kinds: [exact, "thinformer"] }]
      : []),
  ];
  for (const { isFull, kinds } of forms) {
    for (const backward of [false, true]) {
      for (const length of lengthsFor(options.quick)) {
        const taskOf = (kind: string): AttentionTask => {
          return { op: "attention", kind, heads, length, dim, backward, isFull };
        };
        const nameOf = (kind: string): string =>
          `${isFull ? "every key, " : ""}${formatTask(taskOf(kind))}`;
        const inputs = inputsOf(taskOf(exact));
        const contestants = kinds.map((kind): Contestant => {
          const task = taskOf(kind);
          return {
            name: nameOf(kind),
            prepare: async () => (await onCurrentDevice().prepare(task, inputs))!,
            figures: (milliseconds) => ({
              "ns/token·head": (1e6 * milliseconds) / (heads * length),
            }),
            error: (result) => attentionError(task, inputs, result),
          };
        });
        const entries = await compete(contestants, options, notes);
        rows.push(...rowsBesideExact(entries, nameOf, kinds));
      }
    }
  }
  return rows;
}

const modelFor = (quick: boolean): Pick<DecodeTask, "width" | "layers" | "heads"> =>
  quick ? { width: 64, layers: 2, heads: 2 } : { width: 256, layers: 2, heads: 4 };

async function decoding(options: GpuSuiteOptions, notes: string[]): Promise<Row[]> {
  const model = modelFor(options.quick);
  const rows: Row[] = [];
  for (const position of options.quick ? [16] : [128, 4096, 32768]) {
    const taskOf = (kind: string): DecodeTask => ({ op: "decode", kind, position, ...model });
    const nameOf = (kind: string): string => formatTask(taskOf(kind));
    const kinds = chosen(all, options.only);
    const contestants = kinds.map((kind): Contestant => ({
      name: nameOf(kind),
      prepare: () => decode(taskOf(kind)),
      figures: (milliseconds) => ({ "tokens/s": 1000 / milliseconds }),
    }));
    const entries = await compete(contestants, options, notes);
    rows.push(...rowsBesideExact(entries, nameOf, kinds));
  }
  return rows;
}

/** The suite of families. */
export async function families(options: GpuSuiteOptions): Promise<SuiteResult> {
  const notes: string[] = [];
  const attended = await attending(options, notes);
  const decoded = await decoding(options, notes);
  const { layers, width, heads } = modelFor(options.quick);
  return {
    suite: "Families of attention on the GPU",
    rows: [...attended, ...decoded],
    claims: options.quick ? [] : claimsOf(decoded),
    notes: [
      `${options.quick ? 2 : 4} heads of ${dim}, batch 1, causal unless it says every key; "MiB" is the most that intermediates and results take at once, each on a device of its own`,
      `decoding: ${layers} layers of ${width} with ${heads} heads; "state MiB" is what is remembered, "total MiB" everything on the device`,
      '"exact" is flash attention in the same run; "difference" is against float64, with gradients that of q',
      ...notes,
    ],
  };
}

function claimsOf(decoded: readonly Row[]): Claim[] {
  const timeOf = (kind: string, position: number): number =>
    decoded.find(({ what }) => what === `${kind}, a token at position ${position}`)?.entries[0]
      ?.sample?.median ?? NaN;
  return mechanisms
    .filter(({ isConstant }) => isConstant)
    .map(({ name }) => ({
      claim: `${name}: time of a token at position 4096 over position 128`,
      measured: timeOf(name, 4096) / timeOf(name, 128),
      must: 1.1,
      aim: 1,
      atMost: true,
    }));
}
