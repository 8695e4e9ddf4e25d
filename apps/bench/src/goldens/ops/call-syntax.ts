/**
 * Reading shape operations that a golden file gives as text: chains of PyTorch calls and index
 * expressions, such as `transpose(1,2).reshape(2,5,-1)` or `x[:, 1:3, ::2]`.
 */

/** An argument of a call. */
export type Argument = number | string | boolean | null | readonly Argument[];

/** One call of a chain. */
export interface Call {
  readonly kind: "call";
  readonly name: string;
  readonly positional: readonly Argument[];
  readonly named: ReadonlyMap<string, Argument>;
}

/** One part of an index expression: a position, a range, or `...`. */
export type IndexPart = number | "..." | readonly [number | null, number | null, number];

/** An index expression `[...]`. */
export interface Index {
  readonly kind: "index";
  readonly parts: readonly IndexPart[];
}

/**
 * Reads a chain from the start of `text`; an explanation may follow it. `null` if the text does not
 * start with a call or an index expression.
 */
export function parseChain(text: string): (Call | Index)[] | null {
  const steps: (Call | Index)[] = [];
  let rest = text.trim().replace(/^(x|torch|F)(?=[.[])/, "");
  for (;;) {
    const call = /^\.?([A-Za-z_]\w*)\(/.exec(rest);
    const open = call ? call[0].length - 1 : rest.startsWith("[") ? 0 : -1;
    if (open < 0) break;
    const close = closingBracket(rest, open);
    const inner = rest.slice(open + 1, close);
    steps.push(call ? parseCall(call[1]!, inner) : { kind: "index", parts: parseIndex(inner) });
    rest = rest.slice(close + 1);
  }
  return steps.length > 0 ? steps : null;
}

function closingBracket(text: string, open: number): number {
  let depth = 0;
  for (let i = open; i < text.length; i++) {
    if ("([".includes(text[i]!)) depth++;
    if (")]".includes(text[i]!) && --depth === 0) return i;
  }
  throw new Error(`a bracket is not closed in "${text}"`);
}

/** Splits at commas outside of brackets. */
export function splitArguments(text: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let start = 0;
  for (let i = 0; i < text.length; i++) {
    if ("([".includes(text[i]!)) depth++;
    if (")]".includes(text[i]!)) depth--;
    if (text[i] === "," && depth === 0) {
      parts.push(text.slice(start, i).trim());
      start = i + 1;
    }
  }
  parts.push(text.slice(start).trim());
  return parts.filter((part) => part !== "");
}

function parseCall(name: string, text: string): Call {
  const positional: Argument[] = [];
  const named = new Map<string, Argument>();
  for (const part of splitArguments(text)) {
    const assignment = /^([A-Za-z_]\w*)\s*=\s*(.*)$/s.exec(part);
    if (assignment) named.set(assignment[1]!, parseArgument(assignment[2]!));
    else positional.push(parseArgument(part));
  }
  return { kind: "call", name, positional, named };
}

/** Reads a number, a list in either kind of brackets, a constant or a quoted string. */
export function parseArgument(text: string): Argument {
  const trimmed = text.trim();
  if (/^[([].*[)\]]$/s.test(trimmed)) return splitArguments(trimmed.slice(1, -1)).map(parseArgument);
  if (trimmed === "None") return null;
  if (trimmed === "True" || trimmed === "False") return trimmed === "True";
  if (trimmed !== "" && !Number.isNaN(Number(trimmed))) return Number(trimmed);
  return trimmed.replace(/^(["'])(.*)\1$/, "$2");
}

function parseIndex(text: string): IndexPart[] {
  return splitArguments(text).map((part) => {
    if (part === "...") return "...";
    if (!part.includes(":")) return Number(part);
    const [start = "", stop = "", step = ""] = part.split(":").map((bound) => bound.trim());
    const bound = (value: string): number | null => (value === "" ? null : Number(value));
    return [bound(start), bound(stop), step === "" ? 1 : Number(step)];
  });
}
