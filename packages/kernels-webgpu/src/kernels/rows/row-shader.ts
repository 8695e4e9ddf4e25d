/**
 * Shaders that work on rows: a team of invocations reads a row once, reduces it, perhaps again, and
 * writes it.
 *
 * Elements stay in registers where the row is short enough, and are read again where it is not.
 * Neighbouring invocations have neighbouring elements of one row, or of neighbouring rows where the
 * elements of a row lie apart.
 */

import type { Operand } from "@x/tensor/device";
import type { Launch } from "../../launch.js";
import type { LoweringContext } from "../../native.js";
import type { ShaderBuilder, Width } from "../../wgsl/shader.js";
import { product } from "../view.js";

/** Invocations of a workgroup, unless a single row is given more. */
const usualGroup = 128;
/** Most invocations that share a row. */
const mostTeam = 256;
/** Invocations whose results are joined at once; in two rounds, those of the largest team. */
const joinedAtOnce = 16;
/** Invocations from which on a device is full. */
const manyInvocations = 1 << 15;
/** Pieces that an invocation takes of a row while there are other rows to fill the device. */
const usualPieces = 4;
/** Most pieces of a row in the registers of an invocation: vectors of four, or single elements. */
const mostHeld = { 4: 4, 1: 8 } as const;
/** The lowest finite number. */
const lowest = "-0x1.fffffep+127f";

/** Rows of a dense tensor `[outer, size, inner]` along its middle axis. */
export interface RowShape {
  readonly outer: number;
  readonly size: number;
  readonly inner: number;
}

/** The rows of `shape` along its `count` neighbouring axes from `first` on. */
export function rowsAlong(shape: readonly number[], first: number, count: number): RowShape {
  return {
    outer: product(shape.slice(0, first)),
    size: product(shape.slice(first, first + count)),
    inner: product(shape.slice(first + count)),
  };
}

/** What a shader on rows reads and writes; all is dense. */
export interface RowOperands {
  /** All elements of all rows, float32. */
  readonly elements: readonly Operand[];
  /** The elements of one row that go with every row, float32. */
  readonly shared?: readonly (Operand | null)[];
  /** One element for each row. */
  readonly single?: readonly (Operand | null)[];
}

/** A kernel that works on a few rows before what it is for, each workgroup on all of them. */
export interface RowHost {
  /** What it is written into. */
  readonly shader: ShaderBuilder;
  /** Invocations of a workgroup, a power of two of at most 256; together they take row after row. */
  readonly invocations: number;
  /** Begins the names of what is declared. */
  readonly prefix: string;
  /** Where `row` begins in the elements, if not one after the other: code that counts elements. */
  readonly first?: string;
  /** Buffers that the kernel reads number by number. */
  readonly alone: readonly number[];
}

/** A number for every element of the row, as code for a piece of it: four elements, or one. */
export type RowValue = (piece: string) => string;

/** A shader on rows while it is written. Statements come in the order of the calls. */
export class RowShader {
  /** Adds helpers. */
  readonly shader: ShaderBuilder;
  /** The type of a piece. */
  readonly type: "f32" | "vec4f";
  /** How many teams there are; each takes `rowsEach` rows, one after the other. */
  readonly teams: number;
  /** Whether the pieces of a row are in registers. */
  readonly isHeld: boolean;
  readonly #shape: RowShape;
  readonly #width: Width;
  /** Pieces of a row. */
  readonly #length: number;
  /** Invocations of a team, and teams of a workgroup. */
  readonly #team: number;
  readonly #across: number;
  /** How the pieces of an invocation are called where they are in registers. */
  readonly #pieces: readonly string[];
  readonly #rowsEach: number;
  readonly #host: RowHost | null;
  readonly #lines: string[] = [];
  readonly #joins = new Set<"sum" | "largest">();
  #hasExponentials = false;
  #names = 0;

