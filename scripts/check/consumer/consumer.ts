import { cp, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { command, fail, pass, root, type Context, type Outcome } from "../check.js";
import { publicPackages, withTarballs } from "../packages.js";

/** The TypeScript versions whose users we promise working types. */
const typescriptVersions = ["typescript-5.7", "typescript-5.9", "typescript"];

const resolutions = ["nodenext", "bundler"];

/** What runs, each in a process of its own: a first program, one for each model package, every import. */
const programs = [
  "program.js",
  "srf.js",
  "thinformer.js",
  "linear-attn.js",
  "miniformer.js",
  "every-entry.js",
];

/** The command, with a mechanism of another package. */
const commandLine = [
  ...["node_modules/@x/miniformer/dist/cli/main.js", "train", "--attention", "trim"],
  ...["--data", "node_modules/@x/tensor/README.md", "--save", "trained", "--width", "32"],
  ...["--layers", "1", "--length", "16", "--steps", "3"],
];

/**
 * Installs the packed tarballs in a project outside of the workspace, compiles its programs and
 * runs them in plain Node: they must print nothing to stderr and exit by themselves.
 */
export function runConsumer({ node }: Context): Promise<Outcome> {
  return withConsumer(async (folder) => {
    const compilation = await compile(
      folder,
      "typescript",
      "nodenext",
      "--skipLibCheck",
      "--noEmit",
      "false",
    );
    if (!compilation.succeeded) return fail(compilation.output);
    const lines = [...programs.map((program) => [join("built", program)]), commandLine];
    for (const line of lines) {
      const program = line[0]!;
      const { succeeded, stderr, output } = await command(node, line, {
        cwd: folder,
        timeoutSeconds: 120,
      });
      if (!succeeded) return fail(`${program} failed:\n${output}`);
      if (stderr !== "") return fail(`${program} wrote to stderr:\n${stderr}`);
    }
    return pass();
  });
}

/** Type-checks the consumer with every supported TypeScript version and module resolution. */
export function typeCheckConsumer(): Promise<Outcome> {
  return withConsumer(async (folder) => {
    const complaints: string[] = [];
    for (const typescript of typescriptVersions) {
      for (const resolution of resolutions) {
        const { succeeded, output } = await compile(folder, typescript, resolution);
        if (!succeeded) complaints.push(`${typescript}, ${resolution} resolution:\n${output}`);
      }
    }
    return complaints.length === 0 ? pass() : fail(complaints.join("\n\n"));
  });
}

function compile(folder: string, typescript: string, resolution: string, ...options: string[]) {
  const tsc = join(root, "node_modules", typescript, "bin/tsc");
  return command(process.execPath, [tsc, "-p", `tsconfig.${resolution}.json`, ...options], {
    cwd: folder,
  });
}

/** Sets the consumer project up in a temporary folder, passes that to `use`, and removes it. */
function withConsumer(use: (folder: string) => Promise<Outcome>): Promise<Outcome> {
  return withTarballs(async (tarballs) => {
    const folder = await mkdtemp(join(tmpdir(), "x-consumer-"));
    try {
      await cp(fileURLToPath(new URL("project", import.meta.url)), folder, { recursive: true });
      await writeFile(join(folder, "every-entry.ts"), importEverything());
      const { succeeded, output } = await command(
        "npm",
        [
          "install",
          "--prefer-offline",
          "--no-audit",
          "--no-fund",
          "--no-save",
          ...tarballs.values(),
        ],
        { cwd: folder },
      );
      return succeeded ? await use(folder) : fail(`Installing the tarballs failed:\n${output}`);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
}

/** A program that imports every entry of every package and makes sure that each has exports. */
function importEverything(): string {
  const specifiers = publicPackages().flatMap((package_) =>
    package_.entries.map(({ specifier }) => specifier),
  );
  return [
    ...specifiers.map((specifier, index) => `import * as entry${index} from "${specifier}";`),
    ...specifiers.map(
      (specifier, index) =>
        `if (Object.keys(entry${index}).length === 0) throw new Error("${specifier} is empty");`,
    ),
  ].join("\n");
}
