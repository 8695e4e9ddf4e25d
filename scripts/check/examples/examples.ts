import { existsSync, readdirSync } from "node:fs";
import { mkdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { join, relative } from "node:path";
import ts from "typescript";
import { command, root, type Outcome } from "../check.js";
import { publicPackages, type Package } from "../packages.js";
import { examplesOfMarkdown, examplesOfSource, type Example } from "./extract.js";
import { missingImports, prepareExample } from "./prepare.js";
import type { Manifest, Results } from "./run.js";

/**
 * Type-checks and runs the examples of doc comments and documents, against the source of the
 * packages, and compares what they print with what they say they print.
 */
export async function runExamples(): Promise<Outcome> {
  const packages = publicPackages();
  const folder = join(root, ".cache/examples");
  await rm(folder, { recursive: true, force: true });
  await mkdir(join(folder, "node_modules/@x"), { recursive: true });
  for (const { name, folder: target } of packages) {
    await symlink(target, join(folder, "node_modules", name), "junction");
  }

  const examples = collectExamples(packages);
  const manifest: Manifest = { examples: [] };
  const checked: string[] = [];
  for (const [index, { code }] of examples.entries()) {
    const { code: program, expectations } = prepareExample(code);
    const name = `example-${index}`;
    checked.push(join(folder, `${name}.ts`));
    await writeFile(join(folder, `${name}.ts`), code);
    await writeFile(join(folder, `${name}.run.ts`), program);
    manifest.examples.push({
      program: `${name}.run.ts`,
      expectations: expectations.map((text) => text ?? null),
    });
  }
  await writeFile(join(folder, "manifest.json"), JSON.stringify(manifest));
  // What an example sets is not there for the next.
  await writeFile(
    join(folder, "restore.ts"),
    `import { setDevice, wasm } from "@x/tensor";
export const restore = (): void => setDevice(wasm());
`,
  );

  const typeErrors = typeCheck(checked);
  const run = await command(process.execPath, [
    ...["--import", "tsx", "--conditions=@x/source"],
    join(import.meta.dirname, "run.ts"),
    folder,
  ]);
  if (!run.succeeded) return { passed: 0, failed: 1, skipped: 0, details: run.output };
  const results = JSON.parse(await readFile(join(folder, "results.json"), "utf8")) as Results;

  const complaints = examples.flatMap(({ file, line }, index) => {
    const complaint = typeErrors[index] ?? results[index];
    return complaint ? [`${relative(root, file)}:${line}: ${complaint}`] : [];
  });
  return {
    passed: examples.length - complaints.length,
    failed: complaints.length,
    skipped: 0,
    details: complaints.join("\n\n"),
  };
}

/** The examples of every package's source, whose imports may be left out, and of all documents. */
function collectExamples(packages: readonly Package[]): Example[] {
  const inSource = packages.flatMap((package_) => {
    const examples = filesBelow(join(package_.folder, "src"))
      .filter((file) => file.endsWith(".ts") && !file.endsWith(".test.ts"))
      .flatMap(examplesOfSource);
    if (examples.length === 0) return [];
    const imports = publicNames([package_, ...packages.filter((other) => other !== package_)]);
    return examples.map((example) => ({
      ...example,
      // On the first line, so that line numbers stay.
      code: missingImports(example.code, imports) + example.code,
    }));
  });
  const documents = [
    join(root, "README.md"),
    ...packages.map(({ folder }) => join(folder, "README.md")),
    ...filesBelow(join(root, "docs")).filter((file) => file.endsWith(".md")),
  ];
  return [...inSource, ...documents.filter((file) => existsSync(file)).flatMap(examplesOfMarkdown)];
}

function filesBelow(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .map((name) => join(folder, name))
    .sort();
}

/** The names that the packages export, each with its import. Earlier packages and entries win. */
function publicNames(packages: readonly Package[]): Map<string, string> {
  const entries = packages.flatMap((package_) => package_.entries);
  const program = ts.createProgram(
    entries.map(({ source }) => source),
    compilerOptions(),
  );
  const checker = program.getTypeChecker();
  const names = new Map<string, string>();
  for (const { specifier, source } of entries) {
    const file = program.getSourceFile(source);
    const module = file && checker.getSymbolAtLocation(file);
    if (!module) continue;
    for (let symbol of checker.getExportsOfModule(module)) {
      const { name } = symbol;
      if (symbol.flags & ts.SymbolFlags.Alias) symbol = checker.getAliasedSymbol(symbol);
      const type = symbol.flags & ts.SymbolFlags.Value ? "" : "type ";
      if (!names.has(name)) names.set(name, `import { ${type}${name} } from "${specifier}";`);
    }
  }
  return names;
}

/** For each file, its type errors, or undefined. */
function typeCheck(files: readonly string[]): (string | undefined)[] {
  const program = ts.createProgram(files, compilerOptions());
  return files.map((name) => {
    const file = program.getSourceFile(name);
    const errors = [
      ...program.getSyntacticDiagnostics(file),
      ...program.getSemanticDiagnostics(file),
    ].map((diagnostic) => ts.flattenDiagnosticMessageText(diagnostic.messageText, "\n"));
    return errors.length === 0 ? undefined : errors.join("\n");
  });
}

function compilerOptions(): ts.CompilerOptions {
  const configFile = join(root, "tsconfig.json");
  const { config } = ts.readConfigFile(configFile, (path) => ts.sys.readFile(path)) as {
    config: unknown;
  };
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, root);
  return { ...options, isolatedDeclarations: false, declaration: false, declarationMap: false };
}