  /** With a host the only team of each workgroup has all rows, which must be neighbours each. */
  constructor(
    context: LoweringContext,
    shape: RowShape,
    operands: RowOperands,
    rowsEach = 1,
    host: RowHost | null = null,
  ) {
    this.shader = host?.shader ?? context.shader();
    this.#host = host;
    this.#shape = shape;
    this.#rowsEach = rowsEach;
    this.#width = widthOf(this.shader, shape, operands, host?.alone ?? []);
    this.type = this.#width === 4 ? "vec4f" : "f32";
    const { outer, size, inner } = shape;
    const length = size / this.#width;
    this.#length = length;
    this.teams = Math.ceil((outer * inner) / rowsEach);
    const most = Math.min(mostTeam, 2 ** Math.floor(Math.log2(context.workgroupSize)));
    if (host !== null) {
      this.#team = host.invocations;
      this.#across = 1;
    } else if (inner === 1) {
      const isFew = this.teams * (length / usualPieces) < manyInvocations;
      this.#team = Math.min(powerOfTwo(isFew ? length : length / usualPieces), most);
      const fitting = Math.max(1, Math.min(usualGroup, most) / this.#team);
      this.#across = Math.min(fitting, powerOfTwo(this.teams));
    } else {
      // A whole line of memory is read at once.
      const columns = this.teams < manyInvocations / 4 ? 16 : 32;
      this.#across = Math.min(columns, powerOfTwo(this.teams));
      this.#team = Math.min(powerOfTwo(length), joinedAtOnce, most / columns);
    }
    const pieces = Math.ceil(length / this.#team);
    this.isHeld = pieces <= mostHeld[this.#width];
    this.#pieces = this.isHeld ? Array.from({ length: pieces }, (_, k) => String(k)) : [];
    const { inner: apart } = shape;
    this.line(`let member = ${apart === 1 ? `lane % ${this.#team}` : `lane / ${this.#across}`};`);
    const among = apart === 1 ? `lane / ${this.#team}` : `lane % ${this.#across}`;
    this.line(`let team = group * ${this.#across} + ${among};`);
    for (const piece of this.#pieces) {
      this.line(`let at${piece} = member + ${Number(piece) * this.#team};`);
    }
  }

  /** Elements of the operand, which has all of them. */
  load(operand: Operand): RowValue {
    return this.#read((piece) => this.#load(operand, this.#index(operand, piece)), this.#bound);
  }

  /** Elements of an operand that is the same for every row. */
  loadShared(operand: Operand): RowValue {
    const at = (piece: string): string => `${this.#offset(operand)}at${piece}`;
    return this.#read((piece) => this.#load(operand, at(piece)), String(this.#length));
  }

  /** The one element that the operand has for this row. */
  loadSingle(operand: Operand): string {
    const slot = this.shader.slot(operand.buffer, operand.dtype);
    const { offset } = operand;
    return this.name(this.shader.load(slot, offset === 0 ? "row" : `row + ${offset}`));
  }

  /** One element of an operand, which is shared or not, at a place of the row. */
  loadAt(operand: Operand, place: string, isShared: boolean): string {
    const base = isShared ? this.#offset(operand) : `${this.#offset(operand)}first + `;
    if (this.#width === 1) return this.#load(operand, `${base}${place}`);
    return `${this.#load(operand, `${base}${place} / 4`)}[${place} % 4]`;
  }

  /** Computes a value for every element; in registers it is computed once. */
  map(value: RowValue): RowValue {
    if (!this.isHeld) return value;
    const name = this.#fresh();
    for (const piece of this.#pieces) this.line(`let ${name}_${piece} = ${value(piece)};`);
    return (piece) => `${name}_${piece}`;
  }

  /** Gives the result of an expression a name. */
  name(code: string): string {
    const name = this.#fresh();
    this.line(`let ${name} = ${code};`);
    return name;
  }

  /** Adds a statement. */
  line(statement: string): void {
    this.#lines.push(statement);
  }

  /** The numbers of the elements of a piece, as a vector of `i32` or one. */
  places(piece: string): string {
    return this.#width === 1 ? `at${piece}` : `(vec4i(at${piece} * 4) + vec4i(0, 1, 2, 3))`;
  }

  /** e to a power. */
  exp(code: string): string {
    this.shader.helpers.use("floatExp");
    if (this.#width === 1) return `floatExp(${code})`;
    if (!this.#hasExponentials) {
      this.#hasExponentials = true;
      const parts = ["x", "y", "z", "w"].map((part) => `floatExp(x.${part})`).join(", ");
      this.shader.declare(`fn exponentials(x: vec4f) -> vec4f { return vec4f(${parts}); }`);
    }
    return `exponentials(${code})`;
  }

  /** The sum of a value over the row. */
  sum(value: RowValue): string {
    const own = this.#fresh();
    this.line(`var ${own} = ${this.type}(0);`);
    this.#each((piece) => `${own} += ${value(piece)};`);
    const whole = this.#width === 1 ? own : `(${own}.x + ${own}.y) + (${own}.z + ${own}.w)`;
    return this.#join("sum", whole);
  }

  /**
   * The largest element of a row: finite where all are −∞. It may pass over NaN, which shows in
   * whatever is computed from the row.
   */
  largest(value: RowValue): string {
    const own = this.#fresh();
    this.line(`var ${own} = ${this.type}(${lowest});`);
    this.#each((piece) => `${own} = max(${own}, ${value(piece)});`);
    const whole = this.#width === 1 ? own : `max(max(${own}.x, ${own}.y), max(${own}.z, ${own}.w))`;
    return this.#join("largest", whole);
  }

  /** Stores all elements of the row. */
  store(operand: Operand, value: RowValue): void {
    const slot = this.shader.slot(operand.buffer, operand.dtype, this.#width);
    this.#each((piece) => this.shader.store(slot, this.#index(operand, piece), value(piece)));
  }

  /** Stores all elements of the row in workgroup memory, where rows follow each other. */
  keep(name: string, value: RowValue): void {
    this.#each((piece) => `${name}[${this.#dense} + at${piece}] = ${value(piece)};`);
  }

  /** Stores the one element of this row. */
  storeSingle(buffer: number, code: string): void {
    const store = this.shader.store(this.shader.slot(buffer, "float32"), "row", code);
    this.line(`if (member == 0${this.#isExact ? "" : " && isRow"}) { ${store} }`);
  }

  /** A number for every element that grows from row to row; to be made before `eachRow`. */
  accumulator(): { readonly value: RowValue; readonly add: (value: RowValue) => void } {
    const name = this.#fresh();
    for (const piece of this.#pieces) this.line(`var ${name}_${piece} = ${this.type}(0);`);
    return {
      value: (piece) => `${name}_${piece}`,
      add: (value) => {
        this.#each((piece) => `${name}_${piece} += ${value(piece)};`);
      },
    };
  }

  /** The work on each row: statements of `body` are repeated for all rows of a team. */
  eachRow(body: () => void): void {
    const { inner } = this.#shape;
    if (this.#rowsEach > 1) {
      this.line(`for (var step = 0; step < ${this.#rowsEach}; step++) {`);
      this.line(`let row = team * ${this.#rowsEach} + step;`);
    } else this.line("let row = team;");
    if (!this.#isExact) {
      this.line(`let isRow = row < ${this.#count};`);
      this.line(`let bound = select(0, ${this.#length}, isRow);`);
    }
    const apart = `row / ${inner} * ${inner * this.#length} + row % ${inner}`;
    const near = this.#host?.first ? `(${this.#host.first}) / ${this.#width}` : this.#dense;
    this.line(`let first = ${inner === 1 ? near : apart};`);
    body();
    if (this.#rowsEach > 1) this.line("}");
  }

  /** Stores, after the last row, a row for each team: `operand` has `teams` of them. */
  storeTeam(operand: Operand, value: RowValue): void {
    const slot = this.shader.slot(operand.buffer, operand.dtype, this.#width);
    for (const piece of this.#pieces) {
      const store = this.shader.store(slot, `team * ${this.#length} + at${piece}`, value(piece));
      this.line(`if (team < ${this.teams} && at${piece} < ${this.#length}) { ${store} }`);
    }
  }

  /** What was written, as a statement of the host. */
  get code(): string {
    return `{\nlet group = 0;\n${this.#lines.join("\n")}\n}`;
  }

  /** The launch of what was written. */
  launch(name: string): Launch {
    const groups = Math.ceil(this.teams / this.#across);
    const { outer, size, inner } = this.#shape;
    const label = `${name} ${[outer, size, inner].join("x")}`;
    return this.shader.perGroup(label, groups, this.#team * this.#across, this.#lines.join("\n"));
  }

  /** Where the row begins if rows follow each other, in pieces. */
  get #dense(): string {
    return `row * ${this.#length}`;
  }

  get #count(): number {
    return this.#shape.outer * this.#shape.inner;
  }

  /** Whether every team of every workgroup has all of its rows. */
  get #isExact(): boolean {
    return this.#count % (this.#across * this.#rowsEach) === 0;
  }

  #fresh(): string {
    return `v${this.#names++}`;
  }

  /** Where an operand starts, in pieces; empty at 0. */
  #offset({ offset }: Operand): string {
    return offset === 0 ? "" : `${offset / this.#width} + `;
  }

  #index(operand: Operand, piece: string): string {
    const { inner } = this.#shape;
    const step = inner === 1 ? "" : ` * ${inner}`;
    return `${this.#offset(operand)}first + at${piece}${step}`;
  }

  #load({ buffer, dtype }: Operand, index: string): string {
    return this.shader.load(this.shader.slot(buffer, dtype, this.#width), index);
  }

  /** The statement, where the piece is part of the row. */
  #ifInside(piece: string, statement: string, bound: string): string {
    const end = (Number(piece) + 1) * this.#team;
    const isInside = end <= this.#length && (bound !== "bound" || this.#isExact);
    return isInside ? statement : `if (at${piece} < ${bound}) { ${statement} }`;
  }

  get #bound(): string {
    return this.#isExact ? String(this.#length) : "bound";
  }

  #each(statement: (piece: string) => string): void {
    if (this.isHeld) {
      for (const piece of this.#pieces) {
        this.line(this.#ifInside(piece, statement(piece), this.#bound));
      }
    } else {
      this.line(`for (var at = member; at < ${this.#bound}; at += ${this.#team}) {`);
      this.line(`${statement("")}\n}`);
    }
  }

  /** Reads what is inside of the row into registers, if the row fits. */
  #read(value: RowValue, bound: string): RowValue {
    if (!this.isHeld) return value;
    const name = this.#fresh();
    for (const piece of this.#pieces) {
      this.line(`var ${name}_${piece} = ${this.type}(0);`);
      this.line(this.#ifInside(piece, `${name}_${piece} = ${value(piece)};`, bound));
    }
    return (piece) => `${name}_${piece}`;
  }

  /** Joins what the members of a team have found; every member gets the result. */
  #join(kind: "sum" | "largest", own: string): string {
    const team = this.#team;
    if (team === 1) return this.name(own);
    this.#declareJoin(kind);
    return this.name(`${this.#prefix}${kind}(${own}, lane)`);
  }

  get #prefix(): string {
    return this.#host?.prefix ?? "";
  }

  #declareJoin(kind: "sum" | "largest"): void {
    if (this.#joins.has(kind)) return;
    const [parts, joins] = [`${this.#prefix}parts`, `${this.#prefix}joins`];
    if (this.#joins.size === 0) {
      const size = this.#team * this.#across;
      this.shader.declare(`var<workgroup> ${parts}: array<f32, ${size}>;`);
      this.shader.declare(
        `var<workgroup> ${joins}: array<f32, ${Math.ceil(size / joinedAtOnce)}>;`,
      );
    }
    this.#joins.add(kind);
    const team = this.#team;
    const near = Math.min(team, joinedAtOnce);
    const isRow = this.#shape.inner === 1;
    const first = isRow ? `lane - lane % ${near}` : `lane % ${this.#across}`;
    const step = isRow ? 1 : this.#across;
    const join = (a: string, b: string): string =>
      kind === "sum" ? `${a} + ${b}` : `max(${a}, ${b})`;
    const all = (from: string, count: number, step: number): string =>
      `for (var i = 1; i < ${count}; i++) { total = ${join("total", `${from}[first + i * ${step}]`)}; }`;
    const far = `if (lane % ${joinedAtOnce} == 0) { ${joins}[lane / ${joinedAtOnce}] = total; }
workgroupBarrier();
first = lane / ${team} * ${team / joinedAtOnce};
total = ${joins}[first];
${all(joins, team / joinedAtOnce, 1)}`;
    // Nobody writes to memory that another still reads: there is a barrier after each round.
    this.shader.declare(`fn ${this.#prefix}${kind}(own: f32, lane: i32) -> f32 {
${parts}[lane] = own;
workgroupBarrier();
var first = ${first};
var total = ${parts}[first];
${all(parts, near, step)}
${team > joinedAtOnce ? far : "workgroupBarrier();"}
return total;
}`);
  }
}

function powerOfTwo(number: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(1, number)));
}

/** Rows are read as vectors where all of them allow it. */
function widthOf(
  shader: ShaderBuilder,
  shape: RowShape,
  operands: RowOperands,
  alone: readonly number[],
): Width {
  const { elements, shared = [], single = [] } = operands;
  const wide = [...elements, ...shared].filter((operand) => operand !== null);
  const isWide =
    shape.inner === 1 &&
    shape.size % 4 === 0 &&
    wide.every(({ dtype, offset }) => offset % 4 === 0 && shader.holdsVectors(dtype)) &&
    // A buffer has one width.
    !wide.some(
      ({ buffer }) =>
        alone.includes(buffer) || single.some((operand) => buffer === operand?.buffer),
    );
  return isWide ? 4 : 1;
}
