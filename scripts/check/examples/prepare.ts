import ts from "typescript";

/** An example that is ready to run. */
export interface PreparedExample {
  /** The code with each `console.log(…)` turned into `$log(index, …)`. */
  code: string;
  /** For each `console.log` of the code, what it should print; undefined where nothing is said. */
  expectations: (string | undefined)[];
}

/**
 * Finds what each `console.log(…)` of an example should print. It is said on the same line or the
 * lines below:
 *
 * ```
 * console.log(1 + 1); // → 2
 * console.log([
 *   "a",
 *   "b",
 * ].join("\n"));
 * // → a
 * // → b
 * ```
 */
export function prepareExample(code: string): PreparedExample {
  const source = ts.createSourceFile("example.ts", code, ts.ScriptTarget.Latest, true);
  const lines = code.split("\n");
  const expectations: (string | undefined)[] = [];
  let prepared = "";
  let copied = 0;
  const visit = (node: ts.Node): void => {
    if (ts.isCallExpression(node) && node.expression.getText(source) === "console.log") {
      const start = node.expression.getStart(source);
      const separator = node.arguments.length > 0 ? ", " : "";
      prepared += `${code.slice(copied, start)}$log(${expectations.length}${separator}`;
      copied = code.indexOf("(", node.expression.end) + 1;
      expectations.push(expectedOutput(lines, source, node.end));
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return { code: prepared + code.slice(copied), expectations };
}

function expectedOutput(
  lines: readonly string[],
  source: ts.SourceFile,
  end: number,
): string | undefined {
  const { line, character } = source.getLineAndCharacterOfPosition(end);
  const expected: string[] = [];
  const onSameLine = /\/\/ → ?(.*)$/.exec(lines[line]!.slice(character));
  if (onSameLine) expected.push(onSameLine[1]!);
  for (let below = line + 1; below < lines.length; below++) {
    const match = /^\s*\/\/ → ?(.*)$/.exec(lines[below]!);
    if (!match) break;
    expected.push(match[1]!);
  }
  return expected.length === 0 ? undefined : normalize(expected.join("\n"));
}

/** Leaves out the space at the ends of lines, which cannot be seen in a comment. */
export function normalize(text: string): string {
  return text.replace(/[ \t]+$/gm, "").trimEnd();
}

/**
 * Imports for the public names that an example uses without declaring them, so that doc comments
 * can show one line where one line says it all. `exported` maps a name to its import.
 */
export function missingImports(code: string, exported: ReadonlyMap<string, string>): string {
  const source = ts.createSourceFile("example.ts", code, ts.ScriptTarget.Latest, true);
  const declared = new Set<string>();
  const used = new Set<string>();
  const visit = (node: ts.Node): void => {
    if (ts.isIdentifier(node)) {
      if (isDeclaration(node)) declared.add(node.text);
      else if (!isMemberName(node)) used.add(node.text);
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return [...used]
    .filter((name) => !declared.has(name) && exported.has(name))
    .map((name) => exported.get(name)!)
    .join(" ");
}

function isDeclaration(node: ts.Identifier): boolean {
  const { parent } = node;
  if (ts.isImportSpecifier(parent)) return parent.name === node;
  return "name" in parent && parent.name === node && !isMemberName(node);
}

function isMemberName(node: ts.Identifier): boolean {
  const { parent } = node;
  return (
    (ts.isPropertyAccessExpression(parent) && parent.name === node) ||
    (ts.isPropertyAssignment(parent) && parent.name === node) ||
    (ts.isBindingElement(parent) && parent.propertyName === node) ||
    (ts.isPropertyDeclaration(parent) && parent.name === node) ||
    (ts.isMethodDeclaration(parent) && parent.name === node) ||
    (ts.isPropertySignature(parent) && parent.name === node)
  );
}
