/**
 * Fused reductions as WGSL.
 *
 * A workgroup takes some neighbouring outputs, each with a team of invocations that share its
 * elements: teams of many where elements of one output are neighbours, outputs side by side where
 * those of neighbouring outputs are. Where that gives too few workgroups for long reductions, each
 * is cut into parts, and a second launch joins them.
 */

import type { LoopStep, Reducer } from "@x/tensor/device";
import { product } from "../kernels/view.js";
import type { Launch } from "../launch.js";
import type { LoweringContext } from "../native.js";
import { checkElements } from "../sizes.js";
import { Joining } from "./join.js";
import { LoopWriter } from "./writer.js";

/** Reductions up to this length are one invocation's work. */
const shortReduction = 32;
/** Outputs from which on a device is full of single invocations. */
const manyOutputs = 8192;
/** Invocations of a workgroup. */
const groupSize = 256;
/** Elements that are joined before they meet the rest: sums of many numbers lose less that way. */
const blockSize = 64;
/** Invocations from which on a device is full. */
const manyInvocations = 1 << 15;
/** Elements of an invocation: while there are not many, and where there are. */
const fewestElementsEach = 4;
const mostElementsEach = 32;
/** What an invocation joins in a round, where those of a team are joined. */
const joinedAtOnce = 16;
/** Workgroups from which on a device is full, and most parts of a reduction. */
const manyGroups = 512;
const mostParts = 256;
/** Elements of an invocation, at least, where a reduction is cut; parts, at least, it is cut into. */
const elementsOfPart = 16;
const fewestParts = 4;

/** How a reduction is shared out. */
interface Layout {
  /** Outputs of a workgroup. */
  readonly across: number;
  /** Invocations that share an output. */
  readonly team: number;
  /** Whether neighbouring invocations work on neighbouring outputs. */
  readonly isAcross: boolean;
}

/** One invocation for an output. */
const alone: Layout = { across: 64, team: 1, isAcross: true };

function powerOfTwo(number: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(1, number)));
}

function layoutOf(outputs: number, length: number, isAcross: boolean, most: number): Layout {
  const wanted = Math.max(manyInvocations / outputs, length / mostElementsEach);
  const team = powerOfTwo(Math.min(wanted, length / fewestElementsEach));
  if (isAcross) {
    const across = Math.min(32, powerOfTwo(outputs));
    return { across, team: Math.min(team, most / across), isAcross };
  }
  const own = Math.min(team, most);
  return {
    across: Math.min(Math.max(1, most / 2 / own), powerOfTwo(outputs)),
    team: own,
    isAcross,
  };
}

/** Into how many parts each output is cut. */
function partsOf(outputs: number, length: number, { across, team }: Layout): number {
  const groups = Math.ceil(outputs / across);
  const parts = Math.min(
    Math.ceil(manyGroups / groups),
    Math.ceil(length / (team * elementsOfPart)),
    mostParts,
  );
  return team === 1 || parts < fewestParts ? 1 : parts;
}

/** The launches of a reduction. */
export function reduction(
  step: LoopStep,
  reducer: Reducer,
  context: LoweringContext,
): readonly Launch[] {
  const { extents, outputRank, body } = step.kernel;
  const outputs = product(extents.slice(0, outputRank));
  const length = product(extents.slice(outputRank));
  checkElements(step.name, outputs);
  checkElements(step.name, length);
  const loads = body.filter((expression) => expression.kind === "load");
  /** How many loads have neighbours in neighbouring iterations of a loop. */
  const near = (loop: number): number =>
    loads.filter(({ index }) => Math.abs(index.strides[loop] ?? 0) === 1).length;
  const [along, across] = [near(extents.length - 1), near(outputRank - 1)];
  const most = Math.min(groupSize, 2 ** Math.floor(Math.log2(context.workgroupSize)));
  const isAlone = length <= shortReduction || (outputs >= manyOutputs && along <= across);
  const layout = isAlone ? alone : layoutOf(outputs, length, across > along, most);
  const work: Work = { step, reducer, context, outputs };

  const parts = partsOf(outputs, length, layout);
  const buffers = new Set(loads.map(({ slot }) => step.buffers[slot])).size;
  if (parts === 1 || buffers + 2 > context.mostBuffers) return [atOnce(work, layout, length)];
  // The outputs of the parts lie side by side.
  const joining = layoutOf(outputs, parts, outputs > 1, most);
  return inParts(
    work,
    layout,
    joining,
    length,
    Math.ceil(length / parts / layout.team) * layout.team,
  );
}

/** A reduction to be written. */
interface Work {
  readonly step: LoopStep;
  readonly reducer: Reducer;
  readonly context: LoweringContext;
  readonly outputs: number;
}

/** What is joined: statements for the element `at`, its value and its place. */
interface Element {
  readonly lines: readonly string[];
  readonly value: string;
  readonly place: string;
}

/** A shader for some of the work. */
class ReductionWriter extends LoopWriter {
  readonly joining: Joining;
  readonly #work: Work;

  constructor(work: Work) {
    super(work.context.shader(), work.step);
    this.joining = new Joining(this.shader, work.step.kernel, work.reducer);
    this.#work = work;
  }

  /** The elements that the kernel reduces. */
  element(): Element {
    const { extents, outputRank, body } = this.#work.step.kernel;
    const lines = [this.counters("at", outputRank, extents.length), ...this.list(body)];
    return { lines, value: this.joining.lift(`e${body.length - 1}`), place: "at" };
  }

