/**
 * Products of a matrix and a few vectors, as in decoding: what counts is to read the matrix once,
 * with all invocations that there are. A workgroup computes some results; for each of them several
 * invocations share the summed axis and join their sums in workgroup memory.
 */

import type { Launch } from "../../launch.js";
import type { LoweringContext, PrologueContext } from "../../native.js";
import type { ShaderBuilder } from "../../wgsl/shader.js";
import { coordinatesOf } from "../view.js";
import { canNormalize, NormalizedFactor } from "./normalized.js";
import {
  Factor,
  type FactorAccess,
  layoutOf,
  nameOf,
  type Problem,
  type Side,
  widthsOf,
} from "./problem.js";
import { finalResult, type Result } from "./result.js";

/** Most vectors that a matrix is multiplied with. */
export const mostVectors = 4;
/** Invocations of a workgroup, where the device allows. */
const usualInvocations = 256;
/** Invocations that keep a device busy. */
const enoughInvocations = 16384;
/** Invocations that read neighbours: 32 of them read whole lines of the caches. */
const usualNeighbours = 32;

/** Most workgroups that each normalize all vectors. */
const mostNormalizing = 1024;

/** Which factor is the vectors. */
function fewOf({ m }: Problem): Side {
  return m <= mostVectors ? "left" : "right";
}

function invocationsOf({ workgroupSize }: PrologueContext): number {
  return Math.min(usualInvocations, powerBelow(workgroupSize));
}

/** Whether a product can compute the norms that give its factors: those of the few vectors. */
export function takesNorms(problem: Problem, context: PrologueContext): boolean {
  const { m, n, norms } = problem;
  const few = fewOf(problem);
  return (
    Math.min(m, n) <= mostVectors &&
    norms[few === "left" ? "right" : "left"] === null &&
    canNormalize(problem, few, invocationsOf(context), context)
  );
}

/** The launch of a product of which one factor is at most `mostVectors` vectors. */
export function lowerVector(problem: Problem, context: LoweringContext): Launch {
  return new VectorProduct(problem, context).launch();
}

class VectorProduct {
  readonly #problem: Problem;
  readonly #shader: ShaderBuilder;
  readonly #result: Result;
  /** The factor that is the vectors, and the one that is the matrix. */
  readonly #vectors: FactorAccess;
  readonly #matrix: FactorAccess;
  /** What makes the vectors, if they are not in memory. */
  readonly #beginning: string | null;
  /** Whether invocations that read neighbours share a sum, or have sums of neighbouring results. */
  readonly #isSummedNear: boolean;
  /** Invocations of a workgroup that share a sum, and sums that it computes side by side. */
  readonly #sharing: number;
  readonly #places: number;

