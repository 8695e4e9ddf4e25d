/**
 * Every family of attention by length, beside exact attention and its original's algorithm, and what a
 * decoded token costs with each mechanism.
 */

import { mechanisms } from "../../mechanisms/table.js";
import type { AttentionTask } from "../peers/peer.js";
import type { Claim, Entry, Row, SuiteResult } from "../report.js";
import { compareAttention } from "./compare-attention.js";
import { compareDecoding, type DecodingModel } from "./decoding.js";
import type { SuiteOptions } from "./tasks.js";
import { TorchTimes, type TorchOp } from "./torch.js";

const heads = 4;
const dim = 64;

/** A family, and what it is compared with. */
interface Family {
  /** Its name among the mechanisms. */
  readonly kind: string;
  /** The original: its algorithm in PyTorch and in our operations. */
  readonly original: {
    readonly torch: TorchOp;
    readonly kind: string;
    /** The length to which its algorithm in our operations can be waited for, and why not longer. */
    readonly longest?: readonly [length: number, why: string];
    /** How many times faster than it, in PyTorch at N = 4096: [must, aim], forward and with gradients. */
    readonly targets: readonly [
      forward: readonly [number, number],
      both: readonly [number, number] | null,
    ];
  } | null;
  readonly isFull: boolean;
}

const families: readonly Family[] = [
  {
    kind: "srf",
    original: {
      torch: "srf",
      kind: "srf original",
      longest: [4096, "its time grows with N², and its gradients take 573 MiB at N = 4096"],
      targets: [
        [15, 25],
        [15, 28],
      ],
    },
    isFull: false,
  },
  {
    kind: "linear",
    original: { torch: "linear", kind: "linear original", targets: [[2, 6], null] },
    isFull: false,
  },
  {
    kind: "thinformer",
    original: {
      torch: "thinformer",
      kind: "thinformer original",
      longest: [4096, "its loop over pairs is a graph that grows with √N in our operations"],
      targets: [[1.5, 4], null],
    },
    isFull: true,
  },
  // The causal form is our own.
  { kind: "thinformer", original: null, isFull: false },
];

const nameOf = ({ kind, isFull }: Family, length: number, backward: boolean): string =>
  `${kind}${isFull ? ", every key" : ""}, N=${length}${backward ? " with gradients" : ""}`;

/** The suite `families`. */
export async function compareFamilies(options: SuiteOptions): Promise<SuiteResult> {
  const lengths =
    options.lengths ?? (options.quick ? [512, 1024] : [512, 1024, 2048, 4096, 8192, 16384]);
  const { python, only } = options;
  const chosen = families.filter(({ kind }) => only === null || kind === only);
  const ops = chosen.flatMap(({ original }) => original?.torch ?? []);
  const torch =
    python === null || ops.length === 0
      ? TorchTimes.none()
      : await TorchTimes.measure(python, ops, { heads, dim, lengths }, options);
  const notes = [
    `${heads} heads of ${dim}, batch 1, ${options.threads} threads; "µs" is per token and head, "MiB" the most that intermediates and results take at once`,
    ...torch.notes,
  ];
  const rows: Row[] = [];
  for (const family of chosen) {
    for (const backward of [false, true]) {
      for (const length of lengths) {
        const kinds = [family.kind, "exact"];
        const what = nameOf(family, length, backward);
        const { original, isFull } = family;
        const [longest, why] = original?.longest ?? [Infinity, ""];
        if (original !== null && length <= longest) kinds.push(original.kind);
        else if (original !== null) notes.push(`${what}: ${original.kind} left out: ${why}`);
        const tasks = kinds.map((name): AttentionTask => {
          return { op: "attention", kind: name, heads, length, dim, backward, isFull };
        });
        const entries = await compareAttention(tasks, options, notes);
        if (original !== null) {
          entries.push(...torch.entries(original.torch, heads, length, backward, notes));
        }
        rows.push({ what, entries });
      }
    }
  }
  const kinds = mechanisms.map(({ name }) => name).filter((name) => only === null || name === only);
  const model: DecodingModel = { width: 256, layers: options.quick ? 1 : 4, heads };
  const decoded = await compareDecoding(kinds, model, options);
  notes.push(
    `decoding: ${model.layers} layers of ${model.width} with ${heads} heads of ${dim}`,
    ...decoded.notes,
  );
  return {
    suite: "Families of attention",
    rows: [...rows, ...decoded.rows],
    claims: [...claimsOf(chosen, rows), ...decoded.claims],
    notes,
  };
}

function claimsOf(chosen: readonly Family[], rows: readonly Row[]): Claim[] {
  const entryOf = (what: string, name: string): Entry | undefined =>
    rows.find((row) => row.what === what)?.entries.find((other) => other.name === name);
  return chosen.flatMap((family) => {
    const { kind, original } = family;
    if (original === null) return [];
    return original.targets.flatMap((target, i) => {
      if (target === null) return [];
      const what = nameOf(family, 4096, i === 1);
      const time = (name: string): number => entryOf(what, name)?.sample?.median ?? NaN;
      const [must, aim] = target;
      const measured = time(`torch: ${original.torch}`) / time(`ours: ${kind}`);
      return [{ claim: `${what}, against its original in PyTorch`, measured, must, aim }];
    });
  });
}
