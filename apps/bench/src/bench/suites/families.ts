/** Every family of attention by length: beside exact attention, and beside its original's algorithm. */

import type { AttentionTask } from "../peers/peer.js";
import type { Claim, Entry, Row, SuiteResult } from "../report.js";
import { compareAttention } from "./compare-attention.js";
import type { SuiteOptions } from "./tasks.js";
import { TorchTimes, type TorchOp } from "./torch.js";

const heads = 4;
const dim = 64;

/** A family, and what it is compared with. */
interface Family {
  /** Its name among the mechanisms and, where it is the same, in PyTorch. */
  readonly kind: string;
  readonly torch: TorchOp;
  /** The original's algorithm in our operations, up to the length to which its time can be waited for. */
  readonly original: { readonly kind: string; readonly longest: number } | null;
  readonly isFull?: boolean;
  /** How many times faster than the original in PyTorch at N = 4096: [must, aim], forward and with gradients. */
  readonly targets: readonly [
    forward: readonly [number, number],
    both: readonly [number, number] | null,
  ];
}

const families: readonly Family[] = [
  {
    kind: "srf",
    torch: "srf",
    original: { kind: "srf original", longest: 4096 },
    targets: [
      [15, 25],
      [15, 28],
    ],
  },
  {
    kind: "linear",
    torch: "linear",
    original: { kind: "linear original", longest: Infinity },
    targets: [[2, 6], null],
  },
  {
    kind: "thinformer",
    torch: "thinformer",
    original: { kind: "thinformer original", longest: 4096 },
    isFull: true,
    targets: [[1.5, 4], null],
  },
];

const nameOf = ({ kind, isFull }: Family, length: number, backward: boolean): string =>
  `${kind}${isFull === true ? ", every key" : ""}, N=${length}${backward ? " with gradients" : ""}`;

/** The suite `families`. */
export async function compareFamilies(options: SuiteOptions): Promise<SuiteResult> {
  const lengths = options.quick ? [512, 1024] : [512, 1024, 2048, 4096, 8192, 16384];
  const { python } = options;
  const ops = families.map(({ torch }) => torch);
  const torch =
    python === null
      ? TorchTimes.none()
      : await TorchTimes.measure(python, ops, { heads, dim, lengths }, options);
  const notes = [
    `${heads} heads of ${dim}, batch 1, ${options.threads} threads; "µs" is per token and head, "MiB" the most that intermediates and results take at once`,
    ...torch.notes,
  ];
  const rows: Row[] = [];
  for (const family of families) {
    const { kind, original, isFull = false } = family;
    for (const backward of [false, true]) {
      for (const length of lengths) {
        const kinds = [kind, "exact"];
        if (original !== null && length <= original.longest) kinds.push(original.kind);
        const tasks = kinds.map((name): AttentionTask => {
          return { op: "attention", kind: name, heads, length, dim, backward, isFull };
        });
        const entries = await compareAttention(tasks, options, notes);
        const theirs = torch.entries(heads, length, backward, notes);
        entries.push(...theirs.filter(({ name }) => name === `torch: ${family.torch}`));
        rows.push({ what: nameOf(family, length, backward), entries });
      }
    }
  }
  return { suite: "Families of attention", rows, claims: claimsOf(rows), notes };
}

function claimsOf(rows: readonly Row[]): Claim[] {
  const entryOf = (what: string, name: string): Entry | undefined =>
    rows.find((row) => row.what === what)?.entries.find((other) => other.name === name);
  return families.flatMap((family) =>
    family.targets.flatMap((target, i) => {
      if (target === null) return [];
      const what = nameOf(family, 4096, i === 1);
      const time = (name: string): number => entryOf(what, name)?.sample?.median ?? NaN;
      const [must, aim] = target;
      const measured = time(`torch: ${family.torch}`) / time(`ours: ${family.kind}`);
      return [{ claim: `${what}, against its original in PyTorch`, measured, must, aim }];
    }),
  );
}