  constructor(problem: Problem, context: LoweringContext) {
    const shader = context.shader();
    const few = fewOf(problem);
    const many = few === "left" ? "right" : "left";
    const invocations = invocationsOf(context);
    const widths = widthsOf(shader, problem);
    const isSummedNear = layoutOf(many, problem[many]).near === "summed";
    const canTakeFour =
      widths[many] === 4 &&
      (isSummedNear
        ? widths[few] === 4 && layoutOf(few, problem[few]).near === "summed"
        : problem.left.buffer !== problem.right.buffer);
    this.#problem = problem;
    this.#shader = shader;
    this.#isSummedNear = isSummedNear;
    this.#matrix = new Factor(shader, many, problem[many], canTakeFour ? 4 : 1);
    const width = canTakeFour && isSummedNear ? 4 : 1;
    const norm = problem.norms[few];
    if (norm === null) {
      this.#vectors = new Factor(shader, few, problem[few], width);
      this.#beginning = null;
    } else {
      const args = [few, problem, norm, width, invocations, context] as const;
      const vectors = new NormalizedFactor(shader, ...args);
      this.#vectors = vectors;
      this.#beginning = vectors.code;
    }
    this.#result = finalResult(shader, problem, false);

    const results = Math.ceil(this.#matrix.layout.sizes.outer / this.#each) * problem.batch;
    const most = Math.min(
      invocations,
      powerBelow(problem.k / (isSummedNear ? this.#matrix.width : 4)),
    );
    // Lines are read whole by neighbours, or else sectors of 32 bytes.
    const fewest = isSummedNear
      ? usualNeighbours
      : (invocations / usualNeighbours) * (canTakeFour ? 4 : 1);
    const mostUseful = isSummedNear ? invocations : (invocations / 8) * (canTakeFour ? 4 : 1);
    let sharing = fewest;
    while (sharing < mostUseful && results * sharing < enoughInvocations) sharing *= 2;
    this.#sharing = Math.max(1, Math.min(sharing, most));
    this.#places = invocations / this.#sharing;
  }

  /** Neighbouring results of an invocation. */
  get #each(): number {
    return this.#isSummedNear ? 1 : this.#matrix.width;
  }

  /** Names of the sums of an invocation, one for each vector. */
  get #sums(): readonly string[] {
    return Array.from({ length: this.#vectors.layout.sizes.outer }, (_, i) => `sum${i}`);
  }

  launch(): Launch {
    const { batch, batchShape, k } = this.#problem;
    const { outer } = this.#matrix.layout.sizes;
    const across = Math.ceil(outer / (this.#each * this.#places));
    const [sharing, places] = [this.#sharing, this.#places];
    const isVector = this.#matrix.width === 4;
    const type = isVector && !this.#isSummedNear ? "vec4f" : "f32";
    const start = isVector ? "vec4f()" : "0.0";
    const width = this.#isSummedNear ? this.#matrix.width : 1;
    const outerAt = `min(place, ${outer - this.#each})`;
    const products = this.#sums.map(
      (sum, i) => `${sum} += ${this.#vectors.at(String(i), "p")} * values;`,
    );
    const invocations = sharing * places;
    this.#shader.declare(
      `var<workgroup> shared_sums: array<${type}, ${invocations * this.#sums.length}>;`,
    );
    const joined = isVector && this.#isSummedNear;
    const share = this.#sums.map((sum, i) => {
      const value = joined ? `dot(${sum}, vec4f(1.0))` : sum;
      return `shared_sums[lane + ${i * invocations}] = ${value};`;
    });
    const apart = this.#isSummedNear ? 1 : places;
    const join = this.#sums.map((_, i) => {
      const own = `lane + ${i * invocations}`;
      return `shared_sums[${own}] += shared_sums[${own} + half * ${apart}];`;
    });
    const among = this.#isSummedNear ? `/ ${sharing}` : `% ${places}`;
    const sums = (
      block: string,
    ): string => `let place = (${block} * ${places} + lane ${among}) * ${this.#each};
let outer = ${outerAt};
${this.#sums.map((sum) => `var ${sum} = ${start};`).join("\n")}
for (var p = part * ${width}; p < ${k}; p += ${sharing * width}) {
let values = ${this.#matrix.at("outer", "p")};
${products.join("\n")}
}
${share.join("\n")}
for (var half = ${sharing >> 1}; half > 0; half /= 2) {
workgroupBarrier();
if (part < half) {
${join.join("\n")}
}
}
if (part == 0 && place < ${outer}) {
${this.#store(invocations)}
}`;
    const groups = this.#beginning === null ? across : Math.min(across, mostNormalizing);
    // Nobody begins the next block while another still reads the sums of this one.
    const blocks =
      groups === across
        ? sums(`(group % ${across})`)
        : `for (var block = group; block < ${across}; block += ${groups}) {\n${sums("block")}\nworkgroupBarrier();\n}`;
    const body = `let batch = group / ${across};
${coordinatesOf("batch", batchShape, "b")}
${this.#vectors.base()}
${this.#matrix.base()}
${this.#beginning ?? ""}
let part = lane ${this.#isSummedNear ? `% ${sharing}` : `/ ${places}`};
${blocks}`;
    return this.#shader.perGroup(nameOf(this.#problem), groups * batch, invocations, body);
  }

  /** Stores all sums of a place, vector by vector, so that an epilogue is in the text only once. */
  #store(invocations: number): string {
    const isLeft = this.#vectors.side === "left";
    const stores = Array.from({ length: this.#each }, (_, i) => {
      const own = `place + ${i}`;
      const [row, column] = isLeft ? ["vector", own] : [own, "vector"];
      return this.#result.store(row, column, this.#each === 1 ? "total" : `total[${i}]`);
    });
    return `for (var vector = 0; vector < ${this.#sums.length}; vector++) {
let total = shared_sums[lane + vector * ${invocations}];
${stores.join("\n")}
}`;
  }
}

/** The largest power of two that is not above a number, at least 1. */
function powerBelow(number: number): number {
  return 2 ** Math.max(0, Math.floor(Math.log2(number)));
}
