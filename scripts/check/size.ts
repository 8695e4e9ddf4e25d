import { bundle, kilobytes, type Bundle } from "./bundle.js";
import { fail, pass, type Outcome } from "./check.js";
import { publicPackages, type Package } from "./packages.js";

interface Limits {
  /** What the package is meant to stay under. */
  readonly target: number;
  /** What it may not exceed: above the target only while the target is not reached yet. */
  readonly ceiling: number;
}

/**
 * Bytes, bundled, minified and gzipped, of everything that a package exports and loads at the start. What
 * it loads only when a program first needs it, families of kernels, is told beside.
 */
const limits: Record<string, Limits> = {
  // Not reached yet: lower the ceilings with every step toward the target.
  "@x/tensor": { target: 80_000, ceiling: 120_500 },
  "@x/kernels-webgpu": { target: 60_000, ceiling: 60_000 },
  "@x/linear-attn": { target: 12_000, ceiling: 12_600 },
  "@x/miniformer": { target: 25_000, ceiling: 25_000 },
};
const attentionPackage: Limits = { target: 12_000, ceiling: 12_000 };

/** Packages of which only the main entry counts: the others are for programs that import them too. */
const countedByMainEntry = ["@x/miniformer"];

/** Entries that are for development only, and so count towards no ceiling. */
const uncounted = ["@x/tensor/testing"];

/** Bundles each package whole, other `@x` packages left out, and compares it with its ceiling. */
export async function checkSizes(): Promise<Outcome> {
  const rows: string[] = [];
  const complaints: string[] = [];
  for (const package_ of publicPackages()) {
    const { name } = package_;
    const { target, ceiling } = limits[name] ?? attentionPackage;
    const { gzipped: size, later } = await bundleOf({
      ...package_,
      entries: countedOf(package_),
    });
    const others = await besides(package_);
    const missed = size > target ? ", target NOT reached" : "";
    rows.push(
      `${name} ${kilobytes(size)} of ${kilobytes(target)}${missed}${later > 0 ? ` (and ${kilobytes(later)} as needed)` : ""}${others}`,
    );
    if (size > ceiling) {
      complaints.push(`${name} takes ${size} bytes gzipped; its ceiling is ${ceiling}.`);
    }
  }
  return complaints.length === 0 ? pass(rows.join(", ")) : fail(complaints.join("\n"));
}

/** The sizes of the entries that do not count, each with what it shares with others. */
async function besides(package_: Package): Promise<string> {
  if (!countedByMainEntry.includes(package_.name)) return "";
  const sizes: string[] = [];
  for (const entry of package_.entries) {
    if (entry.specifier === package_.name) continue;
    const { gzipped } = await bundleOf({ ...package_, entries: [entry] });
    sizes.push(`${entry.specifier} ${kilobytes(gzipped)}`);
  }
  return sizes.length === 0 ? "" : ` (beside it ${sizes.join(", ")})`;
}

/** The entries of a package that count. */
function countedOf({ name, entries }: Package): Package["entries"] {
  return countedByMainEntry.includes(name)
    ? entries.filter(({ specifier }) => specifier === name)
    : entries.filter(({ specifier }) => !uncounted.includes(specifier));
}

function bundleOf({ name, entries }: Package): Promise<Bundle> {
  const others = publicPackages().filter((other) => other.name !== name);
  return bundle(
    entries.map(({ specifier }, i) => `export * as entry${i} from "${specifier}";`).join("\n"),
    {
      platform: "neutral",
      external: ["node:*", ...others.flatMap((other) => [other.name, `${other.name}/*`])],
    },
  );
}
