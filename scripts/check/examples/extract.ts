import { readFileSync } from "node:fs";
import ts from "typescript";

/** A program found in a document or a doc comment. */
export interface Example {
  file: string;
  /** Where the code starts, counted from 1. */
  line: number;
  code: string;
}

/** A fenced block of TypeScript. A block that starts with "```ts no-run" is not an example. */
const fence = /^([ \t]*)```ts[ \t]*$\n([\s\S]*?)^[ \t]*```[ \t]*$/gm;

/** The examples of a Markdown file: its blocks fenced with "```ts". */
export function examplesOfMarkdown(file: string): Example[] {
  return fencedBlocks(readFileSync(file, "utf8")).map(({ line, code }) => ({ file, line, code }));
}

/** The examples of a source file: the fenced blocks of its `@example` tags. */
export function examplesOfSource(file: string): Example[] {
  const text = readFileSync(file, "utf8");
  if (!text.includes("@example")) return [];
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true);
  const examples: Example[] = [];
  const visit = (node: ts.Node): void => {
    for (const comment of ts.getJSDocCommentsAndTags(node)) {
      if (!ts.isJSDoc(comment) || comment.parent !== node) continue;
      for (const tag of comment.tags ?? []) {
        if (tag.tagName.text !== "example") continue;
        const line = source.getLineAndCharacterOfPosition(tag.pos).line;
        // The lines of the tag, without the asterisks before them.
        const body = text.slice(tag.pos, tag.end).replace(/^[ \t]*\*(\/$| ?)/gm, "");
        const blocks = fencedBlocks(body);
        if (blocks.length === 0) blocks.push({ line: 1, code: unfenced });
        examples.push(
          ...blocks.map((block) => ({ file, line: line + block.line, code: block.code })),
        );
      }
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return examples;
}

const unfenced = 'throw new Error("The code of an @example belongs between ```ts and ```.");';

/** The fenced blocks of a text, with the line (counted from 1) on which their code starts. */
function fencedBlocks(text: string): { line: number; code: string }[] {
  return [...text.matchAll(fence)].map((match) => {
    const [, indentation = "", code = ""] = match;
    const before = text.slice(0, match.index).split("\n").length;
    return { line: before + 1, code: code.replaceAll(new RegExp(`^${indentation}`, "gm"), "") };
  });
}