  /** What becomes of the result. */
  finish(): string[] {
    return [this.joining.result(), ...this.list(this.#work.step.kernel.epilogue), this.stores()];
  }

  /**
   * The launch that joins the elements from 0 to `length`, in parts of `size`, and finishes with
   * `total` (for the arg forms also `place`) of `output` and `part`.
   */
  launch(
    layout: Layout,
    element: Element,
    [length, size]: readonly [length: number, size: number],
    finish: readonly string[],
  ): Launch {
    const { step, outputs } = this.#work;
    const { across, team, isAcross } = layout;
    const parts = Math.ceil(length / size);
    const counters = this.counters("output", 0, step.kernel.outputRank);
    if (team === 1) {
      const lines = ["let output = item;", counters, this.#accumulate(element, 0, length, layout)];
      return this.shader.perItem(step.name, outputs, [...lines, ...finish].join("\n"));
    }
    const groups = Math.ceil(outputs / across);
    const lines = [
      `let member = ${isAcross ? `lane / ${across}` : `lane % ${team}`};`,
      `let part = group / ${groups};`,
      `let own = group % ${groups} * ${across} + ${isAcross ? `lane % ${across}` : `lane / ${team}`};`,
      // All invocations take part in the barriers.
      `let output = min(own, ${outputs - 1});`,
      counters,
      parts === 1
        ? this.#accumulate(element, 0, length, layout)
        : `let first = part * ${size};\nlet last = min(first + ${size}, ${length});\n${this.#accumulate(element, "first", "last", layout)}`,
      this.#joinTeam(layout),
      `if (member > 0 || own > ${outputs - 1}) { return; }`,
      ...finish,
    ];
    return this.shader.perGroup(step.name, groups * parts, across * team, lines.join("\n"));
  }

  #accumulate(
    { lines, value, place }: Element,
    first: string | number,
    last: string | number,
    { team }: Layout,
  ): string {
    const { joining } = this;
    const member = team === 1 ? String(first) : `${first} + member`;
    const steps = `at += ${team}`;
    if (this.#work.reducer !== "sum") {
      const length = product(this.#work.step.kernel.extents);
      const loop = `for (var at: i32 = ${member}; at < ${last}; ${steps}) {`;
      return [joining.start(length), loop, ...lines, joining.join(value, place), "}"].join("\n");
    }
    const block = team * blockSize;
    return [
      joining.start(0),
      `for (var start: i32 = ${member}; start < ${last}; start += ${block}) {`,
      `var block = ${joining.neutral};`,
      `let end = min(${last}, start + ${block});`,
      `for (var at: i32 = start; at < end; ${steps}) {`,
      ...lines,
      `block += ${value};`,
      "}",
      "total += block;",
      "}",
    ].join("\n");
  }

  /** Joins what the members of a team have found; the first gets the result. */
  #joinTeam({ across, team, isAcross }: Layout): string {
    const { shader, joining } = this;
    const { isArg } = joining;
    const size = across * team;
    shader.declare(`var<workgroup> values: array<${joining.type}, ${size}>;`);
    if (isArg) shader.declare(`var<workgroup> places: array<i32, ${size}>;`);
    const keep = `values[lane] = total;${isArg ? " places[lane] = place;" : ""}`;
    const other = `lane + i * ${isAcross ? across : 1}`;
    return `${keep}
for (var step = 1; step < ${team}; step *= ${joinedAtOnce}) {
workgroupBarrier();
if (member % (step * ${joinedAtOnce}) == 0) {
for (var i = step; i < min(step * ${joinedAtOnce}, ${team}); i += step) {
let other = values[${other}];
${isArg ? `let otherPlace = places[${other}];` : ""}
${joining.join("other", "otherPlace")}
}
${keep}
}
}`;
  }
}

function atOnce(work: Work, layout: Layout, length: number): Launch {
  const writer = new ReductionWriter(work);
  return writer.launch(layout, writer.element(), [length, length], writer.finish());
}

/** Parts of `size` are joined by themselves, and then by `joining`. */
function inParts(
  work: Work,
  layout: Layout,
  joining: Layout,
  length: number,
  size: number,
): readonly Launch[] {
  const { context, outputs } = work;
  const parts = Math.ceil(length / size);
  const first = new ReductionWriter(work);
  const last = new ReductionWriter(work);
  const { dtype, isArg } = first.joining;
  const values = context.workspace(outputs * parts * 4);
  const places = isArg ? context.workspace(outputs * parts * 4) : null;
  const keep = (buffer: number, type: typeof dtype, code: string): string =>
    first.shader.store(first.shader.slot(buffer, type), `part * ${outputs} + output`, code);
  const found = (buffer: number, type: typeof dtype): string =>
    last.shader.load(last.shader.slot(buffer, type), `at * ${outputs} + output`);

  const results = [
    keep(values, dtype, "total"),
    ...(places === null ? [] : [keep(places, "int32", "place")]),
  ];
  const lines = [
    `let value = ${found(values, dtype)};`,
    ...(places === null ? [] : [`let origin = ${found(places, "int32")};`]),
  ];
  const element: Element = { lines, value: "value", place: "origin" };
  return [
    first.launch(layout, first.element(), [length, size], results),
    last.launch(joining, element, [parts, parts], last.finish()),
  ];
}
